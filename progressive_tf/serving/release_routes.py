"""What an operator does over HTTP: the same acts as `python -m progressive_tf.release`, with a token of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from fastapi import APIRouter, Request

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.registry import RegistryBusyError
from progressive_tf.registry.history import CANARY, SHADOW, STABLE
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving import fields
from progressive_tf.serving.canary_decision import counted_of_step
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.server import Server, json_body
from progressive_tf.serving.told import told

log = logging.getLogger("progressive_tf.serving")

_LONGEST_TEXT = 500
_HIGHEST_VERSION = 10**9

_FIELDS: dict[str, dict[str, Any]] = {
    "version": {"type": "integer", "minimum": 1},
    "percent": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "alias": {"type": "string", "enum": [STABLE, CANARY, SHADOW]},
    "reason": {"type": "string", "maxLength": _LONGEST_TEXT},
    "who": {"type": "string", "maxLength": _LONGEST_TEXT, "description": "Stands in the journal with the reason."},
}


def release_routes(server: Server) -> APIRouter:
    """Returns the routes; without a token of operators each is 403."""
    routes, served = APIRouter(), server.served

    async def act(
        request: Request,
        model: str,
        keys: tuple[str, ...],
        work: Callable[[Traffic, dict[str, Any]], Any],
        threads: Executor | None = None,
        counts_evidence: bool = False,
    ) -> dict[str, Any]:
        """Does something in a thread, since another process may hold the registry's lock; returns how things stand."""
        threads, loop = threads or server.releasing, asyncio.get_running_loop()
        server.tokens.check_release(request)
        server.check_name(model)
        # Not among the requests that are limited: whoever takes a canary back must get in while it hangs.
        body_fields = (await server.incoming.body(request, may_be_empty=True)).fields
        fields.refuse_unknown(body_fields, (*keys, "reason", "who"))
        who = f"{fields.text(body_fields, 'who', _LONGEST_TEXT) or 'somebody'} over HTTP"
        asked: dict[str, Any] = {
            "version": fields.whole_number(body_fields, "version", 1, _HIGHEST_VERSION),
            "percent": fields.number(body_fields, "percent"),
            "alias": _alias(body_fields),
            "reason": fields.text(body_fields, "reason", _LONGEST_TEXT),
        }
        try:
            if counts_evidence and asked["percent"] is None:
                asked["counts"] = await _canary_counts(server, threads)
            await loop.run_in_executor(threads, work, Traffic(served.model, who), asked)
        except InputError as error:
            raise Refusal(400, told(error, served.model.files.path)) from None
        except RegistryBusyError as error:
            raise Refusal(503, told(error, served.model.files.path), {"Retry-After": "5"}) from None
        except ProgressiveError as error:
            log.warning("%s: not done: %s", request.url.path, error)
            raise Refusal(409, told(error, served.model.files.path)) from None
        try:
            return await loop.run_in_executor(threads, standing)
        except (ProgressiveError, OSError) as error:  # it is done all the same, and is not to be asked for again
            log.warning("%s: done; how things stand cannot be read: %s", request.url.path, error)
            problem = f"it is done; how things stand cannot be read: {told(error, served.model.files.path)}"
            return {"aliases": None, "canary": None, "problem": problem}

    def standing() -> dict[str, Any]:
        rollout = Traffic(served.model).rollout()
        canary = None if rollout is None else {"percent": rollout.percent, "paused": rollout.paused}
        return {"aliases": served.model.aliases(), "canary": canary}

    @routes.post("/v1/models/{model}/release:canary", openapi_extra=_document("version", "percent"))
    async def canary(request: Request, model: str) -> dict[str, Any]:
        """Sends part of the callers to a version; without a percentage, the first step of its plan."""

        def work(traffic: Traffic, asked: dict[str, Any]) -> None:
            traffic.start_canary(_version(asked), asked["percent"], asked["reason"])

        return await act(request, model, ("version", "percent"), work)

    @routes.post("/v1/models/{model}/release:widen", openapi_extra=_document("percent"))
    async def widen(request: Request, model: str) -> dict[str, Any]:
        """Sends more callers to the canary; without a percentage, after a pause or by the steps of its plan."""

        def work(traffic: Traffic, asked: dict[str, Any]) -> None:
            traffic.widen(asked["percent"], asked["reason"], *asked.get("counts", ()))

        return await act(request, model, ("percent",), work, counts_evidence=True)

    @routes.post("/v1/models/{model}/release:pause", openapi_extra=_document())
    async def pause(request: Request, model: str) -> dict[str, Any]:
        """Sends nobody to the canary until it is widened again."""
        return await act(request, model, (), lambda traffic, asked: traffic.pause(asked["reason"]))

    @routes.post("/v1/models/{model}/release:shadow", openapi_extra=_document("version"))
    async def shadow(request: Request, model: str) -> dict[str, Any]:
        """Lets a version answer every request in the background."""

        def work(traffic: Traffic, asked: dict[str, Any]) -> None:
            traffic.start_shadow(_version(asked), asked["reason"])

        return await act(request, model, ("version",), work)

    @routes.post("/v1/models/{model}/release:rollback", openapi_extra=_document("alias", "version"))
    async def rollback(request: Request, model: str) -> dict[str, Any]:
        """Takes the canary back if there is one, and else stable; `alias` says which, and with `version` nothing else
        than that version is taken back, however often it is asked for.
        """

        def work(traffic: Traffic, asked: dict[str, Any]) -> None:
            traffic.roll_back(asked["alias"], asked["reason"], asked["version"])

        return await act(request, model, ("alias", "version"), work, server.taking_back)

    return routes


async def _canary_counts(server: Server, threads: Executor) -> tuple[int, int]:
    """Returns how many answers and judged answers of the canary count, see `counted_of_step`."""
    traffic, stable = Traffic(server.served.model), server.served.standing.aliases.get(STABLE)
    running, schedule = await asyncio.get_running_loop().run_in_executor(
        threads, lambda: (traffic.rollout(), traffic.schedule())
    )
    if running is None or schedule is None:
        return 0, 0
    return counted_of_step((await server.request_log.step_counts(running.step, stable=stable)).canary, schedule)


def _version(asked: dict[str, Any]) -> int:
    if asked["version"] is None:
        raise InputError("version: the number of the version expected")
    return int(asked["version"])


def _alias(body: dict[str, Any]) -> str | None:
    alias = body.get("alias")
    if alias not in (None, STABLE, CANARY, SHADOW):
        raise Refusal(400, f"alias: {STABLE}, {CANARY} or {SHADOW} expected; got {alias!r:.80}")
    return alias


def _document(*names: str) -> dict[str, Any]:
    properties = {name: _FIELDS[name] for name in (*names, "reason", "who")}
    return json_body({"type": "object", "properties": properties, "additionalProperties": False})
