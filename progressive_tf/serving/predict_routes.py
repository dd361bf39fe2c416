"""`POST …:predict`: answers to instances, in TensorFlow Serving's REST interface."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.serving.access import note_answered
from progressive_tf.serving.batching import Computed
from progressive_tf.serving.described import LABEL_BEFORE
from progressive_tf.serving.instances import PredictRequest, Signatures
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion, RefusedByVersion
from progressive_tf.serving.replies import Reply
from progressive_tf.serving.request_log import Prediction
from progressive_tf.serving.second_answers import Given
from progressive_tf.serving.served_rows import ServedRequest
from progressive_tf.serving.server import Server, json_body
from progressive_tf.serving.standing import Answering, answering_for
from progressive_tf.serving.verbs import PREDICT, Verb

Made = TypeVar("Made")

_PREDICTION = json_body(
    {
        "type": "object",
        "description": "Exactly one of instances and inputs.",
        "properties": {
            "instances": {"type": "array", "items": {}, "description": "A row for each."},
            "inputs": {"description": "A column for each input, or the one column."},
            "signature_name": {"type": "string", "default": "serving_default"},
            "key": {"type": "string", "description": "Who asks, unless the header X-Caller-Key says so."},
        },
    },
    required=True,
)


def predict_routes(server: Server) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter()

    @routes.post("/v1/models/{model}:predict", openapi_extra=_PREDICTION)
    async def predict_by_traffic(request: Request, model: str) -> JSONResponse:
        """Answers by stable, or by the canary if the caller's key is among its share."""
        server.check_name(model)
        return await respond(server, PREDICT, request)

    @routes.post("/v1/models/{model}/versions/{version}:predict", openapi_extra=_PREDICTION)
    async def predict_by_version(request: Request, model: str, version: str) -> JSONResponse:
        """Answers by one version."""
        server.check_name(model)
        return await respond(server, PREDICT, request, version=version)

    @routes.post("/v1/models/{model}/labels/{label}:predict", openapi_extra=_PREDICTION)
    async def predict_by_label(request: Request, model: str, label: str) -> JSONResponse:
        """Answers by the version that an alias points to."""
        server.check_name(model)
        return await respond(server, PREDICT, request, label=label)

    for path in ("versions/{version}/labels/{rest:path}", "labels/{label}/versions/{rest:path}"):
        routes.add_api_route(f"/v1/models/{{model}}/{path}", _both, methods=["GET", "POST"], include_in_schema=False)
    return routes


async def _both() -> None:
    raise Refusal(400, "a version and a label: name one of the two")


async def respond(
    server: Server, verb: Verb, request: Request, version: str | None = None, label: str | None = None
) -> JSONResponse:
    """Returns the reply to a request, by the version or the alias that its path names, if it names one."""
    began = time.monotonic()
    server.tokens.check_predict(request)
    body = await server.incoming.body(request, not_finite=True)  # it takes no place of a request before it is whole
    with server.incoming.one():
        key, caller = server.callers.of(request, body.fields)
        note = partial(note_answered, request.state, caller)
        wanted = Wanted(verb, body.fields, body.size, key, caller, version, label, began, note=note)
        return await answer(server, wanted, partial(_reply, verb))


def _reply(verb: Verb, answered: Answered) -> Reply:
    return Reply(
        {
            **verb.reply(answered.asked, answered.loaded, answered.outputs),
            "labels": answered.loaded.labels,
            "version": str(answered.loaded.number),
            "prediction_ids": answered.ids,
        }
    )


@dataclass(frozen=True)
class Wanted:
    """What a caller wants answered, whichever way it came.

    Args:
        verb: what is asked of the model.
        body: what it is asked about, JSON-like or with arrays, as the verb reads it.
        size: of it, in bytes.
        key: the caller's, see `Callers`.
        caller: the number that stands for the caller.
        version: the number of the version that is named, if one is.
        label: the alias that is named, if one is.
        began: when its first byte came, by the monotonic clock.
        outputs: the names of those that the caller wants; none for all.
        note: is told which version answers, whatever comes of it.
    """

    verb: Verb
    body: Mapping[str, Any]
    size: int
    key: str
    caller: int
    version: str | None
    label: str | None
    began: float
    outputs: Collection[str] = ()
    note: Callable[[int], None] = lambda number: None


@dataclass(frozen=True)
class Answered:
    """What a caller is answered.

    Args:
        loaded: the version that answers.
        asked: what it was asked, as it reads it.
        outputs: of each instance, by name, JSON-like.
        ids: of each instance, for feedback.
    """

    loaded: LoadedVersion
    asked: PredictRequest
    outputs: list[Mapping[str, Any]]
    ids: list[str]


