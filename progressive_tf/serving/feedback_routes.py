"""`POST /v1/feedback`: what users say about predictions, and labels that were asked for; `GET …/questions` asks."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.errors import unknown_name
from progressive_tf.serving import fields
from progressive_tf.serving.access import note_answered
from progressive_tf.serving.answers import KINDS
from progressive_tf.serving.answers.base import KnownLabels, ServedAnswers
from progressive_tf.serving.answers.classes import SERVED
from progressive_tf.serving.kept_rows import UnlikeAnswer
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.proof import two_to_compare
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.served_rows import Feedback
from progressive_tf.serving.server import Server, json_body
from progressive_tf.serving.store import StoreError
from progressive_tf.serving.told import told

log = logging.getLogger("progressive_tf.serving")

_KEYS = ("prediction_id", "question_id", "label", "correct", "rating", "comment")
_SAYS = ("label", "correct", "rating")
_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST_COMMENT = 2000
_MOST_QUESTIONS = 1000
_DOCUMENT = json_body(
    {
        "type": "object",
        "description": "prediction_id or question_id, and one of label, correct and rating.",
        "properties": {
            "prediction_id": {"type": "string", "description": "As the prediction's reply has it."},
            "question_id": {"type": "string", "description": "In its place, with a label: of a question."},
            "label": {
                "description": "The right class, in a word of now or of an earlier version; one that no version "
                "ever had is kept, counted, and judges nothing. For a tagger a list, the right tag of each word; for a "
                "translator the expected text, which is right character by character. Of a question, null, or a class "
                "that no version in memory has: both answers are wrong."
            },
            "correct": {"type": "boolean"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
            "comment": {"type": "string", "maxLength": _LONGEST_COMMENT},
        },
        "additionalProperties": False,
    },
    required=True,
)


def feedback_routes(server: Server) -> APIRouter:
    """Returns the routes."""
    routes, served = APIRouter(), server.served

    @routes.post("/v1/feedback", openapi_extra=_DOCUMENT)
    async def feedback(request: Request) -> JSONResponse:
        """Keeps what a user says about a prediction; the same again changes nothing."""
        server.tokens.check_known(request)
        body = (await server.incoming.body(request)).fields
        with server.incoming.one(), _refusing():
            if "question_id" in body:
                return await _answered(server, body, server.tokens.is_operator(request))
            given = _read(body, served)
            version, kept = await server.request_log.add_feedback(given)
            note_answered(request.state, None, version)
        about = (
            "unknown label"
            if given.is_unknown_label
            else next(name for name in _SAYS if getattr(given, name) is not None)
        )
        server.metrics.feedback.labels(served.model.name, "" if version is None else version, about).inc()
        told = _told(given.label, kept.label, served)
        said = {"prediction_id": given.prediction, "joined": version is not None, **told}
        if version is not None:
            return JSONResponse(said | {"version": str(version)})
        missing = ["no prediction with this id is known, or no longer", *filter(None, [told.get("message")])]
        return JSONResponse(said | {"message": "; ".join(missing)}, 202)

    @routes.get("/v1/models/{model}/questions")
    async def questions(request: Request, model: str, limit: str = "20") -> dict[str, Any]:
        """Gives the disagreements of stable with the canary or shadow whose labels would settle soonest whether it is
        good enough; what they say is not told.
        """
        server.check_name(model)
        server.tokens.check_questions(request)
        if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= _MOST_QUESTIONS):
            raise Refusal(400, f"limit: a whole number from 1 to {_MOST_QUESTIONS} expected; got {limit!r:.20}")
        two = two_to_compare(served.standing.aliases)
        if two is None:
            return {"questions": []}
        loaded = served.standing.by_number[two.stable].loaded
        with _refusing():
            asked = await server.request_log.questions(two, int(limit), loaded.kind)
        return {"questions": asked} | ({"labels": list(loaded.labels)} if loaded.labels else {})

    return routes


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Refuses, 400 or 503, what the store does not keep."""
    try:
        yield
    except UnlikeAnswer as error:
        raise Refusal(400, str(error)) from None
    except StoreError as error:
        log.error("feedback or a question found no store: %s", error)
        raise Refusal(503, f"the feedback is not kept: {told(error)}; send it again", {"Retry-After": "5"}) from None


