"""The server: its routes, what follows beside them, and how it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from progressive_tf.serving.access import Access, echoed
from progressive_tf.serving.callers import Callers
from progressive_tf.serving.canary_watch import CanaryWatch
from progressive_tf.serving.example_routes import example_routes
from progressive_tf.serving.feedback_routes import feedback_routes
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.predict_routes import predict_routes
from progressive_tf.serving.release_routes import release_routes
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.server import Incoming, Server
from progressive_tf.serving.signals import Signals
from progressive_tf.serving.status_routes import health_routes, model_routes
from progressive_tf.serving.tokens import Guarded, Tokens

log = logging.getLogger("progressive_tf.serving")


@dataclass(frozen=True)
class Operation:
    """How a server is operated.

    Args:
        logs_requests: whether each request is a line in the log.
        opens_metrics: whether `/metrics` asks for no token.
        drain_seconds: how long after SIGTERM requests are still taken; >= 0.
    """

    logs_requests: bool = False
    opens_metrics: bool = False
    drain_seconds: float = 0.0


def make_app(
    served: ServedModel,
    limits: Limits,
    metrics: Metrics,
    request_log: RequestLog,
    tokens: Tokens | None = None,
    callers: Callers | None = None,
    says_label_before: bool = False,
    grpc_at: tuple[str, int] | None = None,
    operation: Operation | None = None,
) -> FastAPI:
    """Returns the application.

    Args:
        served: the model.
        limits: of a request.
        metrics: are counted here.
        request_log: keeps predictions and feedback.
        tokens: of callers and operators; None for no check, and no releasing over HTTP.
        callers: how they are told apart; None for the header or the body's key.
        says_label_before: whether answers also say what an earlier version would have called them.
        grpc_at: host and port on which gRPC is answered too; `state.grpc` is what answers it, None without.
        operation: how it is operated; None for an open server that ends at once.
    """
    incoming, tokens, operation = Incoming(limits), tokens or Tokens(), operation or Operation()
    server = Server(served, limits, metrics, request_log, tokens, incoming, callers or Callers(), says_label_before)
    watch = CanaryWatch(served, request_log, metrics)

    @contextlib.asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        work = (served.follow(), request_log.keep(), watch.follow(), tokens.follow())
        tasks = [asyncio.ensure_future(part) for part in work]
        for task in tasks:
            task.add_done_callback(_stop_without)
        try:
            async with _grpc(server, grpc_at) as app.state.grpc:
                with signals.caught():
                    yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()
            await served.close()
            await request_log.close()

    def read_again() -> None:
        log.info("SIGHUP: tokens and registry are read again")
        served.read_again()
        request_log.forget_losses()
        task = asyncio.ensure_future(tokens.read_again())
        reading.add(task)
        task.add_done_callback(reading.discard)

    reading = set[asyncio.Task[None]]()
    signals = Signals(operation.drain_seconds, read_again)
    app = FastAPI(title="progressive_tf", lifespan=following)
    known = [*app.router.routes]
    for routes in (
        *(routes(server) for routes in (feedback_routes, release_routes, predict_routes, example_routes)),
        model_routes(server, watch),
        health_routes(server, watch, signals),
    ):
        app.include_router(routes)
        known += routes.routes
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Guarded, tokens=tokens, is_metrics_open=operation.opens_metrics)
    # The last is the first to see a request.
    app.add_middleware(Access, metrics=metrics, routes=known, logs=operation.logs_requests)
    return app


@contextlib.asynccontextmanager
async def _grpc(server: Server, at: tuple[str, int] | None) -> AsyncIterator[Any]:
    """Answers gRPC at a host and port, and until its calls are answered; without one it is not even imported."""
    if at is None:
        yield None
        return
    from progressive_tf.serving.grpc_server import GrpcServer

    found = GrpcServer(server, *at)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def _refused(request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)
    # Half of a surrogate pair that a caller has sent may be in it, and is no character.
    message = refusal.message.encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": message}, refusal.status, refusal.headers)


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{request.method} {request.url.path:.200}: {error.detail}"}, error.status_code)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    said = {"error": "the server failed on this request; its log says why"}
    return JSONResponse(said, 500, dict(echoed(request.state)))


def _stop_without(task: asyncio.Task[None]) -> None:
    """Ends the server gracefully where a task failed that it cannot go without, for a supervisor to start it again."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("the server stops, since a part of it failed", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
