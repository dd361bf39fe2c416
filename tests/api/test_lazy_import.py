from __future__ import annotations

import subprocess
import sys

import pytest

import progressive_tf

# What takes long to import, and what opening a run or a registry must do without.
PROBE = """
import sys
import progressive_tf
assert not {"numpy", "pandas", "tensorflow", "pydantic"} & set(sys.modules), "import progressive_tf"
from progressive_tf import Plan, Registry, Run, run
Plan.load("offline")
assert "tensorflow" not in sys.modules, "from progressive_tf import"
"""


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    subprocess.run([sys.executable, "-c", PROBE], check=True)


def test_names_are_listed_and_others_are_not_there() -> None:
    assert {"Plan", "Registry", "Run", "run", "__version__"} <= set(dir(progressive_tf))
    assert set(progressive_tf.__all__) <= set(dir(progressive_tf))
    with pytest.raises(AttributeError, match="has no attribute 'Stage'"):
        assert progressive_tf.Stage
