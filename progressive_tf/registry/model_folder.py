"""Where the files of one model lie, and how a publication that stopped anywhere is taken to its end."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from progressive_tf.files import TEMPORARY_SUFFIX, fsync
from progressive_tf.output import say
from progressive_tf.registry import history, journal, signatures
from progressive_tf.registry.errors import RegistryError, UnsignedError, from_os_error
from progressive_tf.registry.folder import INCOMING_PREFIX, find_damage, remove_folder, seal_folder
from progressive_tf.registry.history import Publication
from progressive_tf.registry.journal import Entry, Sign, Signature
from progressive_tf.registry.keys import KEY_VARIABLE, Keys
from progressive_tf.registry.lock import write_lock
from progressive_tf.registry.signatures import Signed
from progressive_tf.registry.views import stale_views, write_views

# So long whoever takes an alias back waits for another process that is writing.
TAKE_BACK_SECONDS = 0.25

log = logging.getLogger("progressive_tf.registry")


@dataclass(frozen=True)
class ModelFolder:
    """The files of one model: numbered versions, the journal, the views of it, and the folders of exports under way.

    Args:
        path: `registry/<model>`.
        name: the model's name.
        keys: whose signatures count; by default nobody's is asked for.
    """

    path: Path
    name: str
    keys: Keys = field(default_factory=Keys)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / journal.JOURNAL_NAME

    def version(self, number: int) -> Path:
        """Returns the folder of a version."""
        return self.path / str(number)

    def incoming(self, intent: Entry) -> Path:
        """Returns the temporary folder of a publication; TensorFlow Serving looks at numbers only."""
        return self.path / f"{INCOMING_PREFIX}{intent.token}"

    def entries(self) -> tuple[Entry, ...]:
        """Returns the journal, oldest entry first; where only what is signed counts, the signed part of it.

        Raises:
            UnsignedError: only what is signed counts, and nothing is.
            RegistryError: it cannot be read, is missing or empty although there are versions, or is not what was
                signed.
        """
        found = self.signed()
        if found.unsigned and not found.entries:
            raise UnsignedError(signatures.unsigned_text(self.name, found))
        if found.unsigned:
            _tell(f"not followed: {signatures.unsigned_text(self.name, found)}")
        return found.entries

    def signed(self) -> Signed:
        """Returns the part of the journal that counts, and what of it does not and why.

        Raises:
            RegistryError: as `entries` does, but for what is not signed.
        """
        # Before the journal, which may go on meanwhile: it is to be as long as what was remembered, or longer.
        seen = None if self.keys.remembered is None else signatures.read_memory(self.name, self.keys.remembered)
        numbers = self.numbers()
        entries, all_signatures = journal.read_signed_entries(self.journal)
        if numbers and not entries:
            raise RegistryError(
                f"{self.journal} is missing or empty although there are versions ({', '.join(map(str, numbers))}); "
                "restore it from a backup"
            )
        if not self.keys.verifies:
            return Signed(entries)
        found = signatures.signed_part(self.name, entries, all_signatures, self.keys)
        if seen is not None:
            try:
                signatures.remember(seen, found.entries)
            except OSError as error:  # a disk that is full keeps nobody from reading
                _tell(f"{seen.file} cannot be written ({error.strerror}); after a restart an older state is not known")
        return found

    @property
    def has_signatures(self) -> bool:
        """Whether anybody has ever signed the journal."""
        return journal.has_signatures(self.journal)

    def append(self, *entries: Entry) -> None:
        """Adds entries to the journal in one transaction, signed where there is a key to sign with.

        Raises:
            UnsignedError: only what is signed counts, and there is no key; or what is there already is not signed.
            RegistryError: the journal cannot be written.
        """
        journal.append_entries(self.journal, entries, self._sign(entries))
        self._tell_unsigned()

    @contextlib.contextmanager
    def _holding(self) -> Iterator[Callable[[Entry], None]]:
        """Lets nobody else add to the journal, and yields what adds an entry, see `append`."""
        with journal.holding(self.journal, self._sign) as append:
            yield append
        self._tell_unsigned()

    def _tell_unsigned(self) -> None:
        if self.keys.own is None and self.has_signatures:
            _tell(
                f"{self.name} is signed, and what this command writes is not: whoever trusts signatures alone does not "
                f"follow it. Name a key in {KEY_VARIABLE}, or sign it later: `release sign {self.name} --key FILE`"
            )

    def try_append(self) -> None:
        """Does what `append` would, and takes it back; does nothing but look for a key where there is no journal yet.

        Raises:
            UnsignedError, RegistryError: as `append` does.
        """
        tried = [Entry(journal.ABANDONED, reason="never committed")]
        sign = self._sign(tried)
        if self.journal.exists():
            journal.try_append(self.journal, tried, sign)

    def _sign(self, entries: Sequence[Entry]) -> Sign | None:
        """Returns what signs entries that are to be added, None where nothing is signed."""
        if self.keys.own is not None:
            return partial(self._signature_of, len(entries))
        if self.keys.verifies:
            raise UnsignedError(
                f"{self.name}: only what is signed counts here, and there is no key to sign this with "
                f"({signatures.describe(entries[0])}); name one with --key or in {KEY_VARIABLE}"
            )
        return None

    def _signature_of(self, new: int, entries: Sequence[Entry], before: Sequence[Signature]) -> Signature:
        return signatures.signature_of_new(self.name, entries, new, before, self.keys)

    def numbers(self) -> list[int]:
        """Returns the numbers that have a folder, released or not."""
        if not self.path.is_dir():
            return []
        return sorted(int(path.name) for path in self.path.iterdir() if path.name.isascii() and path.name.isdigit())

    def next_number(self) -> int:
        """Returns the number after every one that was ever prepared or that has a folder."""
        spent = [publication.version or 0 for publication in history.publications(self.entries())]
        return 1 + max([0, *spent, *self.numbers()])

    @contextlib.contextmanager
    def writing(self, wait_seconds: float) -> Iterator[None]:
        """Holds the model's lock, settles what others left first, and brings the views up to date at the end.

        Raises:
            RegistryBusyError: another process is writing for longer than `wait_seconds`.
            RegistryError: a file cannot be written.
        """
        with write_lock(self.path, wait_seconds):
            try:
                self._settle()
                yield
                self._refresh_views()
            except OSError as error:
                raise from_os_error(error, self.path) from error

    @contextlib.contextmanager
    def taking_back(self) -> Iterator[Callable[[Entry], None]]:
        """As `writing`, for what takes an alias back and must not wait for others: where another process holds the
        model's lock, for an export say, the journal alone is held. Yields what adds an entry to it.

        What a killed process left is settled afterwards: an alias is taken back from the version that it is seen to
        point to, and not from one that comes in its place just then.

        Raises:
            RegistryError: the journal cannot be written.
        """
        with contextlib.ExitStack() as held:
            settle = self._settle
            try:
                held.enter_context(write_lock(self.path, TAKE_BACK_SECONDS))
            except (RegistryError, OSError) as error:
                log.info("%s: taken back beside what is under way: %s", self.name, error)
                settle = self._refresh_views
            with self._holding() as append:
                yield append
            try:
                settle()
            except (RegistryError, OSError) as error:
                log.warning(
                    "%s: taken back; the files that repeat its aliases, or what a killed command left, are behind: %s",
                    self.name,
                    error,
                )

    def is_unsettled(self) -> bool:
        """Returns whether a process is publishing now, or one was killed, or a view is not what the journal says."""
        entries = self.entries()
        states = {publication.state for publication in history.publications(entries)}
        return (
            bool(states & {journal.INTENT, journal.PREPARED})
            or any(self._leftovers())
            or bool(stale_views(self.path, self.name, history.current_aliases(entries)))
        )

    def complete(self, publication: Publication) -> None:
        """Takes a prepared publication to its end from wherever it stopped; call it with the lock held.

        Where its files are no longer what was prepared they are removed, and its number is never used.
        """
        number, manifest_sha256 = int(publication.version or 0), str(publication.manifest_sha256)
        incoming, target = self.incoming(publication.intent), self.version(number)
        damage = find_damage(target if target.exists() else incoming, number, manifest_sha256)
        if damage:
            # Renamed before it is removed: half a folder under a version's number must never be seen.
            if target.exists():
                os.rename(target, incoming)
            remove_folder(incoming)
            reason = f"damaged before it was released: {damage[0].file or 'its folder'} {damage[0].problem}"
            self.append(Entry(journal.ABANDONED, token=publication.token, version=number, reason=reason))
            return
        if not target.exists():
            os.rename(incoming, target)
        fsync(self.path)
        seal_folder(target)
        intent = publication.intent
        commit = Entry(
            journal.COMMIT,
            token=intent.token,
            version=number,
            manifest_sha256=manifest_sha256,
            forced=intent.forced,
            reason=intent.reason,
        )
        with self._holding() as append:
            append(commit)
            # Whoever took one back meanwhile did not mean that another version comes in its place, or beside stable.
            taken_back = history.taken_back_since(self.entries(), intent)
            if intent.alias is not None and taken_back is None:
                append(replace(commit, event=journal.ALIAS, alias=intent.alias, percent=intent.percent))
        if intent.alias is not None and taken_back is not None:
            message = "%s: %s was taken back while version %d was exported, which gets no alias therefore"
            log.warning(message, self.name, taken_back, number)

    def append_after(self, last: int, *entries: Entry) -> None:
        """Adds entries, unless something was taken back after the last one that was looked at; call it with the lock
        held.

        Raises:
            RegistryError: something was taken back.
        """
        if not self.journal.exists():  # nothing is there to be taken back
            self.append(*entries)
            return
        with self._holding() as append:
            taken = [entry for entry in self.entries() if entry.id > last and entry.event == journal.ROLLBACK]
            if taken:
                raise RegistryError(
                    f"{self.name}: {taken[-1].alias} was taken back in the meantime, by {taken[-1].who}; nothing else "
                    "moves. Look at how things stand, and say again what you want"
                )
            for entry in entries:
                append(entry)

    def _settle(self) -> None:
        if self.keys.only_steps:
            return  # a publication is settled by whoever may sign one
        for publication in history.publications(self.entries()):
            if publication.state == journal.PREPARED:
                self.complete(publication)
            elif publication.state == journal.INTENT:
                remove_folder(self.incoming(publication.intent))
                self.append(Entry(journal.ABANDONED, token=publication.token, reason="interrupted during the export"))
        for leftover in self._leftovers():
            if leftover.is_dir():
                remove_folder(leftover)
            else:
                leftover.unlink()
        self._refresh_views()

    def _leftovers(self) -> list[Path]:
        return [*self.path.glob(f"{INCOMING_PREFIX}*"), *self.path.glob(f".*{TEMPORARY_SUFFIX}")]

    def _refresh_views(self) -> None:
        if self.journal.exists():
            write_views(self.path, self.name, history.current_aliases(self.entries()))


@cache
def _tell(what: str) -> None:
    """Says something once in a process, however often it comes up."""
    say(what)
