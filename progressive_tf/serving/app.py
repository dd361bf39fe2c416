"""The server's routes: TensorFlow Serving's REST interface, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from progressive_tf.registry.history import rollout
from progressive_tf.serving.batching import Asked
from progressive_tf.serving.canary_watch import CanaryWatch
from progressive_tf.serving.feedback_routes import feedback_routes
from progressive_tf.serving.incoming import Incoming, Tokens, check_name
from progressive_tf.serving.instances import (
    Instance,
    bucket_of,
    caller_key,
    length_of,
    read_body,
    read_request,
    reply,
)
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.release_routes import release_routes
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.routing import caller_number
from progressive_tf.serving.served_model import Answering, ServedModel, answering_for
from progressive_tf.serving.unread import Unread

log = logging.getLogger("progressive_tf.serving")

KEY_HEADER = "x-caller-key"
REQUEST_HEADER = "x-request-id"
_PREDICTION = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "Exactly one of instances and inputs.",
                    "properties": {
                        "instances": {"type": "array", "items": {}, "description": "A row for each."},
                        "inputs": {"description": "A column for each input, or the one column."},
                        "signature_name": {"type": "string", "default": "serving_default"},
                        "key": {"type": "string", "description": "Who asks; the same key gets the same version."},
                    },
                }
            }
        },
    }
}


def make_app(
    served: ServedModel, limits: Limits, metrics: Metrics, request_log: RequestLog, tokens: Tokens | None = None
) -> FastAPI:
    """Returns the application.

    Args:
        served: the model.
        limits: of a request.
        metrics: are counted here.
        request_log: keeps predictions and feedback.
        tokens: of callers and operators; None for no check, and no releasing over HTTP.
    """
    name = served.model.name
    tokens = tokens or Tokens()
    unread = Unread(name, metrics)
    watch = CanaryWatch(served, request_log, metrics)

    @contextlib.asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        work = (served.follow(), request_log.keep(), watch.follow())
        tasks = [asyncio.ensure_future(each) for each in work]
        for task in tasks:
            task.add_done_callback(_stop_without)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await served.close()
        await request_log.close()

    app = FastAPI(title="progressive_tf", lifespan=following)
    incoming = Incoming(limits)
    app.include_router(feedback_routes(served, incoming, tokens, request_log, metrics))
    app.include_router(release_routes(served, incoming, tokens, request_log))

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{request.method} {request.url.path:.200}: {error.detail}"}, error.status_code)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the server failed on this request; its log says why"}, 500)

    async def predict(
        request: Request, model: str, version: str | None = None, label: str | None = None
    ) -> JSONResponse:
        began = time.monotonic()
        check_name(model, name)
        tokens.check_predict(request)
        with incoming.one():
            found = read_body(await incoming.body(request))
            given = caller_key(found) or request.headers.get(KEY_HEADER)
            key = given or request.headers.get(REQUEST_HEADER) or uuid.uuid4().hex
            answering, alias = answering_for(served, version, label, key)
            version_and_alias = (answering.loaded.number, alias)
            step = served.standing.split.step if served.standing.split else 0
            status, answers = 500, _Answers()
            try:
                with answering.held():
                    answers = await _answer(served, answering, found, limits, began)
                status = 200
                unread.note(answering.loaded.number, answers.outputs)
            except Refusal as refusal:
                status = refusal.status
                raise
            finally:
                seconds = time.monotonic() - began
                metrics.requests.labels(name, *version_and_alias, status).inc()
                metrics.latency.labels(name, *version_and_alias).observe(seconds)
                request_log.add_request(
                    *version_and_alias, step, status, seconds, answers.instances(), caller_number(key)
                )
        return JSONResponse(
            {
                **reply(answers.form, answers.outputs),
                "labels": answering.loaded.labels,
                "version": str(answering.loaded.number),
                "prediction_ids": answers.ids,
            }
        )

    @app.post("/v1/models/{model}:predict", openapi_extra=_PREDICTION)
    async def predict_by_traffic(request: Request, model: str) -> JSONResponse:
        """Answers by stable, or by the canary if the caller's key is among its share."""
        return await predict(request, model)

    @app.post("/v1/models/{model}/versions/{version}:predict", openapi_extra=_PREDICTION)
    async def predict_by_version(request: Request, model: str, version: str) -> JSONResponse:
        """Answers by one version."""
        return await predict(request, model, version=version)

    @app.post("/v1/models/{model}/labels/{label}:predict", openapi_extra=_PREDICTION)
    async def predict_by_label(request: Request, model: str, label: str) -> JSONResponse:
        """Answers by the version that an alias points to."""
        return await predict(request, model, label=label)

    @app.api_route(
        "/v1/models/{model}/versions/{version}/labels/{rest:path}", methods=["GET", "POST"], include_in_schema=False
    )
    @app.api_route(
        "/v1/models/{model}/labels/{label}/versions/{rest:path}", methods=["GET", "POST"], include_in_schema=False
    )
    async def both(request: Request) -> JSONResponse:
        """Refuses a version together with a label."""
        raise Refusal(400, "a version and a label: name one of the two")

    def state(answering: Answering) -> dict[str, Any]:
        status = {"error_code": "OK", "error_message": ""}
        return {"version": str(answering.loaded.number), "state": "AVAILABLE", "status": status}

    @app.get("/v1/models/{model}/metadata")
    async def metadata(model: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes the version has that stable points to."""
        check_name(model, name)
        return answering_for(served, None, "stable", "")[0].loaded.metadata()

    @app.get("/v1/models/{model}/versions/{version}/metadata")
    async def metadata_of_version(model: str, version: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes a version has."""
        check_name(model, name)
        return answering_for(served, version, None, "")[0].loaded.metadata()

    @app.get("/v1/models/{model}/labels/{label}/metadata")
    async def metadata_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes the version of an alias has."""
        check_name(model, name)
        return answering_for(served, None, label, "")[0].loaded.metadata()

    @app.get("/v1/models/{model}")
    async def status(model: str) -> dict[str, Any]:
        """Lists the versions in memory."""
        check_name(model, name)
        numbers = sorted(served.standing.by_number, reverse=True)
        return {"model_version_status": [state(served.standing.by_number[number]) for number in numbers]}

    @app.get("/v1/models/{model}/versions/{version}")
    async def status_of_version(model: str, version: str) -> dict[str, Any]:
        """Says whether a version is in memory."""
        check_name(model, name)
        return {"model_version_status": [state(answering_for(served, version, None, "")[0])]}

    @app.get("/v1/models/{model}/labels/{label}")
    async def status_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which version an alias is served by."""
        check_name(model, name)
        return {"model_version_status": [state(answering_for(served, None, label, "")[0])]}

    @app.get("/v1/models/{model}/canary")
    async def canary(model: str) -> dict[str, Any]:
        """Says how far the canary has come, who decides on it, and what each metric says of it."""
        check_name(model, name)
        split, latest = served.standing.split, watch.latest
        if split is None or split.canary is None:
            begun = rollout(served.entries)
            return {"version": None} | ({"paused": str(begun.version)} if begun is not None and begun.paused else {})
        body = {"version": str(split.canary), "percent": split.percent}
        return body if latest is None else body | asdict(latest)

    @app.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Answers while the process lives."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        """Answers 200 once stable is served; says what the registry asks for and is not served."""
        standing = served.standing
        body = {
            "ready": standing.split is not None,
            "aliases": dict(standing.aliases),
            "canary_percent": standing.split.percent if standing.split else 0.0,
            "problems": list(standing.problems),
        }
        return JSONResponse(body, 200 if standing.split is not None else 503)

    @app.get("/metrics")
    async def counted() -> Response:
        """Gives Prometheus' text format."""
        metrics.queued.set(sum(each.batcher.queued for each in served.standing.by_number.values()))
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _stop_without(task: asyncio.Task[None]) -> None:
    """Ends the server gracefully where a task failed that it cannot go without, for a supervisor to start it again."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("the server stops, since a part of it failed", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class _Answers:
    form: str = ""
    ids: Sequence[str] = ()
    asked: Sequence[Instance] = ()
    outputs: Sequence[Mapping[str, Any]] = ()

    def instances(self) -> list[tuple[str, Instance, Mapping[str, Any]]]:
        return list(zip(self.ids, self.asked, self.outputs, strict=True))


async def _answer(
    served: ServedModel, answering: Answering, found: dict[str, Any], limits: Limits, began: float
) -> _Answers:
    asked = read_request(found, answering.loaded.signatures, limits)
    specs = answering.loaded.signatures[asked.signature]
    instances = [Asked(bucket_of(asked.signature, each), length_of(each, specs), each) for each in asked.instances]
    left = limits.request_seconds - (time.monotonic() - began)
    try:
        with anyio.fail_after(max(left, 0.0)):
            outputs = await answering.batcher.answers(instances)
    except TimeoutError:
        raise Refusal(504, f"no answer within {limits.request_seconds:g} s; try again later") from None
    ids = [uuid.uuid4().hex for _ in outputs]
    served.shadow(answering.loaded.number, instances, outputs, ids)
    return _Answers(asked.form, ids, asked.instances, outputs)
