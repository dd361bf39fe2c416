"""TensorFlow Serving's gRPC interface: the same answers as those of its REST, on a port of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
from fastapi import Request
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
)
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from progressive_tf.registry.history import STABLE
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.predict_routes import Wanted, answer
from progressive_tf.serving.protos import body_of_examples, body_of_tensors, classes, predicted, regressions
from progressive_tf.serving.server import Server
from progressive_tf.serving.standing import answering_for
from progressive_tf.serving.verbs import CLASSIFY, PREDICT, PREDICTION_ID, REGRESS, Verb

_SIGNATURES = "signature_def"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""A refusal's status in HTTP → the one that TensorFlow Serving gives in gRPC."""
_BESIDE = 2  # label_before and prediction_id, which may stand beside the outputs of a version
_Method = Callable[[bytes, Request], Awaitable[Any]]

log = logging.getLogger("progressive_tf.serving")


class GrpcServer:
    """Answers `PredictionService` and `ModelService` of TensorFlow Serving.

    It belongs to the event loop in which it is started.

    Args:
        server: what answers, and limits and counts its requests.
        host: where it listens.
        port: likewise; 0 for a free one.
    """

    def __init__(self, server: Server, host: str, port: int) -> None:
        self.port = port
        self._host = f"[{host}]" if ":" in host else host
        self._server = server
        self._answers: set[asyncio.Task[Any]] = set()
        self._said: set[int] = set()  # versions that have been warned of
        self._is_ending = False
        self._grpc: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens; `port` is the one that was free where 0 was given. Raises RuntimeError where it cannot."""
        # Another server on this port would silently get a part of the calls.
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._server.limits.body_bytes),
        ]
        # As many more as are answered may be refused at once, or ask how things stand.
        most = 2 * max(self._server.limits.concurrent_requests, 1)
        self._grpc = grpc.aio.server(options=options, maximum_concurrent_rpcs=most)
        prediction: dict[str, _Method] = {
            "Predict": self._predict,
            "Classify": self._classify,
            "Regress": self._regress,
            "GetModelMetadata": self._metadata,
        }
        model: dict[str, _Method] = {"GetModelStatus": self._status}
        self._grpc.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    f"tensorflow.serving.{service}",
                    {name: self._handler(name, method) for name, method in methods.items()},
                )
                for service, methods in (("PredictionService", prediction), ("ModelService", model))
            )
        )
        self.port = self._grpc.add_insecure_port(f"{self._host}:{self.port}")
        await self._grpc.start()
        log.info("gRPC is answered on %s:%d", self._host, self.port)

    async def stop(self) -> None:
        """Takes no more calls, and returns once those under way are answered."""
        if self._grpc is not None:
            # gRPC would drop calls that have come and are not begun, and call it CANCELLED, as if their callers had.
            self._is_ending = True
            await asyncio.gather(*self._answers, return_exceptions=True)
            await self._grpc.stop(self._server.limits.request_seconds)

    def _handler(self, name: str, method: _Method) -> Any:
        async def call(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
            # A caller who goes, or whose own time is over, leaves the answer to be noted as that of any other.
            task = asyncio.ensure_future(self._noted(name, method, message, context))
            self._answers.add(task)
            task.add_done_callback(self._end)
            reply, code, said = await asyncio.shield(task)
            if code is not grpc.StatusCode.OK:
                await context.abort(code, said)
            return reply

        return grpc.unary_unary_rpc_method_handler(call)

    async def _noted(
        self, name: str, method: _Method, message: bytes, context: grpc.aio.ServicerContext
    ) -> tuple[bytes, grpc.StatusCode, str]:
        """Returns the reply to a call, its code, and what a refusal says; counts it, whatever becomes of it."""
        reply, code, said = b"", grpc.StatusCode.OK, ""
        try:
            reply = (await self._guarded(method, message, _as_request(context))).SerializeToString()
        except Refusal as refusal:
            code, said = _CODES.get(refusal.status, grpc.StatusCode.INTERNAL), refusal.message
        except Exception:
            log.exception("a call over gRPC failed")
            code, said = grpc.StatusCode.INTERNAL, "the server failed on this request; its log says why"
        self._server.metrics.grpc_calls.labels(name, code.name).inc()
        return reply, code, said

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._answers.discard(task)
        if not task.cancelled():
            task.exception()  # which nobody may have waited for

    async def _guarded(self, method: _Method, message: bytes, request: Request) -> Any:
        if self._is_ending:
            raise Refusal(503, "the server is about to end; ask another one, or again later")
        return await method(message, request)

    async def _predict(self, message: bytes, request: Request) -> Any:
        return await self._answer(request, message, PredictRequest, PREDICT, body_of_tensors, predicted)

    async def _classify(self, message: bytes, request: Request) -> Any:
        return await self._answer(request, message, ClassificationRequest, CLASSIFY, body_of_examples, classes)

    async def _regress(self, message: bytes, request: Request) -> Any:
        return await self._answer(request, message, RegressionRequest, REGRESS, body_of_examples, regressions)

    async def _answer(
        self,
        request: Request,
        message: bytes,
        kind: Any,
        verb: Verb,
        body_of: Callable[[Any, Collection[str], Limits], dict[str, Any]],
        write: Callable[..., Any],
    ) -> Any:
        """Returns the reply to a message of a kind; all that walks a large one is done in a thread."""
        began, server = time.monotonic(), self._server
        server.tokens.check_predict(request)
        with server.incoming.one():
            asked = await server.incoming.walk(len(message), partial(_read, kind, message), began)
            version, label = self._which(asked.model_spec)
            key, caller = server.callers.of(request, {})
            answering_for(server.served.standing, asked.model_spec.name, version, label, key)  # or it is refused
            loaded = [each.loaded for each in server.served.standing.by_number.values()]
            self._say_hidden(loaded)

            def body_and_outputs() -> tuple[dict[str, Any], frozenset[str]]:
                known = {name for each in loaded for specs in each.signatures.values() for name in specs}
                return body_of(asked, known, server.limits), _outputs(asked, loaded)

            body, outputs = await server.incoming.walk(len(message), body_and_outputs, began)
            if outputs:
                write = partial(write, wanted=outputs)
            wanted = Wanted(verb, body, len(message), key, caller, version, label, began, outputs)
            return await answer(server, wanted, write)

    def _say_hidden(self, loaded: Collection[LoadedVersion]) -> None:
        """Says once of each version that an output of its own takes the place of the ids for feedback."""
        for each in loaded:
            has_own = any(PREDICTION_ID in specs for specs in each.output_specs.values())
            if has_own and each.number not in self._said:
                self._said.add(each.number)
                log.warning(
                    "version %d has an output %s of its own: over gRPC that comes, and no ids for feedback",
                    each.number,
                    PREDICTION_ID,
                )

    async def _metadata(self, message: bytes, request: Request) -> Any:
        self._server.tokens.check_known(request)
        asked = await self._server.incoming.walk(len(message), partial(_read, GetModelMetadataRequest, message))
        if list(asked.metadata_field[:2]) != [_SIGNATURES]:
            got = ", ".join(name[:80] for name in asked.metadata_field[:2])
            raise Refusal(400, f"metadata_field: {_SIGNATURES} expected; got {got or 'none'}")
        version, label = self._which(asked.model_spec)
        if version is None and label is None:
            label = STABLE
        loaded = self._server.answering(asked.model_spec.name, version, label).loaded
        response = GetModelMetadataResponse()
        response.model_spec.name = loaded.version.model
        response.model_spec.version.value = loaded.number
        response.metadata[_SIGNATURES].Pack(SignatureDefMap(signature_def=loaded.signature_defs()))
        return response

    async def _status(self, message: bytes, request: Request) -> Any:
        self._server.tokens.check_known(request)
        asked = await self._server.incoming.walk(len(message), partial(_read, GetModelStatusRequest, message))
        version, label = self._which(asked.model_spec)
        if version is None and label is None:
            numbers = sorted(self._server.served.standing.by_number, reverse=True)
        else:
            numbers = [self._server.answering(asked.model_spec.name, version, label).loaded.number]
        response = GetModelStatusResponse()
        for number in numbers:
            response.model_version_status.add(version=number, state=ModelVersionStatus.AVAILABLE)
        return response

    def _which(self, spec: Any) -> tuple[str | None, str | None]:
        """Returns the version or the alias that a `ModelSpec` names; raises Refusal where it is of another model."""
        if not spec.name:
            raise Refusal(400, f"model_spec.name: expected; this server has {self._server.served.model.name}")
        self._server.check_name(spec.name)
        choice = spec.WhichOneof("version_choice")
        version = str(spec.version.value) if choice == "version" else None
        return version, spec.version_label if choice == "version_label" else None


def _read(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise Refusal(400, f"a {kind.DESCRIPTOR.full_name} expected; the message is none") from None


def _outputs(asked: Any, loaded: Collection[LoadedVersion]) -> frozenset[str]:
    """Returns the names of the outputs that a request asks for, none for all; raises Refusal, 400, for more than any
    version has, which the version that answers would have to look through.
    """
    outputs = frozenset(getattr(asked, "output_filter", ()))
    most = len({name for each in loaded for specs in each.output_specs.values() for name in specs}) + _BESIDE
    if len(outputs) > most:
        raise Refusal(400, f"output_filter: {len(outputs)} outputs; at most {most}")
    return outputs


def _as_request(context: grpc.aio.ServicerContext) -> Request:
    """Returns what a call says of its caller, whose metadata are HTTP's headers, as the request that tokens and callers
    are told by.
    """
    headers = [
        (name.lower().encode(), _header(value))
        for name, value in context.invocation_metadata() or ()
        if isinstance(value, str)
    ]
    kind, _, address = unquote(context.peer()).partition(":")
    host, _, port = address.rpartition(":")
    client = (host.strip("[]"), int(port)) if kind in ("ipv4", "ipv6") else None
    return Request({"type": "http", "headers": headers, "client": client})


def _header(value: str) -> bytes:
    """Returns the bytes of a header's value, Latin-1 where it can be, as HTTP has it, and else UTF-8."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")
