from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_devices.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two logical devices give, computed in a process of its own."""
    folder = tmp_path_factory.mktemp("two_devices")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(folder)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    "case",
    [
        "everything, clipped, token budget",
        "head on kept outputs",
        "optimizers per block",
        "pairs of a batch, lamb, running averages",
    ],
)
def test_two_devices_train_as_one(results: dict[str, Any], case: str) -> None:
    assert results[case]["weights"] < 1e-4
    assert results[case]["losses"] < 1e-5
    one, two = results[case]["rates"]
    assert two == pytest.approx(one)


def test_the_plateau_lowers_the_rate_of_every_block_alike(results: dict[str, Any]) -> None:
    rates, _ = results["optimizers per block"]["rates"]
    assert rates[-1] < rates[0], "the rate never fell, so this test shows nothing"


def test_two_devices_train_in_mixed_precision_nearly_as_one(results: dict[str, Any]) -> None:
    assert results["mixed_float16"]["weights"] < 1e-2  # sums of float16 in another order
    assert results["mixed_float16"]["losses"] < 1e-3


def test_a_stopped_fit_over_two_devices_ends_as_one_left_alone(results: dict[str, Any]) -> None:
    assert results["resumed"] is True


def test_a_run_over_two_devices_judges_and_releases_what_a_run_on_one_does(results: dict[str, Any]) -> None:
    assert results["plans"]["line"].endswith("; float32; no XLA; every batch divided over 2 devices")
    assert results["plans"]["probabilities"] < 1e-4
    assert results["plans"]["served"] < 1e-5


def test_a_network_of_texts_is_exported_from_two_devices_as_it_is(results: dict[str, Any]) -> None:
    assert results["everything, clipped, token budget"]["served"] < 1e-5


def test_a_run_over_two_devices_asks_what_another_run_released(results: dict[str, Any]) -> None:
    assert results["plans"]["compared"] is True


def test_images_with_statistics_of_batches_are_served_as_they_were_judged(results: dict[str, Any]) -> None:
    """Each device normalises by its own part of a batch, so only what follows from the trained weights is compared."""
    assert results["images"]["served"] < 1e-5
