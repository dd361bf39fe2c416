"""A registry with two versions, and servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, Shared, release, translator, two_versions, wait_until

from progressive_tf.registry import ModelVersions, Registry


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts servers, with limits and settings by name, and waits until stable is served."""
    from progressive_tf.serving.app import make_app
    from progressive_tf.serving.batching import BatchSettings
    from progressive_tf.serving.limits import Limits
    from progressive_tf.serving.metrics import Metrics
    from progressive_tf.serving.request_log import LogSettings, RequestLog
    from progressive_tf.serving.served_model import ServedModel
    from progressive_tf.serving.server import Tokens
    from progressive_tf.serving.store import Store

    with ExitStack() as stack:

        def run(
            model: ModelVersions,
            batching: BatchSettings | None = None,
            tokens: Tokens | None = None,
            logging: LogSettings | None = None,
            **limits: Any,
        ) -> TestClient:
            metrics, limited = Metrics(), Limits(**limits)
            request_log = RequestLog(Store(folder / "served.sqlite"), logging or LogSettings(), metrics)
            served = ServedModel(model, limited, batching or BatchSettings(most=4), metrics, request_log)
            client = stack.enter_context(TestClient(make_app(served, limited, metrics, request_log, tokens)))
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


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server for a module's tests of requests that change nothing of it; operators have a token."""
    from progressive_tf.serving.server import Tokens

    folder = tmp_path_factory.mktemp("refusing")
    model = two_versions(folder)
    with starting(folder) as run:
        client = run(model, tokens=Tokens(release="operator"))
        yield Shared(client, model, folder)
