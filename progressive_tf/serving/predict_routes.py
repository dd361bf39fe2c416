"""`POST …:predict`: answers to instances, in TensorFlow Serving's REST interface."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.serving.access import note_answered
from progressive_tf.serving.batching import Computed
from progressive_tf.serving.described import LABEL_BEFORE
from progressive_tf.serving.instances import PredictRequest, read_body, read_request, reply
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion, RefusedByVersion
from progressive_tf.serving.metrics import Unread
from progressive_tf.serving.request_log import Prediction
from progressive_tf.serving.second_answers import Given
from progressive_tf.serving.served_rows import ServedRequest
from progressive_tf.serving.server import Server, json_body
from progressive_tf.serving.standing import Answering, answering_for

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
    routes, unread = APIRouter(), Unread(server.served.model.name, server.metrics)

    @routes.post("/v1/models/{model}:predict", openapi_extra=_PREDICTION)
    async def predict_by_traffic(request: Request, model: str) -> JSONResponse:
        """Answers by stable, or by the canary if the caller's key is among its share."""
        server.check_name(model)
        return await _predict(server, unread, request)

    @routes.post("/v1/models/{model}/versions/{version}:predict", openapi_extra=_PREDICTION)
    async def predict_by_version(request: Request, model: str, version: str) -> JSONResponse:
        """Answers by one version."""
        server.check_name(model)
        return await _predict(server, unread, request, version=version)

    @routes.post("/v1/models/{model}/labels/{label}:predict", openapi_extra=_PREDICTION)
    async def predict_by_label(request: Request, model: str, label: str) -> JSONResponse:
        """Answers by the version that an alias points to."""
        server.check_name(model)
        return await _predict(server, unread, request, label=label)

    for path in ("versions/{version}/labels/{rest:path}", "labels/{label}/versions/{rest:path}"):
        routes.add_api_route(f"/v1/models/{{model}}/{path}", _both, methods=["GET", "POST"], include_in_schema=False)
    return routes


async def _both() -> None:
    raise Refusal(400, "a version and a label: name one of the two")


async def _predict(
    server: Server, unread: Unread, request: Request, version: str | None = None, label: str | None = None
) -> JSONResponse:
    began = time.monotonic()
    served, metrics = server.served, server.metrics
    server.tokens.check_predict(request)
    with server.incoming.one():
        body = read_body(await server.incoming.body(request))
        key, caller = server.callers.of(request, body)
        answering, alias = answering_for(served.standing, served.model.name, version, label, key)
        loaded, split = answering.loaded, served.standing.split
        step, stable, share = (split.step, split.stable, split.percent) if split else (0, None, 0.0)
        noted = ServedRequest(0.0, loaded.number, alias, step, 500, 0.0, caller=caller, stable=stable)
        note_answered(request.state, caller, loaded.number)
        asked: PredictRequest | None = None
        predictions, refused = list[Prediction](), False
        try:
            with answering.held():
                asked = read_request(body, loaded.signatures, server.limits)
                is_canary = split is not None and loaded.number == split.canary
                with server.incoming.of_canary(caller, share) if is_canary else contextlib.nullcontext():
                    predictions, computed = await _answer(server, answering, asked, began, noted)
            noted = replace(noted, status=200)
            if computed is not None:
                noted = replace(noted, computed=computed.seconds, size=computed.size)
            unread.note(loaded.number, [prediction.outputs for prediction in predictions])
        except Refusal as refusal:
            beside = served.beside(alias, loaded.number)
            if asked is None and beside is not None:
                asked = _read_by_other(server, answering, beside, body)
                refused = asked is not None
            refused = refused or isinstance(refusal, RefusedByVersion)
            noted = replace(noted, status=refusal.status, failed=False if refusal.is_own else None)
            raise
        finally:
            log = server.request_log
            noted = replace(noted, time=log.clock.now(), seconds=time.monotonic() - began)
            which = (served.model.name, loaded.number, alias)
            metrics.requests.labels(*which, noted.status).inc()
            metrics.latency.labels(*which).observe(noted.seconds)
            if refused and asked is not None:
                served.note_refusal(noted, asked)
            else:
                log.add_request(noted, predictions, loaded.kind)
            if noted.status >= 500 and noted.is_failure and asked is not None:
                served.note_failure(noted, asked)
    return JSONResponse(
        {
            **reply(asked.form, [_with_label_before(server, loaded, prediction.outputs) for prediction in predictions]),
            "labels": loaded.labels,
            "version": str(loaded.number),
            "prediction_ids": [prediction.id for prediction in predictions],
        }
    )


def _with_label_before(server: Server, loaded: LoadedVersion, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns outputs with what the version before the labels changed would have called the answer, see
    `LabelLineage.called_before`; as they are where the operator does not want that, or no label changed.
    """
    before = server.served.called_before.get(loaded.number) if server.says_label_before else None
    return {**outputs, LABEL_BEFORE: before.get(outputs["label"])} if before and "label" in outputs else outputs


def _read_by_other(
    server: Server, answering: Answering, other: Answering, body: Mapping[str, Any]
) -> PredictRequest | None:
    """Returns what another version is asked by a body that one cannot read; None where it cannot either."""
    if other.loaded.signatures == answering.loaded.signatures:
        return None
    try:
        return read_request(body, other.loaded.signatures, server.limits)
    except Refusal:
        return None


async def _answer(
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
    server.served.shadow(Given(noted.version, noted.alias, noted.caller, request, computed.answers, ids))
    given = zip(ids, request.instances, computed.answers, strict=True)
    return [Prediction(*each) for each in given], computed if ids else None
