"""Who is answered by which version: a canary for part of the callers, a shadow for none of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from progressive_tf.errors import InputError
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import history, journal
from progressive_tf.registry.history import CANARY, MOVABLE_ALIASES, SHADOW, STABLE, Rollout
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions, refuse_unexpected

WHOLE = 100.0

Append = Callable[..., None]


@dataclass(frozen=True)
class TakenBack:
    """What a rollback has taken back.

    Args:
        alias: stable, canary or shadow.
        version: that it pointed to.
        now: the version that it points to instead; None where it ended.
    """

    alias: str
    version: int
    now: int | None = None


class Traffic:
    """What an operator does with the versions of a model; each act is one entry of the journal, or none at all.

    Args:
        model: its versions.
        who: acts, for the journal; empty for the user of this process.
    """

    def __init__(self, model: ModelVersions, who: str = "") -> None:
        self.model = model
        self.who = who

    def rollout(self) -> Rollout | None:
        """Returns the canary under way, or None."""
        return history.rollout(self.model.entries())

    def schedule(self) -> ReleaseSchedule | None:
        """Returns the steps that the plan of the canary under way asks for; None without any, or without a canary."""
        running = self.rollout()
        manifest = None if running is None else self.model.version(running.version).manifest()
        release = (manifest or {}).get("release")
        return None if release is None else ReleaseSchedule.of_version(release)

    def start_canary(self, number: int, percent: float | None = None, reason: str | None = None) -> Rollout:
        """Sends part of the callers to a version; the same callers while it lasts.

        Args:
            number: the version's.
            percent: of the callers, in (0, 100); None for the first step of the version's plan.
            reason: stands in the journal.

        Raises:
            InputError: there is no such version, it is stable, nothing is stable, another canary is under way, or the
                percentage is none.
            RegistryError: the version is damaged.
        """
        with self._moving() as append:
            self._begin_canary(append, number, percent, reason)
        return self._running()

    def widen(
        self,
        percent: float | None = None,
        reason: str | None = None,
        answers: int = 0,
        judged: int = 0,
        at_step: int | None = None,
        beside: int | None = None,
    ) -> Rollout | None:
        """Sends more callers to the canary; with 100 it becomes stable. A paused one goes on.

        Args:
            percent: of the callers; None for what a paused canary had, and else for the next step of its plan.
            reason: stands in the journal.
            answers: that the canary gave at its present step, as its server counted them; a step of the plan is taken
                only with enough of them.
            judged: of these, how many users have judged; likewise.
            at_step: only if the canary is at this step still, see `Rollout`.
            beside: only if this version is stable still.

        Returns:
            The canary as it is now; None where it became stable.

        Raises:
            InputError: there is no canary, it has that many callers already, has given too few answers, or is at
                another step.
            RegistryError: the version is damaged.
        """
        with self._moving() as append:
            running = self._running(at_step)
            self._refuse_moved(STABLE, beside)
            if percent is None:
                percent = running.percent if running.paused else self._next_step(running, answers, judged)
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
            append(entry, *([last] if percent == WHOLE else []))
        return self.rollout()

    def pause(self, reason: str | None = None) -> Rollout:
        """Sends nobody to the canary until it is widened again.

        Raises:
            InputError: there is no canary, or it is paused already.
        """
        with self._moving() as append:
            running = self._running()
            if running.paused:
                raise InputError(f"{self.model.name}: the canary, version {running.version}, is paused already")
            append(Entry(journal.PAUSE, version=running.version, alias=CANARY, reason=reason))
        return self._running()

    def prove(self, alias: str, version: int, stable: int, reason: str) -> None:
        """Notes that a canary or shadow is shown to be good enough beside stable; once, and nothing if they have moved.

        Args:
            alias: canary or shadow.
            version: that it pointed to when this was found.
            stable: the version that it was compared with.
            reason: what was found.
        """
        with self._moving() as append:
            entries = self.model.entries()
            now = history.current_aliases(entries)
            if (now.get(alias), now.get(STABLE)) == (version, stable) and not history.proof_of(entries, version):
                append(Entry(journal.PROVED, version=version, alias=alias, reason=reason))

    def start_shadow(self, number: int, reason: str | None = None) -> Version:
        """Lets a version answer every request in the background, and no caller.

        Raises:
            InputError: there is no such version, it answers callers already, or nothing is stable.
            RegistryError: the version is damaged.
        """
        with self._moving() as append:
            version = self._candidate(number, SHADOW)
            running = self.rollout()
            if running is not None and running.version == number:
                raise InputError(f"{self.model.name}: version {number} is the canary; it answers callers already")
            append(Entry(journal.ALIAS, version=number, alias=SHADOW, reason=reason))
        return version

    def withdraw(
        self, alias: str, reason: str | None = None, at_step: int | None = None, expected: int | None = None
    ) -> Version:
        """Takes a canary or a shadow back; `stable` stays. Waits for no other process, see `ModelFolder.taking_back`.

        Args:
            alias: canary or shadow.
            reason: stands in the journal.
            at_step: only if the canary is at this step still, or the shadow began there, see `Rollout`.
            expected: only if it is this version; None for whichever it is.

        Returns:
            The version that was withdrawn, with the aliases that it had before.

        Raises:
            InputError: there is none, it is at another step, or another version.
        """
        with self.model.files.taking_back() as append:
            if at_step is not None and alias == CANARY:
                self._running(at_step)
            elif at_step is not None:
                self._refuse_another_shadow(at_step)
            number = self.model.aliases().get(alias)
            refuse_unexpected(self.model.name, alias, number, expected)
            if number is None or alias not in (CANARY, SHADOW):
                raise InputError(f"{self.model.name} has no {alias} to take back")
            version = self.model.version(number)  # looked up here: once it is taken back nothing may fail any more
            append(Entry(journal.ROLLBACK, version=number, alias=alias, reason=reason, who=self.who))
        return version

    def end_shadow(self, at_step: int, beside: int, reason: str) -> Rollout:
        """Makes a shadow the canary, at the first step of its plan.

        Args:
            at_step: only if this is the shadow's still, see `Rollout`.
            beside: only if this version is stable still.
            reason: stands in the journal.

        Raises:
            InputError: they have moved, or as `start_canary` does.
        """
        with self._moving() as append:
            self._refuse_moved(STABLE, beside)
            self._begin_canary(append, self._refuse_another_shadow(at_step), None, reason)
        return self._running()

    def roll_back(self, alias: str | None = None, reason: str | None = None, version: int | None = None) -> TakenBack:
        """Takes back what an alias points to: a canary or a shadow ends, stable goes to previous.

        It waits for no other process, not even for one that exports a version, and takes back what an alias points to
        when it is called: what a killed process left is settled afterwards.

        Args:
            alias: canary, shadow or stable; None for the canary if there is one, and else stable, unless the canary was
                taken back last: whoever did not know that yet means the canary.
            reason: stands in the journal.
            version: that is to be taken back, so that whoever asks twice takes back nothing else; without an alias,
                whichever of them points to it.

        Raises:
            InputError: there is nothing to take back, or to go back to; the alias points to another version, or has
                been moved in the meantime.
            RegistryError: the version to go back to is damaged.
        """
        now = self.model.aliases()
        if alias is None and version is not None:
            alias = next((each for each in MOVABLE_ALIASES if now.get(each) == version), None)
            if alias is None:
                neither = " nor ".join(MOVABLE_ALIASES)
                raise InputError(
                    f"{self.model.name}: version {version} is neither {neither}; it has been taken back already, or "
                    "never was. Nothing is taken back"
                )
        alias = alias or self._alias_to_take_back()
        expected = now.get(alias) if version is None else version
        if alias == STABLE:
            now_stable = self.model.rollback(reason, self.who, expected).number
            return TakenBack(alias, int(expected or 0), now_stable)
        return TakenBack(alias, self.withdraw(alias, reason, expected=expected).number)

    def _alias_to_take_back(self) -> str:
        if self.rollout() is not None:
            return CANARY
        moves = [entry for entry in self.model.entries() if entry.alias in (CANARY, STABLE)]
        if moves and (moves[-1].event, moves[-1].alias) == (journal.ROLLBACK, CANARY):
            last = moves[-1]
            raise InputError(
                f"{self.model.name}: the canary, version {last.version}, has been taken back already, by {last.who} at "
                f"{last.time}; stable stays. To take stable back too, name it: --alias stable"
            )
        return STABLE

    def _begin_canary(self, append: Append, number: int, percent: float | None, reason: str | None) -> None:
        version = self._candidate(number, CANARY)
        if percent is None:
            percent = self._first_step(version)
        _check_percent(percent)
        running = self.rollout()
        if running is not None:
            raise InputError(
                f"{self.model.name}: version {running.version} is the canary, at {running.percent:g} %; widen it, "
                "or roll it back first"
            )
        append(Entry(journal.ALIAS, version=version.number, alias=CANARY, percent=percent, reason=reason))

    def _refuse_moved(self, alias: str, version: int | None) -> None:
        if version is not None and self.model.aliases().get(alias) != version:
            raise InputError(f"{self.model.name}: {alias} has been moved in the meantime, from version {version}")

    def _refuse_another_shadow(self, step: int) -> int:
        running = history.shadow(self.model.entries())
        if running is None or running.step != step:
            raise InputError(f"{self.model.name}: the shadow has been moved in the meantime")
        return running.version

    def _candidate(self, number: int, alias: str) -> Version:
        version = self.model.version(number)
        stable = self.model.aliases().get(STABLE)
        if stable is None:
            raise InputError(f"{self.model.name}: nothing is stable yet, so there are no callers to share")
        if stable == number:
            raise InputError(f"{self.model.name}: version {number} is stable; a {alias} is another one")
        self.model.refuse_damaged(version)
        return version

    def _running(self, at_step: int | None = None) -> Rollout:
        running = self.rollout()
        if running is None:
            raise InputError(f"{self.model.name} has no canary; begin one with `release canary {self.model.name} N`")
        if at_step not in (None, running.step):
            raise InputError(f"{self.model.name}: the canary has been moved in the meantime, to {running.percent:g} %")
        return running

    def _first_step(self, version: Version) -> float:
        release = (version.manifest() or {}).get("release")
        if release is None:
            raise InputError(
                f"{self.model.name}: the plan of version {version.number} has no release.steps; say how many callers, "
                "--percent P"
            )
        schedule = ReleaseSchedule.of_version(release)
        if schedule.shadow_first and history.proof_of(self.model.entries(), version.number) is None:
            raise InputError(
                f"{self.model.name}: version {version.number} answers nobody before it is shown to be good enough, as "
                f"its plan has release.shadow_first; begin with `release shadow {self.model.name} {version.number}`, "
                "or say how many callers, --percent P"
            )
        return schedule.steps[0]

    def _next_step(self, running: Rollout, answers: int, judged: int) -> float:
        schedule = self.schedule()
        if schedule is None:
            raise InputError(
                f"{self.model.name}: the plan of version {running.version} has no release.steps; say how far, "
                "--percent P"
            )
        for count, needed, what in (
            (answers, schedule.min_samples, "answers"),
            (judged, schedule.min_judged, "judged answers"),
        ):
            if count < needed:
                minutes = minutes_since(running.since)
                is_over = schedule.max_minutes is not None and minutes > schedule.max_minutes
                raise InputError(
                    f"{self.model.name}: version {running.version} has given {count} of the {needed} {what} that its "
                    f"plan asks for at {running.percent:g} % (of one caller at most a tenth of them counts)"
                    + (f", after {minutes:.0f} of {schedule.max_minutes:g} minutes" if is_over else "")
                    + "; wait, say how far with --percent P, or roll it back"
                )
        self._refuse_too_soon(running, schedule)
        self._refuse_unproved(running.version, schedule)
        return schedule.after(running.percent)

    def _refuse_too_soon(self, running: Rollout, schedule: ReleaseSchedule) -> None:
        minutes = minutes_since(history.evidence_since(self.model.entries(), running))
        if minutes < schedule.min_minutes:
            raise InputError(
                f"{self.model.name}: version {running.version} has been at {running.percent:g} % for {minutes:.0f} of "
                f"the {schedule.min_minutes:g} minutes that its plan asks for; wait, say how far with --percent P, or "
                "roll it back"
            )

    def _refuse_unproved(self, number: int, schedule: ReleaseSchedule) -> None:
        if schedule.needs_proof and history.proof_of(self.model.entries(), number) is None:
            raise InputError(
                f"{self.model.name}: version {number} is not shown yet to be at most "
                f"{100 * schedule.max_accuracy_drop:g} points less accurate than stable, as its plan asks; its server "
                "notes it in the journal once it is. Answer its questions (`monitor --ask`), or say how far with "
                "--percent P"
            )

    @contextlib.contextmanager
    def _moving(self) -> Iterator[Append]:
        """Holds the model's lock, and yields what adds entries, unless something was taken back since: that waits for
        no lock.
        """
        with self.model.files.writing(self.model.wait_seconds):
            last = max((entry.id for entry in self.model.entries()), default=0)

            def append(*entries: Entry) -> None:
                self.model.files.append_after(last, *(replace(entry, who=self.who) for entry in entries))

            yield append


def minutes_since(moment: str) -> float:
    """Returns the minutes since a moment of the journal; 0 where the clock has been set back behind it."""
    return max((datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds() / 60, 0.0)


def _check_percent(percent: float, may_be_whole: bool = False) -> None:
    if not (0 < percent < WHOLE or (may_be_whole and percent == WHOLE)):
        ends = "above 0 and up to 100" if may_be_whole else "above 0 and below 100"
        raise InputError(f"--percent {percent:g}: a percentage {ends} expected")
