"""What the journal's entries mean: publications, and where each alias points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.journal import (
    ABANDONED,
    ALIAS,
    COMMIT,
    INTENT,
    LOOKED,
    PAUSE,
    PREPARED,
    PROVED,
    ROLLBACK,
    WIDEN,
    Entry,
)

STABLE, PREVIOUS, CANARY, SHADOW = "stable", "previous", "canary", "shadow"
MOVABLE_ALIASES = (STABLE, CANARY, SHADOW)
SERVER = "the server"  # who acts in a journal where no person does
BY_PROOF, BY_NO_HARM, BY_GATE, BY_PERSON = "proof", "no sign of harm", "gate", "person"


@dataclass(frozen=True)
class Publication:
    """One attempt to make a version of a stage.

    Args:
        intent: the entry that began it.
        state: intent, prepared, commit or abandoned: how far it came.
        version: its number once prepared; a number that was prepared is never given to another.
        manifest_sha256: hash of its manifest once prepared.
        committed: when it became a version, or None.
    """

    intent: Entry
    state: str = INTENT
    version: int | None = None
    manifest_sha256: str | None = None
    committed: str | None = None

    @property
    def token(self) -> str:
        """What names its temporary folder and ties its entries together."""
        return str(self.intent.token)


def publications(entries: Iterable[Entry]) -> tuple[Publication, ...]:
    """Returns every publication ever begun, oldest first.

    Raises:
        RegistryError: the entries are not in an order in which any release writes them.
    """
    by_token: dict[str, Publication] = {}
    for entry in entries:
        token = str(entry.token)
        if entry.event == INTENT:
            by_token[token] = Publication(entry)
        elif entry.event in (PREPARED, COMMIT, ABANDONED) and token not in by_token:
            raise _not_written(entry, "goes on with a publication that was not begun")
        elif entry.event == PREPARED:
            by_token[token] = replace(
                by_token[token], state=PREPARED, version=entry.version, manifest_sha256=entry.manifest_sha256
            )
        elif entry.event == COMMIT:
            by_token[token] = replace(by_token[token], state=COMMIT, committed=entry.time)
        elif entry.event == ABANDONED:
            by_token[token] = replace(by_token[token], state=ABANDONED)
    return tuple(by_token.values())


def taken_back_since(entries: Iterable[Entry], intent: Entry) -> str | None:
    """Returns what was rolled back after a publication began, of stable and the alias that it is to move; or None."""
    began = False
    for entry in entries:
        began = began or (entry.event == INTENT and entry.token == intent.token)
        if began and entry.event == ROLLBACK and entry.alias in (STABLE, intent.alias):
            return entry.alias
    return None


def _not_written(entry: Entry, what: str) -> RegistryError:
    return RegistryError(
        f"entry {entry.id} of the journal, {entry.event}, {what}: somebody else has changed it. Restore the journal "
        "from a backup"
    )


def stable_history(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Returns the versions `stable` stands on: the last is `stable`, the one before it `previous`.

    A promotion puts its version on top; a rollback takes the top away for good. So rolling back twice goes two
    versions back and never returns to what was withdrawn, and a promotion after a rollback has as `previous` what was
    stable just before it.
    """
    stack: list[int] = []
    for entry in entries:
        if entry.event == ROLLBACK and entry.alias == STABLE:
            if not stack:
                raise _not_written(entry, "takes back a stable version where there was none")
            stack.pop()
        elif entry.event == ALIAS and entry.alias == STABLE and entry.version is not None:
            stack.append(entry.version)
    return tuple(stack)


@dataclass(frozen=True)
class Rollout:
    """A canary under way.

    Args:
        version: what it tries.
        percent: of the callers that it answers, in (0, 100).
        paused: True where nobody is sent to it for now; widening goes on from its percent.
        since: when it came to this percentage; ISO 8601, UTC.
        step: position in the journal of what brought it there; what the server counts belongs to it.
    """

    version: int
    percent: float
    paused: bool
    since: str
    step: int


