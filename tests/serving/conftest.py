"""A registry with two versions, and servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, release, translator, wait_until

from progressive_tf.registry import ModelVersions, Registry


@pytest.fixture
def model(tmp_path: Path) -> ModelVersions:
    """Versions 1 and 2, of which 1 is stable."""
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1)
    release(found, 2, alias=None)
    return found


@pytest.fixture
def writing(tmp_path: Path) -> ModelVersions:
    """Versions 1 and 2 that write texts, of which 1 is stable and 2 writes half of them otherwise."""
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1, export=translator(1), labels=())
    release(found, 2, alias=None, export=translator(2, wrong=0.5), labels=())
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts servers, with limits and settings by name, and waits until stable is served."""
    from progressive_tf.serving.app import make_app
    from progressive_tf.serving.batching import BatchSettings
    from progressive_tf.serving.incoming import Tokens
    from progressive_tf.serving.limits import Limits
    from progressive_tf.serving.metrics import Metrics
    from progressive_tf.serving.request_log import LogSettings, RequestLog
    from progressive_tf.serving.served_model import ServedModel
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
            request_log = RequestLog(Store(tmp_path / "served.sqlite"), logging or LogSettings(), metrics)
            served = ServedModel(model, limited, batching or BatchSettings(most=4), metrics, request_log)
            client = stack.enter_context(TestClient(make_app(served, limited, metrics, request_log, tokens)))
            wait_until(lambda: client.get("/readyz").status_code == 200)
            return client

        yield run