async def _answered(server: Server, body: dict[str, Any], is_operator: bool) -> JSONResponse:
    """Keeps the label that a question asked for. Which version it speaks for is not told. That it is none that a
    version knows only an operator may say: both are wrong then, which is better for a candidate than no label.
    """
    question, label = body["question_id"], body.get("label")
    fields.refuse_unknown(body, ("question_id", "label"))
    if not isinstance(question, str) or not _ID.fullmatch(question):
        raise Refusal(400, "question_id: 32 hexadecimal digits expected, as the question has them")
    if "label" not in body:
        raise Refusal(
            400, "label: the right one expected, since a question asks for nothing else; null for none of them"
        )
    if label is None and not is_operator:
        raise Refusal(
            403, "label: null, for none of the known ones, is an operator's to say, with --release-token-file"
        )
    known = _known_labels(server.served)
    read, _ = (None, None) if label is None else _kind(server.served).read_feedback(label, known)
    if _told(read, read, server.served) and not is_operator:
        word = unknown_name("label", str(read), known.names)
        raise Refusal(403, f"{word}. {SERVED}; that it is another one is an operator's to say, as null is")
    try:
        kept = await server.request_log.answer_question(question, read, _is_unknown(read, server.served))
    except LookupError:
        raise Refusal(404, "no question with this id is known, or no longer") from None
    server.metrics.feedback.labels(server.served.model.name, "", "question").inc()
    return JSONResponse({"question_id": question, "joined": True, **_told(read, kept, server.served)})


def _kind(served: ServedModel) -> ServedAnswers:
    return next((version.kind for version in _newest_first(served)), KINDS["classes"])


def _newest_first(served: ServedModel) -> list[LoadedVersion]:
    return [answering.loaded for _, answering in sorted(served.standing.by_number.items(), reverse=True)]


def _known_labels(served: ServedModel) -> KnownLabels:
    """Returns the classes of the versions in memory, a task's class with and without the task's name, what they were
    called before in any version of their line, and how else the newest version that says it lets them be written.
    """
    versions = _newest_first(served)
    names: dict[str, str] = {}
    for version in versions:
        for label in version.labels:
            name = label.partition("/")[2] if version.has_tasks else ""
            for given in (label, name or label):
                names.setdefault(given, name or label)
    split: dict[str, tuple[str, ...]] = {}
    for version in versions:  # a label that was renamed, merged or split, where no version still answers with it
        for old, news in served.lineage.old_words(version.number).items():
            if len(news) == 1:
                names.setdefault(old, news[0])
            elif news:
                split.setdefault(old, news)
    split = {old: news for old, news in split.items() if old not in names}
    others = sorted(served.lineage.words - names.keys() - split.keys())
    rule = next((version.normalize_labels for version in versions if version.normalize_labels is not None), None)
    return KnownLabels(names, Spelling(rule, (*names, *split, *others)), split)


def _is_unknown(label: Any, served: ServedModel) -> bool:
    """Whether no version ever had a class, or the tag of a word."""
    return bool(served.lineage.strange(label))


def _told(label: Any, kept: Any, served: ServedModel) -> dict[str, str]:
    """Returns what a reply says of a right label that no version in memory has; nothing of any other.

    Args:
        label: as answers have it.
        kept: the same, as the redaction hook lets it be kept.
        served: the versions.
    """
    if _is_unknown(label, served):
        if kept is None:
            return {
                "message": "no version has this label, and the redaction hook keeps nothing of it: it counts nowhere"
            }
        said = f"{unknown_name('label', str(kept), _known_labels(served).names)}. {SERVED}"
        advice = "It is kept and counted; if it is a mistake, send the right one: the newest counts"
        return {"unknown_label": kept, "message": f"{said}. {advice}"}
    lineage = served.lineage
    numbers = [number for number in served.standing.by_number if number in lineage.of and lineage.of[number].labels]
    if not isinstance(label, str) or not numbers or any(lineage.meaning(number, label) for number in numbers):
        return {}
    why = f"label: {label!r} is a class of another version, and of none that is served, so that their answers are wrong"
    return {"message": f"{why}; if it is a mistake, send the right one: the newest counts"}


def _read(body: dict[str, Any], served: ServedModel) -> Feedback:
    fields.refuse_unknown(body, _KEYS)
    prediction = body.get("prediction_id")
    if not isinstance(prediction, str) or not _ID.fullmatch(prediction):
        raise Refusal(400, "prediction_id: 32 hexadecimal digits expected, as the prediction's reply has them")
    given = [name for name in _SAYS if body.get(name) is not None]
    if len(given) != 1:
        raise Refusal(400, f"exactly one of {', '.join(_SAYS)} expected; got {', '.join(given) or 'none'}")
    label, expected, value = None, None, body.get("label")
    if value is not None:
        label, expected = _kind(served).read_feedback(value, _known_labels(served))
    return Feedback(
        prediction,
        label,
        fields.truth(body, "correct"),
        fields.whole_number(body, "rating", 1, 5),
        fields.text(body, "comment", _LONGEST_COMMENT),
        expected,
        is_unknown_label=_is_unknown(label, served),
    )
