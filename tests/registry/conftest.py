from __future__ import annotations

from pathlib import Path

import pytest
from registry_fakes import MODEL

from progressive_tf.registry import ModelVersions, Registry


@pytest.fixture
def model(tmp_path: Path) -> ModelVersions:
    return Registry(tmp_path / "registry").model(MODEL)
