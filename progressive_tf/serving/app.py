"""The server's routes: TensorFlow Serving's REST interface, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from progressive_tf.serving.errors import Refusal
from progressive_tf.serving.instances import bucket_of, caller_key, read_body, read_request, reply
from progressive_tf.serving.limits import Limits
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.served_model import Answering, ServedModel, answering_for

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


def make_app(served: ServedModel, limits: Limits, metrics: Metrics, token: str | None = None) -> FastAPI:
    """Returns the application.

    Args:
        served: the model.
        limits: of a request.
        metrics: are counted here.
        token: what a caller has to send as a bearer token; None for no check.
    """
    name = served.model.name

    @contextlib.asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.ensure_future(served.follow())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await served.close()

    app = FastAPI(title="progressive_tf", lifespan=following)
    requests = _Requests(limits)

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": f"{request.method} {request.url.path:.200}: {error.detail}"}, error.status_code)

    async def predict(
        request: Request, model: str, version: str | None = None, label: str | None = None
    ) -> JSONResponse:
        began = time.monotonic()
        _check_name(model, name)
        _check_token(request, token)
        async with requests.one():
            found = read_body(await requests.body(request))
            given = caller_key(found) or request.headers.get(KEY_HEADER)
            key = given or request.headers.get(REQUEST_HEADER) or uuid.uuid4().hex
            answering, alias = answering_for(served, version, label, key)
            labels = (name, answering.loaded.number, alias)
            status = 500
            try:
                with answering.held():
                    body = await _answer(served, answering, found, limits, began)
                status = 200
            except Refusal as refusal:
                status = refusal.status
                raise
            finally:
                metrics.requests.labels(*labels, status).inc()
                metrics.latency.labels(*labels).observe(time.monotonic() - began)
        return JSONResponse(body)

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
        """Says which inputs and outputs the version has that stable points to."""
        _check_name(model, name)
        return answering_for(served, None, "stable", "")[0].loaded.metadata()

    @app.get("/v1/models/{model}/versions/{version}/metadata")
    async def metadata_of_version(model: str, version: str) -> dict[str, Any]:
        """Says which inputs and outputs a version has."""
        _check_name(model, name)
        return answering_for(served, version, None, "")[0].loaded.metadata()

    @app.get("/v1/models/{model}/labels/{label}/metadata")
    async def metadata_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which inputs and outputs the version of an alias has."""
        _check_name(model, name)
        return answering_for(served, None, label, "")[0].loaded.metadata()

    @app.get("/v1/models/{model}")
    async def status(model: str) -> dict[str, Any]:
        """Lists the versions in memory."""
        _check_name(model, name)
        numbers = sorted(served.standing.by_number, reverse=True)
        return {"model_version_status": [state(served.standing.by_number[number]) for number in numbers]}

    @app.get("/v1/models/{model}/versions/{version}")
    async def status_of_version(model: str, version: str) -> dict[str, Any]:
        """Says whether a version is in memory."""
        _check_name(model, name)
        return {"model_version_status": [state(answering_for(served, version, None, "")[0])]}

    @app.get("/v1/models/{model}/labels/{label}")
    async def status_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which version an alias is served by."""
        _check_name(model, name)
        return {"model_version_status": [state(answering_for(served, None, label, "")[0])]}

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


async def _answer(
    served: ServedModel, answering: Answering, found: dict[str, Any], limits: Limits, began: float
) -> dict[str, Any]:
    asked = read_request(found, answering.loaded.signatures, limits)
    instances = [(bucket_of(asked.signature, each), each) for each in asked.instances]
    left = limits.request_seconds - (time.monotonic() - began)
    try:
        answers = await asyncio.wait_for(answering.batcher.answers(instances), max(left, 0.0))
    except (asyncio.TimeoutError, TimeoutError):
        raise Refusal(504, f"no answer within {limits.request_seconds:g} s; try again later") from None
    served.shadow(instances, answers)
    ids = [uuid.uuid4().hex for _ in answers]
    return {**reply(asked.form, answers), "version": str(answering.loaded.number), "prediction_ids": ids}


class _Requests:
    """Requests under way, and their bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way = 0

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Counts a request while it is under way.

        Raises:
            Refusal: 503, there are too many.
        """
        if self._under_way >= self._limits.concurrent_requests:
            raise Refusal(
                503,
                f"{self._under_way} requests are under way, as many as may be; try again later",
                {"Retry-After": "1"},
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def body(self, request: Request) -> bytes:
        """Returns a request's body.

        Raises:
            Refusal: 413, it is too large; 408, it does not come; 400, it ended early.
        """
        most, seconds = self._limits.body_bytes, self._limits.request_seconds
        too_large = Refusal(413, f"a body of more than {most} bytes", {"Connection": "close"})
        announced = request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > most:
            raise too_large
        parts: list[bytes] = []
        size = 0

        async def read() -> None:
            nonlocal size
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)

        try:
            await asyncio.wait_for(read(), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise Refusal(408, f"the body did not come within {seconds:g} s", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refusal(400, "the connection ended before the body did") from None
        return b"".join(parts)


def _check_name(given: str, name: str) -> None:
    if given != name:
        raise Refusal(404, f"Could not find any versions of model {given:.80}; this server has {name}")


def _check_token(request: Request, token: str | None) -> None:
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Refusal(401, "a bearer token is expected, and this is none of ours", {"WWW-Authenticate": "Bearer"})
