"""`python -m progressive_tf.serve`: answers requests with the versions that a registry's aliases point to."""

from __future__ import annotations

import importlib
import math
import os
import socket
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressive_tf.commands import Verbose, need_extra, run_command
from progressive_tf.errors import InputError
from progressive_tf.output import say

if TYPE_CHECKING:
    from progressive_tf.serving.tokens import TokenFile

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
TOKEN_VARIABLE = "PROGRESSIVE_TF_TOKEN"
RELEASE_TOKEN_VARIABLE = "PROGRESSIVE_TF_RELEASE_TOKEN"
REMEMBERED = "signed.json"

EPILOG = """
Example: `curl -d '{"instances": ["a quiet, moving film"]}' localhost:8501/v1/models/movie-reviews:predict`

The interface is TensorFlow Serving's REST, and its gRPC with --grpc-port; /docs lists all routes, /metrics is for
Prometheus. Aliases that `progressive_tf.release` moves take effect within a second. Ctrl-C, or SIGTERM and
--drain-seconds later, ends it after the requests under way; SIGHUP has it read tokens and registry again.
"""


class CallersBy(str, Enum):
    """Who says who asks."""

    HEADER_OR_BODY = "header-or-body"
    HEADER = "header"


class LogFormat(str, Enum):
    """What a line of the log looks like."""

    TEXT = "text"
    JSON = "json"


