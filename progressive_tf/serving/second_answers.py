"""What a second version says, in the background, to what a caller was answered by the first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.serving.answers.base import PROBABILITIES, probabilities_of
from progressive_tf.serving.answers.texts import is_of_tokens
from progressive_tf.serving.batching import Asked
from progressive_tf.serving.instances import PredictRequest
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_rows import Shadowed
from progressive_tf.serving.standing import Answering

log = logging.getLogger("progressive_tf.serving")


@dataclass(frozen=True)
class Given:
    """What a caller was answered.

    Args:
        by: the version.
        alias: under which alias; "" where the path named the version or the alias.
        caller: stands for who asked.
        request: what was asked, as that version reads it.
        answers: what the caller got.
        ids: of the predictions.
    """

    by: int
    alias: str
    caller: int
    request: PredictRequest
    answers: Sequence[Mapping[str, Any]]
    ids: Sequence[str]


class SecondAnswers:
    """Asks second versions, counts where they say something else, and keeps it.

    Args:
        model: its name.
        metrics: are told.
        request_log: keeps what is said.
    """

    def __init__(self, model: str, metrics: Metrics, request_log: RequestLog) -> None:
        self._model = model
        self._metrics = metrics
        self._request_log = request_log

    async def ask(
        self,
        other: Answering,
        given: Given,
        same_classes: bool,
        two: TwoVersions | None,
        lineage: LabelLineage = EVERY_WORD,
    ) -> None:
        """Asks a second version what it says to the same body, as it reads it; what it has no time for is counted and
        dropped.

        Args:
            other: the second version.
            given: what the first one said.
            same_classes: whether the probabilities of both are of the same classes.
            two: stable and the candidate, where their answers are evidence.
            lineage: the words of both.
        """
        which, kind = (self._model, other.loaded.number), other.loaded.kind
        try:
            asked = await _asked(given.request, other)
            with other.held():
                theirs = (await other.background.answers(asked, given.caller)).answers
        except Exception as error:
            is_busy = isinstance(error, Refusal) and error.status == 429
            if not isinstance(error, Refusal):
                log.exception("the shadow, version %d, failed", other.loaded.number)
            self._metrics.shadowed.labels(*which, "no time" if is_busy else "failed").inc(len(given.ids))
            if two is not None and two.candidate == other.loaded.number and not is_busy:
                says = kind.label(given.answers[0])
                self._pair(given, two, stable_says=says, prediction=given.ids[0], has_failed=True)
            return
        now = self._request_log.clock.now()
        for prediction, ours, theirs_to_it in zip(given.ids, given.answers, theirs, strict=True):
            both = (given.by, kind.label(ours)), (other.loaded.number, kind.label(theirs_to_it))
            is_same = kind.same(ours, theirs_to_it) or (both[0][1] != both[1][1] and lineage.agree(*both))
            self._metrics.shadowed.labels(*which, "same" if is_same else "other").inc()
            pair = [outputs.get(PROBABILITIES) or [] for outputs in (ours, theirs_to_it)]
            apart = _difference(*pair) if same_classes else None
            if apart is not None:
                self._metrics.shadow_difference.labels(*which).observe(apart)
            answer = kind.label(theirs_to_it), probabilities_of(theirs_to_it)
            self._request_log.add_shadow(Shadowed(now, prediction, other.loaded.number, *answer, apart))
        if two is not None:
            said = {given.by: kind.label(given.answers[0]), other.loaded.number: kind.label(theirs[0])}
            says = {"stable_says": said[two.stable], "candidate_says": said[two.candidate]}
            self._pair(given, two, prediction=given.ids[0], **says)

    async def is_answered(self, other: Answering, request: PredictRequest) -> bool | None:
        """Returns whether another version answers what one gave no answer to; None where it has no time."""
        try:
            asked = await _asked(request, other)
            with other.held():
                await other.background.answers(asked)
        except Refusal as refusal:
            return None if refusal.status == 429 else False
        except Exception:
            log.exception("version %d gave no answer to what another gave none to", other.loaded.number)
            return False
        return True

    def note_failure(self, caller: int, two: TwoVersions) -> None:
        """Notes that the candidate failed for a caller, whom it cannot have answered rightly."""
        self._request_log.add_pair(Pair(self._request_log.clock.now(), two, caller, has_failed=True))

    def _pair(self, given: Given, two: TwoVersions, **changes: Any) -> None:
        if is_of_tokens(changes["stable_says"]):
            return  # nobody can say which tokens are right
        self._request_log.add_pair(Pair(self._request_log.clock.now(), two, given.caller, **changes))


async def _asked(request: PredictRequest, other: Answering) -> list[Asked]:
    """Returns what a body asks of another version; in a thread where it has to be walked again."""
    signatures = other.loaded.signatures
    if request.is_as_in(signatures):
        return request.asked
    return await asyncio.get_running_loop().run_in_executor(None, request.asked_of, signatures)


def _difference(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Returns the largest difference between two probabilities of one class; None without any."""
    if not ours or len(ours) != len(theirs):
        return None
    return max(abs(left - right) for left, right in zip(ours, theirs, strict=True))
