"""What a server says of itself: versions and their signatures, the canary, health and metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from progressive_tf.registry.history import SHADOW, STABLE, rollout
from progressive_tf.serving.canary_watch import CanaryWatch
from progressive_tf.serving.described import with_words_before
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.server import Server
from progressive_tf.serving.signals import Signals
from progressive_tf.serving.told import told


def model_routes(server: Server, watch: CanaryWatch) -> APIRouter:
    """Returns the routes about the model; `watch` knows what the evidence about its canary says."""
    routes, served = APIRouter(), server.served

    @routes.get("/v1/models/{model}/metadata")
    async def metadata(model: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes the version has that stable points to."""
        return _metadata(server, server.answering(model, label=STABLE).loaded)

    @routes.get("/v1/models/{model}/versions/{version}/metadata")
    async def metadata_of_version(model: str, version: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes a version has."""
        return _metadata(server, server.answering(model, version).loaded)

    @routes.get("/v1/models/{model}/labels/{label}/metadata")
    async def metadata_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which inputs, outputs and classes the version of an alias has."""
        return _metadata(server, server.answering(model, label=label).loaded)

    @routes.get("/v1/models/{model}")
    async def status(model: str) -> dict[str, Any]:
        """Lists the versions in memory."""
        server.check_name(model)
        return _available(sorted(served.standing.by_number, reverse=True))

    @routes.get("/v1/models/{model}/versions/{version}")
    async def status_of_version(model: str, version: str) -> dict[str, Any]:
        """Says whether a version is in memory."""
        return _available([server.answering(model, version).loaded.number])

    @routes.get("/v1/models/{model}/labels/{label}")
    async def status_of_label(model: str, label: str) -> dict[str, Any]:
        """Says which version an alias is served by."""
        return _available([server.answering(model, label=label).loaded.number])

    @routes.get("/v1/models/{model}/canary")
    async def canary(model: str) -> dict[str, Any]:
        """Says how far the canary has come, who decides on it, and what each metric says of it; and what is shown of a
        shadow that waits for its proof.
        """
        server.check_name(model)
        split, latest, of_shadow = served.standing.split, watch.latest, watch.of_shadow
        number = served.standing.aliases.get(SHADOW)
        beside = {} if of_shadow is None else {"shadow": {"version": str(number)} | asdict(of_shadow)}
        if split is None or split.canary is None:
            begun = rollout(served.entries)
            paused = {"paused": str(begun.version)} if begun is not None and begun.paused else {}
            return {"version": None} | paused | beside
        body = {"version": str(split.canary), "percent": split.percent}
        return body | beside if latest is None else body | asdict(latest) | beside

    return routes


def health_routes(server: Server, watch: CanaryWatch, signals: Signals) -> APIRouter:
    """Returns the routes about the process, which `signals` may be ending."""
    routes, served = APIRouter(), server.served

    def problems() -> dict[str, tuple[str, ...]]:
        return server.problems() | {"canary": watch.problems}

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Answers while the process lives."""
        return {"status": "alive"}

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz")
    async def ready() -> JSONResponse:
        """Answers 200 from when stable is served until the server is about to end; says what is wrong."""
        standing = served.standing
        is_ready = standing.split is not None and not signals.is_draining
        body = {
            "ready": is_ready,
            "draining": signals.is_draining,
            "aliases": dict(standing.aliases),
            "canary_percent": standing.split.percent if standing.split else 0.0,
            "problems": [told(problem, served.model.files.path) for found in problems().values() for problem in found],
        }
        return JSONResponse(body, 200 if is_ready else 503)

    @routes.head("/metrics", include_in_schema=False)
    @routes.get("/metrics")
    async def counted() -> Response:
        """Gives Prometheus' text format."""
        waiting = sum(answering.batcher.queued for answering in served.standing.by_number.values())
        server.metrics.queued.set(waiting)
        for kind, found in problems().items():
            server.metrics.problems.labels(kind).set(len(found))
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def _metadata(server: Server, loaded: LoadedVersion) -> dict[str, Any]:
    before = server.served.lineage.before(loaded.number)
    described = loaded.metadata()
    return (
        described if before is None else with_words_before(described, before[0], before[1].of, server.says_label_before)
    )


def _available(numbers: Iterable[int]) -> dict[str, Any]:
    status = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [{"version": str(number), "state": "AVAILABLE", "status": status} for number in numbers]
    }
