"""`POST /v1/feedback`: what users say about predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.data.cells import label_text
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.errors import unknown_name
from progressive_tf.serving import fields
from progressive_tf.serving.answer import fingerprint
from progressive_tf.serving.incoming import Incoming, Tokens
from progressive_tf.serving.instances import read_body
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.store import Feedback, StoreError, UnlikeAnswer

_KEYS = ("prediction_id", "label", "correct", "rating", "comment")
_SAYS = ("label", "correct", "rating")
_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST_COMMENT, _MOST_TAGS, _LONGEST_TEXT = 2000, 4096, 2**16
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "One of label, correct and rating.",
                    "required": ["prediction_id"],
                    "properties": {
                        "prediction_id": {"type": "string", "description": "As the prediction's reply has it."},
                        "label": {
                            "description": "The right class; for a tagger a list, the right tag of each word; for a "
                            "translator the expected text, which is right character by character."
                        },
                        "correct": {"type": "boolean"},
                        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
                        "comment": {"type": "string", "maxLength": _LONGEST_COMMENT},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


def feedback_routes(
    served: ServedModel, incoming: Incoming, tokens: Tokens, request_log: RequestLog, metrics: Metrics
) -> APIRouter:
    """Returns the route.

    Args:
        served: the model, whose labels are known.
        incoming: reads bodies.
        tokens: of callers.
        request_log: keeps what comes.
        metrics: count it.
    """
    routes = APIRouter()

    @routes.post("/v1/feedback", openapi_extra=_DOCUMENT)
    async def feedback(request: Request) -> JSONResponse:
        """Keeps what a user says about a prediction; the same again changes nothing."""
        tokens.check_predict(request)
        with incoming.one():
            found = read_body(await incoming.body(request))
            said = _read(found, None if _writes(served) else _known_labels(served), _spelling(served))
            try:
                version = await request_log.add_feedback(said)
            except UnlikeAnswer as error:
                raise Refusal(400, str(error)) from None
            except StoreError as error:
                raise Refusal(503, f"the feedback is not kept: {error}; send it again", {"Retry-After": "5"}) from None
        kind = next(name for name in _SAYS if getattr(said, name) is not None)
        metrics.feedback.labels(served.model.name, "" if version is None else version, kind).inc()
        body = {"prediction_id": said.prediction, "joined": version is not None}
        if version is not None:
            return JSONResponse(body | {"version": str(version)})
        return JSONResponse(body | {"message": "no prediction with this id is known, or no longer"}, 202)

    return routes


def _writes(served: ServedModel) -> bool:
    """Whether the versions in memory write texts, which are of no class."""
    return any(each.loaded.task.writes for each in served.standing.by_number.values())


def _known_labels(served: ServedModel) -> dict[str, str]:
    """Returns what answers say for every class of the versions in memory; a task's class with and without its name."""
    answering = served.standing.by_number.values()
    has_tasks = any(each.loaded.has_tasks for each in answering)
    labels = {label for each in answering for label in each.loaded.labels}
    if not has_tasks:
        return {label: label for label in labels}
    said = {label: label.partition("/")[2] or label for label in labels}
    return said | {label: label for label in said.values()}


def _spelling(served: ServedModel) -> Spelling:
    """Returns how else the newest version in memory that says it lets labels be written."""
    versions = sorted(served.standing.by_number.items(), reverse=True)
    rules = (each.loaded.normalize_labels for _, each in versions)
    return Spelling(next((rule for rule in rules if rule is not None), None), tuple(_known_labels(served)))


def _read(found: dict[str, Any], labels: Mapping[str, str] | None, spelling: Spelling) -> Feedback:
    """Returns the feedback in a body.

    Args:
        found: the JSON object.
        labels: what `_known_labels` gives; None where answers are texts.
        spelling: says which of them a label is that is written otherwise.
    """
    fields.refuse_unknown(found, _KEYS)
    prediction = found.get("prediction_id")
    if not isinstance(prediction, str) or not _ID.fullmatch(prediction):
        raise Refusal(400, "prediction_id: 32 hexadecimal digits expected, as the prediction's reply has them")
    given = [name for name in _SAYS if found.get(name) is not None]
    if len(given) != 1:
        raise Refusal(400, f"exactly one of {', '.join(_SAYS)} expected; got {', '.join(given) or 'none'}")
    expected = _text(found.get("label")) if labels is None else None
    return Feedback(
        prediction,
        _label(found.get("label"), labels, spelling) if labels is not None else expected and fingerprint(expected),
        fields.truth(found, "correct"),
        fields.whole_number(found, "rating", 1, 5),
        fields.text(found, "comment", _LONGEST_COMMENT),
        expected,
    )


def _label(value: Any, labels: Mapping[str, str], spelling: Spelling) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        value = [spelling.of(label) if isinstance(label, str) else label for label in value]
    else:
        value = label_text(value)
        value = spelling.of(value) if isinstance(value, str) else value
    each = value if isinstance(value, list) else [value]
    if len(each) > _MOST_TAGS or not all(isinstance(label, str) for label in each):
        raise Refusal(400, "label: a class, or for a tagger a list with the tag of each word, expected")
    checked = [as_answered(label, labels) for label in each]
    return checked if isinstance(value, list) else checked[0]


def as_answered(label: str, labels: Mapping[str, str]) -> str:
    """Returns a right label as answers have it; every label of feedback, and each tag of a word, passes here.

    Args:
        label: as a user gave it.
        labels: what `_known_labels` gives; empty where versions do not say their classes.

    Raises:
        Refusal: 400, no version in memory has this class.
    """
    if labels and label not in labels:
        known = unknown_name("label", label[:80], labels)
        raise Refusal(400, f"{known}. These are the classes of the versions that are served")
    return labels.get(label, label)


def _text(value: Any) -> str | None:
    """Returns an expected text as it is: it is compared with an answer character by character."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise Refusal(
            400, f"label: the expected text, a string, expected; got {value!r:.80}; or send correct, or rating"
        )
    if len(value) > _LONGEST_TEXT or not fields.is_storable(value):
        raise Refusal(400, f"label: a text in UTF-8 of at most {_LONGEST_TEXT} characters expected")
    return value