def rollout(entries: Iterable[Entry]) -> Rollout | None:
    """Returns the canary under way, or None: it ends by becoming stable or by being rolled back."""
    current: Rollout | None = None
    for entry in entries:
        if entry.alias == CANARY:
            if entry.event == ALIAS:
                current = Rollout(int(entry.version or 0), float(entry.percent or 0), False, entry.time, entry.id)
            elif entry.event == WIDEN and current is not None:
                percent = float(entry.percent or 0)
                current = replace(current, percent=percent, paused=False, since=entry.time, step=entry.id)
            elif entry.event == PAUSE and current is not None:
                current = replace(current, paused=True)
            elif entry.event == ROLLBACK:
                current = None
        elif entry.event == ALIAS and entry.alias == STABLE and current and entry.version == current.version:
            current = None
    return current


def shadow(entries: Iterable[Entry]) -> Rollout | None:
    """Returns the version that answers in the background, at 0 % of the callers, or None: it ends by getting callers
    or being rolled back.
    """
    current: Rollout | None = None
    for entry in entries:
        if entry.alias == SHADOW and entry.event in (ALIAS, ROLLBACK):
            began = Rollout(int(entry.version or 0), 0.0, False, entry.time, entry.id)
            current = began if entry.event == ALIAS else None
        elif entry.event == ALIAS and current is not None and entry.version == current.version:
            current = None
    return current


def evidence_since(entries: Iterable[Entry], running: Rollout) -> str:
    """Returns since when evidence about a canary's step is gathered: since it came to the step, or since stable moved,
    if that was later; ISO 8601, UTC.
    """
    moved = [entry.time for entry in entries if entry.alias == STABLE and entry.event in (ALIAS, ROLLBACK)]
    return max([running.since, *moved])


def proof_of(entries: Iterable[Entry], version: int) -> Entry | None:
    """Returns the entry by which a version was shown to be good enough beside what is stable now; None without one.

    It is shown beside one version: what was shown ends when `stable` moves, and when the candidate is taken back.
    """
    found: Entry | None = None
    for entry in entries:
        stable_moved = entry.alias == STABLE and entry.event in (ALIAS, ROLLBACK)
        if stable_moved or (entry.event == ROLLBACK and entry.version == version):
            found = None
        elif entry.event == PROVED and entry.version == version:
            found = entry
    return found


def judged_beside(entries: Iterable[Entry], version: int) -> int:
    """Returns how many candidates were judged beside a released version, on whatever rows."""
    return len({entry.weights_sha256 for entry in entries if entry.event == LOOKED and entry.version == version})


def released_by(entries: Iterable[Entry], version: int) -> str:
    """Returns in words by what a version became stable the last time; "" where it never did."""
    found, before = "", list[Entry]()
    for entry in entries:
        if entry.event == ALIAS and entry.alias == STABLE and entry.version == version:
            last = before[-1] if before else None
            if proof_of(before, version) is not None:
                found = BY_PROOF
            elif entry.token is not None and not entry.forced:
                found = BY_GATE
            else:
                by_server = last is not None and last.event == WIDEN and entry.who == SERVER
                found = BY_NO_HARM if by_server else BY_PERSON
        before.append(entry)
    return found


def refuse_strange_order(entries: Iterable[Entry]) -> None:
    """Refuses entries that the other functions here cannot follow.

    Raises:
        RegistryError: they are not in an order in which any release writes them.
    """
    entries = tuple(entries)
    publications(entries)
    current_aliases(entries)


def current_aliases(entries: Iterable[Entry]) -> dict[str, int]:
    """Returns where each alias points; an alias that was never set, or has ended, is left out."""
    entries = tuple(entries)
    aliases = dict(zip((STABLE, PREVIOUS), reversed(stable_history(entries)), strict=False))
    canary, background = rollout(entries), shadow(entries)
    if canary is not None:
        aliases[CANARY] = canary.version
    if background is not None:
        aliases[SHADOW] = background.version
    return aliases
