"""A registry with two versions, and servers that end with their test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import FEWEST_BEFORE, MODEL, Shared, release, translator, two_versions, wait_until

from progressive_tf.registry import ModelVersions, Registry

# How long a server of a test sleeps before it looks at its journal and its canary again, and writes what has come.
LOOK_SECONDS = 0.05


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts servers, with limits and settings by name, and waits until stable is served.

    They look at things more often than a server of its own, collect no garbage of a process that is not theirs, and
    measure stable by a few answers.
    """
    from progressive_tf.serving import canary_evidence, canary_watch, request_log, served_model
    from progressive_tf.serving.app import Operation, make_app
    from progressive_tf.serving.batching import BatchSettings
    from progressive_tf.serving.callers import Callers
    from progressive_tf.serving.limits import Limits
    from progressive_tf.serving.metrics import Metrics
    from progressive_tf.serving.store import Store
    from progressive_tf.serving.tokens import Tokens

    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(served_model, "LOOK_SECONDS", LOOK_SECONDS)
        patch.setattr(served_model, "_collect", lambda: None)
        patch.setattr(canary_watch, "LOOK_SECONDS", LOOK_SECONDS)
        patch.setattr(canary_evidence, "FEWEST_BEFORE", FEWEST_BEFORE)
        patch.setattr(request_log, "FLUSH_SECONDS", LOOK_SECONDS)

        def run(
            model: ModelVersions,
            batching: BatchSettings | None = None,
            tokens: Tokens | None = None,
            logging: request_log.LogSettings | None = None,
            raises: bool = True,
            callers: Callers | None = None,
            says_label_before: bool = False,
            grpc_at: tuple[str, int] | None = None,
            operation: Operation | None = None,
            **limits: Any,
        ) -> TestClient:
            metrics, limited = Metrics(), Limits(**limits)
            settings = logging or request_log.LogSettings()
            kept = request_log.RequestLog(Store(folder / "served.sqlite"), settings, metrics)
            served = served_model.ServedModel(model, limited, batching or BatchSettings(most=4), metrics, kept)
            app = make_app(served, limited, metrics, kept, tokens, callers, says_label_before, grpc_at, operation)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=raises))
            wait_until(lambda: client.get("/readyz").status_code == 200)
            return client

        yield run


@pytest.fixture
def model(tmp_path: Path) -> ModelVersions:
    """Versions 1 and 2, of which 1 is stable."""
    return two_versions(tmp_path)


@pytest.fixture
def writing(tmp_path: Path) -> ModelVersions:
    """Versions 1 and 2 that write texts, of which 1 is stable and 2 writes half of them otherwise."""
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1, export=translator(1), labels=())
    release(found, 2, alias=None, export=translator(2, wrong=0.5), labels=())
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts servers for one test."""
    with starting(tmp_path) as run:
        yield run


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until a server that is started afterwards has looked at its journal, and at its canary, once more."""
    from progressive_tf.serving.canary_watch import CanaryWatch
    from progressive_tf.serving.served_model import ServedModel

    looks: Counter[str] = Counter()
    at_canary, at_journal = CanaryWatch._look, ServedModel._journal_state

    async def look(self: CanaryWatch) -> None:
        await at_canary(self)
        looks["canary"] += 1

    def state(self: ServedModel) -> Any:
        looks["journal"] += 1
        return at_journal(self)

    monkeypatch.setattr(CanaryWatch, "_look", look)
    monkeypatch.setattr(ServedModel, "_journal_state", state)

    def wait() -> None:
        before = looks.copy()  # a look may be under way: the second from now has begun afterwards
        wait_until(lambda: all(looks[each] > before[each] + 1 for each in ("canary", "journal")))

    return wait


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server for a module's tests of requests that change nothing of it; operators have a token."""
    from progressive_tf.serving.tokens import Tokens

    folder = tmp_path_factory.mktemp("refusing")
    model = two_versions(folder)
    with starting(folder) as run:
        client = run(model, tokens=Tokens(release="operator"))
        yield Shared(client, model, folder)