@app.command(epilog=EPILOG)
def serve(
    model: Annotated[str, typer.Option(metavar="NAME", help="The model's name, which is its plan's name.")],
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    host: Annotated[str, typer.Option(metavar="H", help="Where it listens; this machine alone by default.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="0 takes a free one.")] = 8501,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            metavar="P", min=0, max=65535, help="Answers TensorFlow Serving's gRPC there too; 0 takes a free one."
        ),
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=1024, help="Instances of a batch at most.")] = 32,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, max=1000, help="How long an instance waits for others while a thread is free.")
    ] = 0.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Instances that may wait; more are answered 429.")] = 1024,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Batches that are computed at once.")] = 1,
    max_body: Annotated[int, typer.Option(metavar="BYTES", min=1, help="Of a request; more is 413.")] = 4 * 2**20,
    max_values: Annotated[
        int, typer.Option(min=1, help="Of a body as JSON, keys among them, whatever they are; more is 413.")
    ] = 2**18,
    max_instances: Annotated[int, typer.Option(min=1, help="Of a request; more is 413.")] = 256,
    max_text: Annotated[int, typer.Option(metavar="BYTES", min=1, help="Of one text; more is 413.")] = 2**16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one text given as tokens; more is 413.")] = 1024,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of one image; more is 413.")] = 2**24,
    max_seconds: Annotated[float, typer.Option(min=0.001, help="Of a request; 408 or 504 afterwards.")] = 30.0,
    max_body_seconds: Annotated[float, typer.Option(min=0.001, help="Until a body is whole; 408 afterwards.")] = 30.0,
    min_body_rate: Annotated[
        int, typer.Option(metavar="BYTES", min=1, help="A second, of a body that is not whole after 5 s; less is 408.")
    ] = 10_000,
    max_requests: Annotated[
        int, typer.Option(min=1, help="Answered at once; more are 503. As many bodies may be half read.")
    ] = 256,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Holds the bearer token of callers, and is read again when it changes; {TOKEN_VARIABLE} may hold one "
            "instead. All but health asks for it then.",
        ),
    ] = None,
    release_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Holds the bearer token of operators, or {RELEASE_TOKEN_VARIABLE} does; without one nobody can move "
            "an alias over HTTP.",
        ),
    ] = None,
    trusted_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ed25519 public keys: only what they have signed is served, versions and moves of aliases; or "
            "PROGRESSIVE_TF_TRUSTED_KEY names it.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The server's own private key, by which it signs the steps of canaries and what operators ask over "
            "HTTP; or PROGRESSIVE_TF_KEY names it.",
        ),
    ] = None,
    callers_by: Annotated[
        CallersBy,
        typer.Option(
            help="Who says who asks: the header X-Caller-Key of your front end, and else the body's key or not."
        ),
    ] = CallersBy.HEADER_OR_BODY,
    store: Annotated[
        Path, typer.Option(metavar="DIR", help="Where predictions and feedback are kept, by model.")
    ] = Path("serving"),
    keep_days: Annotated[float, typer.Option(metavar="D", min=0.001, help="How long they are kept.")] = 30.0,
    log_inputs: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Of the requests, whose inputs are kept too.")
    ] = 0.0,
    redact: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Gets an instance's inputs by name before they are kept; returns what may be, or None.",
        ),
    ] = None,
    label_before: Annotated[
        bool,
        typer.Option(
            "--label-before",
            help="Answers of a version whose plan changed labels also say, under label_before, what the version "
            "before it would have called them: for clients that still know the old words.",
        ),
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="text, or json: each line of the log is one of JSON, and each request is a line.")
    ] = LogFormat.TEXT,
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="/metrics asks for no token, as health never does.")
    ] = False,
    drain_seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            max=3600,
            help="After SIGTERM requests are still taken for so long, while /readyz says 503; Ctrl-C ends it at once.",
        ),
    ] = 5.0,
    verbose: Verbose = False,
) -> None:
    """Serve a model's stable version over REST, and gRPC if asked to, its canary to part of the callers."""
    need_extra("serve", "fastapi", "uvicorn", "httptools", "anyio", "prometheus_client")
    if grpc_port is not None:
        need_extra("serve", "grpc", "tensorflow_serving")

    from progressive_tf.registry import Registry
    from progressive_tf.registry.keys import Keys
    from progressive_tf.serving.store import Store, store_path

    remembered = store_path(store, model).with_name(REMEMBERED)
    versions = Registry(registry, keys=Keys.read(key, trusted_key, remembered)).existing_model(model)
    predict_token = _token("--token-file", token_file, TOKEN_VARIABLE)
    release_token = _token("--release-token-file", release_token_file, RELEASE_TOKEN_VARIABLE)
    callers_own, operators_own = (
        token if isinstance(token, str | None) else token.token for token in (predict_token, release_token)
    )
    if callers_own is not None and callers_own == operators_own:
        raise InputError("callers and operators have the same token, so that every caller could release; give them two")
    hook = None if redact is None else _function(redact)
    _check_free("--port", host, port)
    if grpc_port is not None:
        _check_free("--grpc-port", host, grpc_port)

    from progressive_tf.logs import set_up_logging

    is_json = log_format is LogFormat.JSON
    set_up_logging(verbose, is_json)
    keys = versions.files.keys
    if keys.verifies and keys.own is None:
        say(
            "only what is signed is served, and this server has no --key: it moves no alias by itself or over HTTP, "
            "and takes back no canary; `release widen` and `release rollback` with a key do"
        )

    import uvicorn

    from progressive_tf.serving.app import Operation, make_app
    from progressive_tf.serving.batching import BatchSettings
    from progressive_tf.serving.callers import Callers
    from progressive_tf.serving.connections import Rules, limited
    from progressive_tf.serving.limits import Limits
    from progressive_tf.serving.metrics import Metrics
    from progressive_tf.serving.request_log import LogSettings, RequestLog
    from progressive_tf.serving.served_model import ServedModel
    from progressive_tf.serving.tokens import Tokens

    limits = Limits(
        body_bytes=max_body,
        values=max_values,
        instances=max_instances,
        text_bytes=max_text,
        tokens=max_tokens,
        image_pixels=max_pixels,
        request_seconds=max_seconds,
        body_seconds=max_body_seconds,
        body_rate=min_body_rate,
        concurrent_requests=max_requests,
        queued_instances=max_queue,
    )
    metrics = Metrics()
    request_log = RequestLog(Store(store_path(store, model)), LogSettings(log_inputs, keep_days, hook), metrics)
    batching = BatchSettings(max_batch, max_wait_ms, threads)
    served = ServedModel(versions, limits, batching, metrics, request_log)
    tokens, callers = Tokens(predict_token, release_token), Callers(callers_by is CallersBy.HEADER)
    grpc_at = None if grpc_port is None else (host, grpc_port)
    operation = Operation(is_json, open_metrics, drain_seconds)
    application = make_app(served, limits, metrics, request_log, tokens, callers, label_before, grpc_at, operation)
    # Without a configuration of its own its lines go where all others do.
    logging: dict[str, Any] = {"log_config": None, "log_level": "info"} if is_json else {}
    uvicorn.run(
        application,
        host=host,
        port=port,
        http=limited(Rules.of(limits), metrics.note_refused),
        # Not before the last request under way has had its time.
        timeout_graceful_shutdown=math.ceil(max_seconds) + 5,
        access_log=verbose and not is_json,  # whose lines have queries
        **logging,
    )


def _check_free(flag: str, host: str, port: int) -> None:
    """Raises InputError where nothing can listen on a port, before anything is loaded."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        raise InputError(f"{flag} {port}: nothing can listen on {host}:{port}: {error}; choose another") from None


def _token(flag: str, file: Path | None, variable: str) -> str | TokenFile | None:
    """Returns the token in a file, or in the environment.

    Raises:
        InputError: the file cannot be read, or has none that a header can have.
    """
    from progressive_tf.serving.tokens import TokenFile, usable_token

    if file is not None:
        return TokenFile(flag, file)
    given = os.environ.get(variable, "").strip()
    return usable_token(given, variable) if given else None


def _written(token: str | TokenFile | None) -> str | None:
    return token if token is None or isinstance(token, str) else token.token


def _function(place: str) -> Callable[..., Any]:
    """Returns the function at MODULE:FUNCTION.

    Raises:
        InputError: there is none.
    """
    module, _, name = place.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--redact {place}: MODULE:FUNCTION expected, importable from here: {error}") from None
    if not callable(function):
        raise InputError(f"--redact {place}: a function expected; got {type(function).__name__}")
    return function


def main() -> None:
    """Runs the command line."""
    run_command(app)


if __name__ == "__main__":
    main()
