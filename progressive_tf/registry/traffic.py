"""Who is answered by which version: a canary for part of the callers, a shadow for none of them."""

from __future__ import annotations

from progressive_tf.errors import InputError
from progressive_tf.registry import history, journal
from progressive_tf.registry.history import CANARY, SHADOW, STABLE, Rollout
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions

WHOLE = 100.0


class Traffic:
    """What an operator does with the versions of a model; each act is one entry of the journal, or none at all.

    Args:
        model: its versions.
    """

    def __init__(self, model: ModelVersions) -> None:
        self.model = model

    def rollout(self) -> Rollout | None:
        """Returns the canary under way, or None."""
        return history.rollout(self.model.entries())

    def start_canary(self, number: int, percent: float, reason: str | None = None) -> Rollout:
        """Sends part of the callers to a version; the same callers while it lasts.

        Args:
            number: the version's.
            percent: of the callers, in (0, 100).
            reason: stands in the journal.

        Raises:
            InputError: there is no such version, it is stable, nothing is stable, another canary is under way, or the
                percentage is none.
            RegistryError: the version is damaged.
        """
        _check_percent(percent)
        with self.model.files.writing(self.model.wait_seconds):
            version = self._candidate(number, CANARY)
            running = self.rollout()
            if running is not None:
                raise InputError(
                    f"{self.model.name}: version {running.version} is the canary, at {running.percent:g} %; widen it, "
                    "or roll it back first"
                )
            self._append(Entry(journal.ALIAS, version=version.number, alias=CANARY, percent=percent, reason=reason))
        return self._running()

    def widen(self, percent: float | None = None, reason: str | None = None) -> Rollout | None:
        """Sends more callers to the canary; with 100 it becomes stable. A paused one goes on.

        Args:
            percent: of the callers; None for what a paused canary had.
            reason: stands in the journal.

        Returns:
            The canary as it is now; None where it became stable.

        Raises:
            InputError: there is no canary, or it has that many already.
            RegistryError: the version is damaged.
        """
        with self.model.files.writing(self.model.wait_seconds):
            running = self._running()
            if percent is None:
                if not running.paused:
                    raise InputError("widen: say how far, --percent P; a percentage can be left out after a pause")
                percent = running.percent
            _check_percent(percent, may_be_whole=True)
            if percent < running.percent or (percent == running.percent and not running.paused):
                raise InputError(
                    f"{self.model.name}: the canary is at {running.percent:g} % already; callers are not taken from it "
                    "one by one: pause it, or roll it back"
                )
            version = self.model.version(running.version)
            self.model.refuse_damaged(version)
            entry = Entry(journal.WIDEN, version=version.number, alias=CANARY, percent=percent, reason=reason)
            last = Entry(journal.ALIAS, version=version.number, alias=STABLE, reason=reason)
            self._append(entry, *([last] if percent == WHOLE else []))
        return self.rollout()

    def pause(self, reason: str | None = None) -> Rollout:
        """Sends nobody to the canary until it is widened again.

        Raises:
            InputError: there is no canary, or it is paused already.
        """
        with self.model.files.writing(self.model.wait_seconds):
            running = self._running()
            if running.paused:
                raise InputError(f"{self.model.name}: the canary, version {running.version}, is paused already")
            self._append(Entry(journal.PAUSE, version=running.version, alias=CANARY, reason=reason))
        return self._running()

    def start_shadow(self, number: int, reason: str | None = None) -> Version:
        """Lets a version answer every request in the background, and no caller.

        Raises:
            InputError: there is no such version, it answers callers already, or nothing is stable.
            RegistryError: the version is damaged.
        """
        with self.model.files.writing(self.model.wait_seconds):
            version = self._candidate(number, SHADOW)
            running = self.rollout()
            if running is not None and running.version == number:
                raise InputError(f"{self.model.name}: version {number} is the canary; it answers callers already")
            self._append(Entry(journal.ALIAS, version=number, alias=SHADOW, reason=reason))
        return version

    def withdraw(self, alias: str, reason: str | None = None) -> Version:
        """Takes a canary or a shadow back; `stable` stays.

        Args:
            alias: canary or shadow.
            reason: stands in the journal.

        Returns:
            The version that was withdrawn.

        Raises:
            InputError: there is none.
        """
        with self.model.files.writing(self.model.wait_seconds):
            number = self.model.aliases().get(alias)
            if number is None or alias not in (CANARY, SHADOW):
                raise InputError(f"{self.model.name} has no {alias} to take back")
            self._append(Entry(journal.ROLLBACK, version=number, alias=alias, reason=reason))
        return self.model.version(number)

    def _candidate(self, number: int, alias: str) -> Version:
        version = self.model.version(number)
        stable = self.model.aliases().get(STABLE)
        if stable is None:
            raise InputError(f"{self.model.name}: nothing is stable yet, so there are no callers to share")
        if stable == number:
            raise InputError(f"{self.model.name}: version {number} is stable; a {alias} is another one")
        self.model.refuse_damaged(version)
        return version

    def _running(self) -> Rollout:
        running = self.rollout()
        if running is None:
            raise InputError(f"{self.model.name} has no canary; begin one with `release canary {self.model.name} N`")
        return running

    def _append(self, *entries: Entry) -> None:
        self.model.files.append(*entries)


def _check_percent(percent: float, may_be_whole: bool = False) -> None:
    if not (0 < percent < WHOLE or (may_be_whole and percent == WHOLE)):
        ends = "above 0 and up to 100" if may_be_whole else "above 0 and below 100"
        raise InputError(f"--percent {percent:g}: a percentage {ends} expected")