async def answer(server: Server, wanted: Wanted, write: Callable[[Answered], Made]) -> Made:
    """Returns the reply of the version that is named, or that the caller's key leads to, and notes what became of it.

    Args:
        server: whose versions answer.
        wanted: what is asked.
        write: makes the reply of the answers.

    Raises:
        Refusal: there is no answer.
    """
    served, metrics = server.served, server.metrics
    answering, alias = answering_for(served.standing, served.model.name, wanted.version, wanted.label, wanted.key)
    loaded, split = answering.loaded, served.standing.split
    step, stable, share = (split.step, split.stable, split.percent) if split else (0, None, 0.0)
    noted = ServedRequest(0.0, loaded.number, alias, step, 500, 0.0, caller=wanted.caller, stable=stable)
    wanted.note(loaded.number)
    read: PredictRequest | None = None
    asked: PredictRequest | None = None  # what was read, once it is known that the version can be asked it
    predictions, refused = list[Prediction](), False
    try:
        with answering.held():
            read = await _read(server, wanted, loaded.signatures)
            wanted.verb.check(loaded, read.signature, wanted.outputs)
            asked = read
            is_canary = split is not None and loaded.number == split.canary
            with server.incoming.of_canary(wanted.caller, share) if is_canary else contextlib.nullcontext():
                predictions, computed = await _predictions(server, answering, asked, wanted.began, noted)
        outputs = [_with_label_before(server, loaded, prediction.outputs) for prediction in predictions]
        made = write(Answered(loaded, asked, outputs, [prediction.id for prediction in predictions]))
        given = [prediction.outputs for prediction in predictions]
        served.shadow(
            Given(loaded.number, alias, wanted.caller, asked, given, [prediction.id for prediction in predictions])
        )
        noted = replace(noted, status=200)  # only now: what cannot be written is no answer
        if computed is not None:
            noted = replace(noted, computed=computed.seconds, size=computed.size)
        server.unread.note(loaded.number, given)
    except Refusal as refusal:
        beside = served.beside(alias, loaded.number)
        if asked is None and beside is not None:
            asked = await _read_by_other(server, answering, beside, wanted, read)
            refused = asked is not None
        elif asked is not None and isinstance(refusal, RefusedByVersion):
            refused = _is_fit(wanted, beside, asked)
        noted = replace(noted, status=refusal.status, failed=False if refusal.is_own else None)
        raise
    finally:
        log = server.request_log
        noted = replace(noted, time=log.clock.now(), seconds=time.monotonic() - wanted.began)
        which = (served.model.name, loaded.number, alias)
        metrics.requests.labels(*which, noted.status).inc()
        metrics.latency.labels(*which).observe(noted.seconds)
        if refused and asked is not None:
            served.note_refusal(noted, asked)
        else:
            log.add_request(noted, predictions if noted.status == 200 else (), loaded.kind)
        has_failed = noted.status >= 500 and noted.is_failure
        if has_failed and asked is not None and _is_fit(wanted, served.beside(alias, loaded.number), asked):
            served.note_failure(noted, asked)
    return made


def _with_label_before(server: Server, loaded: LoadedVersion, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns outputs with what the version before the labels changed would have called the answer, see
    `LabelLineage.called_before`; as they are where the operator does not want that, or no label changed.
    """
    before = server.served.called_before.get(loaded.number) if server.says_label_before else None
    return {**outputs, LABEL_BEFORE: before.get(outputs["label"])} if before and "label" in outputs else outputs


async def _read(server: Server, wanted: Wanted, signatures: Signatures) -> PredictRequest:
    read = partial(wanted.verb.read, wanted.body, signatures, server.limits)
    return await server.incoming.walk(wanted.size, read)


async def _read_by_other(
    server: Server, answering: Answering, other: Answering, wanted: Wanted, read: PredictRequest | None
) -> PredictRequest | None:
    """Returns what another version is asked by what one cannot read, or cannot answer so; None where it cannot either.

    Args:
        server: of both.
        answering: the one.
        other: the other.
        wanted: what is asked.
        read: as the one reads it; None where it cannot.
    """
    if other.loaded.signatures != answering.loaded.signatures:
        try:
            read = await _read(server, wanted, other.loaded.signatures)
        except Refusal:
            return None
    return read if read is not None and _is_fit(wanted, other, read) else None


def _is_fit(wanted: Wanted, other: Answering | None, asked: PredictRequest) -> bool:
    """Whether there is another version whose answers can be given as they are wanted."""
    if other is None or asked.signature not in other.loaded.output_specs:
        return False
    try:
        wanted.verb.check(other.loaded, asked.signature, wanted.outputs)
    except Refusal:
        return False
    return True


async def _predictions(
    server: Server, answering: Answering, request: PredictRequest, began: float, noted: ServedRequest
) -> tuple[list[Prediction], Computed | None]:
    """Returns the answers, and what the network took for them; None where nothing is asked."""
    seconds, batcher = server.limits.request_seconds, answering.batcher
    before = batcher.waiting_of(noted.caller)
    try:
        with anyio.fail_after(max(seconds - (time.monotonic() - began), 0.0)):
            computed = await batcher.answers(request.asked, noted.caller)
    except TimeoutError:
        message = f"no answer within {seconds:g} s; try again later"
        raise Refusal(504, message, is_own=before > batcher.most) from None
    ids = [uuid.uuid4().hex for _ in computed.answers]
    given = zip(ids, request.instances, computed.answers, strict=True)
    return [Prediction(*each) for each in given], computed if ids else None
