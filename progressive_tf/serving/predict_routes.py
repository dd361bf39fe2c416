"""`POST …:predict`: answers to instances, in TensorFlow Serving's REST interface."""

from __future__ import annotations

import time
import uuid
from typing import Any

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.serving.batching import Asked
from progressive_tf.serving.instances import bucket_of, caller_key, length_of, read_body, read_request, reply
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.metrics import Unread
from progressive_tf.serving.request_log import Prediction
from progressive_tf.serving.routing import caller_number
from progressive_tf.serving.second_answers import Given
from progressive_tf.serving.served_model import Answering, answering_for
from progressive_tf.serving.served_rows import ServedRequest
from progressive_tf.serving.server import Server, json_body

KEY_HEADER = "x-caller-key"
REQUEST_HEADER = "x-request-id"
_PREDICTION = json_body(
    {
        "type": "object",
        "description": "Exactly one of instances and inputs.",
        "properties": {
            "instances": {"type": "array", "items": {}, "description": "A row for each."},
            "inputs": {"description": "A column for each input, or the one column."},
            "signature_name": {"type": "string", "default": "serving_default"},
            "key": {"type": "string", "description": "Who asks; the same key gets the same version."},
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
        given = caller_key(body) or request.headers.get(KEY_HEADER)
        key = given or request.headers.get(REQUEST_HEADER) or uuid.uuid4().hex
        caller = caller_number(key)
        answering, alias = answering_for(served, version, label, key)
        loaded = answering.loaded
        step = served.standing.split.step if served.standing.split else 0
        form, predictions = "", list[Prediction]()
        status = 500
        try:
            with answering.held():
                form, predictions = await _answer(server, answering, body, began, (alias, caller))
            status = 200
            unread.note(loaded.number, [prediction.outputs for prediction in predictions])
        except Refusal as refusal:
            status = refusal.status
            raise
        finally:
            seconds = time.monotonic() - began
            which = (served.model.name, loaded.number, alias)
            metrics.requests.labels(*which, status).inc()
            metrics.latency.labels(*which).observe(seconds)
            log = server.request_log
            if status >= 500:
                served.note_failure(loaded.number, alias, caller)
            noted = ServedRequest(log.clock.now(), loaded.number, alias, step, status, seconds, caller=caller)
            log.add_request(noted, predictions, loaded.kind)
    return JSONResponse(
        {
            **reply(form, [prediction.outputs for prediction in predictions]),
            "labels": loaded.labels,
            "version": str(loaded.number),
            "prediction_ids": [prediction.id for prediction in predictions],
        }
    )


async def _answer(
    server: Server, answering: Answering, body: dict[str, Any], began: float, asks: tuple[str, int]
) -> tuple[str, list[Prediction]]:
    """Returns the form of the request, which the reply follows, and the answers; `asks`: under which alias, and who."""
    asked = read_request(body, answering.loaded.signatures, server.limits)
    specs = answering.loaded.signatures[asked.signature]
    instances = [Asked(bucket_of(asked.signature, given), length_of(given, specs), given) for given in asked.instances]
    seconds = server.limits.request_seconds
    try:
        with anyio.fail_after(max(seconds - (time.monotonic() - began), 0.0)):
            outputs = await answering.batcher.answers(instances)
    except TimeoutError:
        raise Refusal(504, f"no answer within {seconds:g} s; try again later") from None
    ids = [uuid.uuid4().hex for _ in outputs]
    server.served.shadow(Given(answering.loaded.number, *asks, instances, outputs, ids))
    return asked.form, [Prediction(*given) for given in zip(ids, asked.instances, outputs, strict=True)]
