"""`POST …:classify` and `:regress`: answers to examples, in TensorFlow Serving's REST interface."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from progressive_tf.serving.predict_routes import respond
from progressive_tf.serving.server import Server, json_body
from progressive_tf.serving.verbs import CLASSIFY, REGRESS, Verb

_FEATURES = {"type": "object", "description": "A value, or a list of values, of each input by name."}
_EXAMPLES = json_body(
    {
        "type": "object",
        "properties": {
            "examples": {"type": "array", "items": _FEATURES, "minItems": 1},
            "context": {**_FEATURES, "description": "What all examples share; in none of them."},
            "signature_name": {"type": "string", "default": "serving_default"},
            "key": {"type": "string", "description": "Who asks, unless the header X-Caller-Key says so."},
        },
        "required": ["examples"],
    },
    required=True,
)


def example_routes(server: Server) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter()
    for verb, does in (
        (CLASSIFY, "Gives each class of an example and its probability"),
        (REGRESS, "Gives the number that answers an example"),
    ):
        _add(routes, server, verb, does)
    return routes


def _add(routes: APIRouter, server: Server, verb: Verb, does: str) -> None:
    def post(path: str, who: str) -> Any:
        return routes.post(
            f"/v1/models/{{model}}{path}:{verb.name}",
            openapi_extra=_EXAMPLES,
            name=f"{verb.name}_by_{who}",
            description=f"{does}, by {who}.",
        )

    @post("", "traffic")
    async def by_traffic(request: Request, model: str) -> JSONResponse:
        server.check_name(model)
        return await respond(server, verb, request)

    @post("/versions/{version}", "version")
    async def by_version(request: Request, model: str, version: str) -> JSONResponse:
        server.check_name(model)
        return await respond(server, verb, request, version=version)

    @post("/labels/{label}", "label")
    async def by_label(request: Request, model: str, label: str) -> JSONResponse:
        server.check_name(model)
        return await respond(server, verb, request, label=label)
