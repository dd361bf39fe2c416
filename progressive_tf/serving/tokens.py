"""The bearer tokens of callers and operators, which are read again when their files change, and what asks for one."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from progressive_tf.errors import InputError
from progressive_tf.serving.limits import Refusal

_LONGEST = 4096
_USABLE = re.compile(rf"[!-~]{{1,{_LONGEST}}}")
LOOK_SECONDS = 1.0
HEALTH = frozenset({"/healthz", "/readyz"})
METRICS = "/metrics"
_ASKS = 401, "a bearer token is expected, and this is none of ours", {"WWW-Authenticate": "Bearer"}

log = logging.getLogger("progressive_tf.serving")


class TokenFile:
    """A token that a file holds; what was read last counts while it cannot be read, or is empty.

    Args:
        flag: of the command, that errors begin with.
        path: the file.

    Raises:
        InputError: it cannot be read now, or has no token.
    """

    def __init__(self, flag: str, path: Path) -> None:
        self._called = f"{flag} {path}"
        self._path = path
        self._state = self._stat()
        self.token = self._read()
        self.problem = ""

    def read_if_changed(self, is_asked: bool = False) -> None:
        """Takes the token that the file holds now, where it has changed, or where somebody asks for it."""
        state = self._stat()
        if state == self._state and not is_asked and not self.problem:
            return
        self._state = state
        try:
            token = self._read()
        except InputError as error:
            problem = f"{error}; the token that was read last still counts"
            if problem != self.problem:
                log.error("%s", problem)
            self.problem = problem
            return
        if token != self.token or self.problem:
            log.info("%s: read again%s", self._called, "" if token == self.token else ", and another token counts now")
        self.token, self.problem = token, ""

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            # What cannot be decoded is not said: it may be most of a token.
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise InputError(f"{self._called}: cannot be read: {why}") from None
        if not token:
            raise InputError(f"{self._called}: a token expected; the file is empty")
        return usable_token(token, self._called)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def usable_token(token: str, called: str) -> str:
    """Returns a token that a header can have.

    Args:
        token: without spaces around it.
        called: where it comes from, in words.

    Raises:
        InputError: nobody could send it.
    """
    if not _USABLE.fullmatch(token):
        raise InputError(
            f"{called}: a line of at most {_LONGEST} printable ASCII characters without spaces expected, as a header "
            "can have it"
        )
    return token


class Tokens:
    """What has to be sent as a bearer token.

    Args:
        predict: for all but health, which an operator may give too; None for no check.
        release: for canary, widen, pause, shadow, rollback and questions; None where these are off.
    """

    def __init__(self, predict: str | TokenFile | None = None, release: str | TokenFile | None = None) -> None:
        self._predict = predict
        self._release = release

    @property
    def predict(self) -> str | None:
        """The token of callers; None where nobody is asked for one."""
        return _token(self._predict)

    @property
    def release(self) -> str | None:
        """The token of operators; None where there is none."""
        return _token(self._release)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a file was not read again."""
        return tuple(file.problem for file in self._files() if file.problem)

    async def follow(self) -> None:
        """Reads the files again when they change, until it is cancelled."""
        while True:
            await self.read_again(is_asked=False)
            await asyncio.sleep(LOOK_SECONDS)

    async def read_again(self, is_asked: bool = True) -> None:
        """Reads the files again, in a thread, since a disk may be away."""
        for file in self._files():
            await asyncio.get_running_loop().run_in_executor(None, file.read_if_changed, is_asked)

    def check_predict(self, request: Request) -> None:
        """Raises Refusal, 401, for a request without the token of callers."""
        if self.predict is not None:
            _check(request, self.predict)

    def check_known(self, request: Request) -> None:
        """Raises Refusal, 401, for a request with neither the token of callers nor that of operators."""
        if not self.is_known(request.headers):
            status, message, headers = _ASKS
            raise Refusal(status, message, headers)

    def is_operator(self, request: Request) -> bool:
        """Whether a request has the token of operators."""
        return self.release is not None and _has(request.headers, self.release)

    def check_release(self, request: Request) -> None:
        """Raises Refusal for a request without the token of operators, 401, or where there is none and releasing over
        HTTP is off, 403.
        """
        if self.release is None:
            raise Refusal(
                403, "releasing over HTTP is off; start the server with --release-token-file, or use the command line"
            )
        _check(request, self.release)

    def check_questions(self, request: Request) -> None:
        """Raises Refusal for a request without the token of operators, who alone may see what callers asked."""
        if self.release is None:
            raise Refusal(
                403,
                "questions show what callers asked; start the server with --release-token-file, or use `monitor NAME "
                "--ask N`",
            )
        _check(request, self.release)

    def is_known(self, headers: Headers) -> bool:
        """Whether a request has one of the tokens, where callers need one."""
        if self.predict is None:
            return True
        return any(_has(headers, token) for token in (self.predict, self.release) if token is not None)

    def _files(self) -> Iterable[TokenFile]:
        return (one for one in (self._predict, self._release) if isinstance(one, TokenFile))


class Guarded:
    """Asks for a token on every path but those that are open to all. Which of the two a route takes, it says itself.

    Args:
        app: what answers.
        tokens: of callers and operators.
        is_metrics_open: whether `/metrics` is open too.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, is_metrics_open: bool = False) -> None:
        self._app = app
        self._tokens = tokens
        self._open = HEALTH | ({METRICS} if is_metrics_open else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it, 401."""
        is_open = scope["type"] != "http" or scope["path"] in self._open
        if is_open or self._tokens.is_known(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        status, message, headers = _ASKS
        await JSONResponse({"error": message}, status, headers)(scope, receive, send)


def _token(given: str | TokenFile | None) -> str | None:
    return given.token if isinstance(given, TokenFile) else given


def _check(request: Request, token: str) -> None:
    if not _has(request.headers, token):
        status, message, headers = _ASKS
        raise Refusal(status, message, headers)


def _has(headers: Any, token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
