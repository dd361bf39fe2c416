"""The versions of one model: publishing a stage, moving aliases, checking what is there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.registry import history, journal, signatures
from progressive_tf.registry.errors import (
    CanaryTakenError,
    RegistryBusyError,
    RegistryError,
    RegistryUnwritableError,
    StableMovedError,
    UnsignedError,
)
from progressive_tf.registry.folder import Damage, build_folder, find_damage, remove_folder
from progressive_tf.registry.history import CANARY, PREVIOUS, SHADOW, STABLE, Publication
from progressive_tf.registry.journal import Entry, Signature
from progressive_tf.registry.keys import Keys
from progressive_tf.registry.lock import WAIT_SECONDS, write_lock
from progressive_tf.registry.model_folder import ModelFolder
from progressive_tf.registry.staged import Forced, StagedVersion
from progressive_tf.registry.version import Version, check_model_name


class ModelVersions:
    """The versions of one model under `registry/<model>/`.

    Args:
        root: the registry's folder.
        name: the model's name.
        wait_seconds: how long to wait for another process that is writing to the same model.
        keys: whose signatures count and what is signed with; nobody's and nothing by default.
    """

    def __init__(self, root: Path, name: str, wait_seconds: float = WAIT_SECONDS, keys: Keys | None = None) -> None:
        self.name = check_model_name(name)
        self.files = ModelFolder(root / self.name, self.name, keys or Keys())
        self.wait_seconds = wait_seconds

    # Reading needs no lock: the journal gives one consistent answer, and version folders never change.

    @property
    def exists(self) -> bool:
        """True once anything was ever judged, or begun to be published, under this name."""
        return self.files.journal.exists()

    def entries(self) -> tuple[Entry, ...]:
        """Returns the journal, oldest entry first."""
        return self.files.entries()

    def aliases(self) -> dict[str, int]:
        """Returns the version number each alias points to; an alias that was never set is left out."""
        return history.current_aliases(self.entries())

    def versions(self) -> tuple[Version, ...]:
        """Returns every version, by number."""
        entries = self.entries()
        aliases = history.current_aliases(entries)
        released = [
            Version(
                model=self.name,
                number=number,
                folder=self.files.version(number),
                run=str(publication.intent.run),
                stage=str(publication.intent.stage),
                weights_sha256=str(publication.intent.weights_sha256),
                manifest_sha256=str(publication.manifest_sha256),
                token=publication.token,
                created=publication.committed,
                forced=publication.intent.forced,
                aliases=tuple(alias for alias, target in aliases.items() if target == number),
            )
            for publication in history.publications(entries)
            if (number := publication.version) is not None and publication.committed is not None
        ]
        return tuple(sorted(released, key=lambda version: version.number))

    def version(self, number: int) -> Version:
        """Returns one version.

        Raises:
            InputError: there is none with this number.
        """
        for version in self.versions():
            if version.number == number:
                return version
        raise InputError(unknown_name(f"version of {self.name}", str(number), self._numbers()))

    def in_use(self) -> Version:
        """Returns the stable version, or the newest where nothing is stable.

        Raises:
            InputError: there is no version yet.
        """
        versions, stable = self.versions(), self.aliases().get(STABLE)
        if not versions:
            raise InputError(f"{self.name} has no version yet")
        return versions[-1] if stable is None else self.version(stable)

    def version_of_stage(self, run: str, stage: str) -> Version | None:
        """Returns the version that a stage became, or None."""
        matching = (version for version in self.versions() if (version.run, version.stage) == (run, stage))
        return next(matching, None)

    def lineage(self, number: int) -> tuple[int, ...]:
        """Returns a version's number, its parent's, and so on to the first; stops at a manifest that is broken."""
        chain: list[int] = []
        following: int | None = number
        known = {version.number: version for version in self.versions()}
        while following is not None and following not in chain:
            chain.append(following)
            manifest = known[following].manifest() if following in known else None
            parent = None if manifest is None else manifest.get("parent")
            following = parent if isinstance(parent, int) else None
        return tuple(chain)

    def verify(self) -> tuple[Damage, ...]:
        """Returns everything about the versions that is not as it was when they were released; empty if intact."""
        # Folders before journal: a version that another process releases meanwhile is prepared before it has a folder.
        numbers = self.files.numbers()
        damages: list[Damage] = []
        known = set()
        for publication in history.publications(self.entries()):
            if publication.version is not None and publication.state != journal.ABANDONED:
                known.add(publication.version)
            if publication.version is not None and publication.state == journal.COMMIT:
                folder = self.files.version(publication.version)
                damages.extend(find_damage(folder, publication.version, str(publication.manifest_sha256)))
        damages.extend(
            Damage(number, "", "in no journal; nothing is known about it") for number in numbers if number not in known
        )
        return tuple(sorted(damages, key=lambda damage: (damage.version, damage.file)))

    # Writing: one process at a time, and what another left unfinished is settled first.

    def publish(
        self,
        staged: StagedVersion,
        *,
        alias: str | None = STABLE,
        percent: float | None = None,
        when_stable_in: Collection[int | None] | None = None,
        forced: Forced | None = None,
    ) -> Version:
        """Makes a stage a version, and points an alias to it.

        The same stage with the same weights gives the same version again, however often it is asked for and wherever
        an earlier attempt was killed. The caller writes decision.json afterwards.

        Args:
            staged: the stage and how to export it.
            alias: the alias to move (stable, canary, shadow), or None to move none. A canary or shadow of the same run
                gives way to a new one.
            percent: of the callers, for a canary.
            when_stable_in: the versions the candidate was compared with (None in it: no version). If `stable` has
                come to point elsewhere, and not to a version of the same run, nothing is published. None: not checked.
            forced: why the gate was overruled, if it was.

        Raises:
            RegistryError: the stage is already a version with other weights, the parent is unknown, an alias was taken
                back while this was looked at, the export failed or the disk is full; nothing half-written stays. What
                `export` raises beside OSError is passed on.
            StableMovedError: see `when_stable_in`.
            CanaryTakenError: it is to be the canary or the shadow, and another run's version is.
        """
        if staged.model != self.name:
            raise RegistryError(f"stage {staged.stage!r} belongs to model {staged.model!r}, not to {self.name!r}")
        _check_alias(alias)
        with self.files.writing(self.wait_seconds):
            earlier = self.version_of_stage(staged.run, staged.stage)
            if earlier is not None:
                return self._same_stage(earlier, staged)
            last = max((entry.id for entry in self.entries()), default=0)
            self._check_parent(staged)
            self._check_stable(staged, when_stable_in)
            if alias in (CANARY, SHADOW):
                self._check_taken(staged, alias)
            intent = Entry(
                journal.INTENT,
                token=secrets.token_hex(8),
                run=staged.run,
                stage=staged.stage,
                weights_sha256=staged.weights_sha256,
                alias=alias,
                forced=forced is not None,
                reason=None if forced is None else forced.reason,
                percent=percent,
            )
            self.files.append_after(last, intent)  # a rollback waits for no lock
            number = self.files.next_number()
            incoming = self.files.incoming(intent)
            try:
                manifest_sha256 = build_folder(incoming, staged, number, forced)
            except BaseException:
                remove_folder(incoming)
                # Where the journal cannot be written either, the next writer closes the intent.
                with contextlib.suppress(RegistryError):
                    self.files.append(Entry(journal.ABANDONED, token=intent.token, reason="the export failed"))
                raise
            # From here on a restart completes the version: the number is spent and the folder is whole on the disk.
            self.files.append(
                Entry(journal.PREPARED, token=intent.token, version=number, manifest_sha256=manifest_sha256)
            )
            self.files.complete(Publication(intent, journal.PREPARED, number, manifest_sha256))
            return self.version(number)

    def sign(self, *, anew: bool = False) -> tuple[Entry, ...]:
        """Signs everything that is there with the own key, and settles what a killed process left.

        Args:
            anew: drop the signatures that are there, whatever they say.

        Returns:
            The entries that no trusted key had signed before.

        Raises:
            RegistryError: a version is damaged; the own key may only move aliases and there is more to sign; or,
                unless `anew`, what is there is not what anybody has signed before.
        """
        keys = self.files.keys
        assert keys.own is not None
        own = keys.own
        new: list[Entry] = []

        def signature(entries: Sequence[Entry], before: Sequence[Signature]) -> Signature:
            signed = signatures.signed_part(self.name, entries, before, keys)
            signatures.refuse_beyond_steps(self.name, signed.unsigned, keys)
            new[:] = signed.unsigned
            return signatures.sign(self.name, entries, own)

        with write_lock(self.files.path, self.wait_seconds):
            if not anew:
                signatures.refuse_contradiction(self.name, *journal.read_signed_entries(self.files.journal))
            damage = ModelVersions(self.files.path.parent, self.name).verify()
            if damage:
                first = f"version {damage[0].version}: {damage[0].file or 'its folder'} {damage[0].problem}"
                raise RegistryError(
                    f"{self.name} is damaged ({first}); nothing is signed. `release verify` lists what is wrong"
                )
            if anew:
                journal.replace_signatures(self.files.journal, signature)
            else:
                journal.append_entries(self.files.journal, (), signature)
        with self.files.writing(self.wait_seconds):
            return tuple(new)

    def make_stable(self, number: int, forced: Forced) -> Version:
        """Points `stable` to a version that exists, because a person says so.

        Raises:
            InputError: there is no such version.
            RegistryError: the version is damaged.
        """
        with self.files.writing(self.wait_seconds):
            version, last = self.version(number), self.entries()[-1].id
            if self.aliases().get(STABLE) != number:
                self.refuse_damaged(version)
                entry = Entry(journal.ALIAS, version=number, alias=STABLE, forced=True, reason=forced.reason)
                self.files.append_after(last, entry)
            return self.version(number)

    def rollback(self, reason: str | None = None, who: str = "", expected: int | None = None) -> Version:
        """Takes `stable` back to `previous`; `previous` becomes what was stable before that, if anything was.

        What was withdrawn is not returned to by another rollback (see history.stable_history). Versions stay. It waits
        for no other process, see `ModelFolder.taking_back`.

        Args:
            reason: stands in the journal.
            who: acts, for the journal; empty for the user of this process.
            expected: only if this version is stable; None for whichever is.

        Returns:
            The version that is stable now, with the aliases that it had before.

        Raises:
            InputError: there is nothing to go back to, or another version is stable.
            RegistryError: the version to go back to is damaged; the aliases stay.
        """
        if not self.entries():
            raise InputError(f"the registry has no model {self.name!r}")
        checked = self._previous(expected)
        self.refuse_damaged(checked)  # a large version takes a while, in which others may write
        with self.files.taking_back() as append:
            version = self._previous(expected)
            if version.number != checked.number:
                self.refuse_damaged(version)
            append(Entry(journal.ROLLBACK, version=version.number, alias=STABLE, reason=reason, who=who))
        return version

    def _previous(self, expected: int | None) -> Version:
        """Returns the version that a rollback of stable goes back to, see `rollback`."""
        aliases = self.aliases()
        refuse_unexpected(self.name, STABLE, aliases.get(STABLE), expected)
        if PREVIOUS not in aliases:
            stable = aliases.get(STABLE)
            stands = "nothing is stable" if stable is None else f"version {stable} is stable, none was before it"
            raise InputError(f"{self.name} has no previous version to roll back to: {stands}")
        return self.version(aliases[PREVIOUS])

    def check_writable(self) -> None:
        """Does to the journal what a release would do first, and takes it back; nothing is left of it.

        Of a model that has no journal yet only whether it can be signed is looked at.

        Raises:
            RegistryBusyError: another process is writing for longer than `wait_seconds`.
            RegistryError: the journal cannot be written, or not signed.
        """
        if not self.exists:
            self.files.try_append()
        else:
            with write_lock(self.files.path, self.wait_seconds):
                self.files.try_append()

    def settle(self) -> bool:
        """Completes or removes what a killed process left, and rewrites the views if they are not the journal's.

        Does nothing where there is nothing to do, where another process is writing (it settles itself), where the
        registry cannot be written, and where what settles it would have to be signed and cannot be.

        Returns:
            True if something was settled.
        """
        if not self.exists:
            return False
        try:
            if not self.files.is_unsettled():
                return False
            with self.files.writing(wait_seconds=0.0):
                return True
        except (RegistryBusyError, RegistryUnwritableError, UnsignedError):
            return False

    def _same_stage(self, earlier: Version, staged: StagedVersion) -> Version:
        if earlier.weights_sha256 != staged.weights_sha256:
            raise RegistryError(
                f"stage {staged.stage!r} of run {staged.run} is already {self.name} version {earlier.number}, with "
                f"other weights ({earlier.weights_sha256[:12]}, now {staged.weights_sha256[:12]}); a stage becomes one "
                "version. Start a new run"
            )
        return earlier

    def _check_parent(self, staged: StagedVersion) -> None:
        if staged.parent is not None and str(staged.parent) not in self._numbers():
            raise RegistryError(
                f"stage {staged.stage!r} says it started from {self.name} version {staged.parent}, which this registry "
                "does not have; use the registry the run was started with"
            )

    def _check_stable(self, staged: StagedVersion, when_stable_in: Collection[int | None] | None) -> None:
        stable = self.aliases().get(STABLE)
        if when_stable_in is None or stable in when_stable_in:
            return
        if stable is not None and self.version(stable).run == staged.run:
            return
        stands = "no version" if stable is None else f"version {stable}"
        raise StableMovedError(
            f"stable of {self.name} now points to {stands}, which stage {staged.stage!r} was not compared "
            "with; resume its run to compare them, or overrule it: release promote RUN/STAGE --force --reason"
        )

    def _check_taken(self, staged: StagedVersion, alias: str) -> None:
        entries = self.entries()
        running = history.rollout(entries) if alias == CANARY else history.shadow(entries)
        if running is not None and self.version(running.version).run != staged.run:
            share = f" at {running.percent:g} %" if alias == CANARY else ""
            raise CanaryTakenError(f"version {running.version} of {self.name}, of another run, is the {alias}{share}")

    def refuse_damaged(self, version: Version) -> None:
        """Refuses a version whose files are not as they were when it was released.

        Raises:
            RegistryError: names the first difference.
        """
        damage = find_damage(version.folder, version.number, version.manifest_sha256)
        if damage:
            first = f"{damage[0].file or 'its folder'} {damage[0].problem}"
            raise RegistryError(
                f"{self.name} version {version.number} is damaged ({first}); no alias moves. Restore the "
                "version's folder from a backup"
            )

    def _numbers(self) -> list[str]:
        return [str(version.number) for version in self.versions()]


def refuse_unexpected(model: str, alias: str, now: int | None, expected: int | None) -> None:
    """Refuses to take an alias back from another version than is meant, as where somebody has taken it back before.

    Raises:
        InputError: it points elsewhere, or nowhere.
    """
    if expected is not None and now != expected:
        stands = f"there is no {alias}" if now is None else f"version {now} is {alias}"
        raise InputError(f"{model}: version {expected} is not {alias}: {stands}. Nothing is taken back")


def _check_alias(alias: str | None) -> None:
    if alias is not None and alias not in history.MOVABLE_ALIASES:
        raise InputError(unknown_name("alias", alias, history.MOVABLE_ALIASES))
