"""Runs of whole plans: the cache stands beside them, is shared by them, and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from prefixes import shards
from releasing import Place, read, small_plan, stage_folder

from progressive_tf.errors import InputError
from progressive_tf.training.fitting.checkpoint import checkpoint_facts

STAGES: list[dict[str, Any]] = [
    {"name": "one", "data": {"take": 30}},
    {"name": "two", "data": {"take": 60}, "adaptation": {"method": "top-blocks", "blocks": 1}},
]


def plan(**cache: Any) -> dict[str, Any]:
    raw = tiny.of_table(small_plan(*STAGES))
    raw["defaults"]["cache"] = cache or {"storage": "disk"}
    return raw


def outcome(run: Path) -> list[Any]:
    folders = [stage_folder(run, name) for name in ("one", "two")]
    return [
        read(run / "matrix.json"),
        *(checkpoint_facts(folder).weights_sha256 for folder in folders),
        *(read(folder / "metrics.json")["gate"] for folder in folders),
    ]


@pytest.mark.slow
def test_runs_share_the_cache_and_need_none(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = outcome(place.run(plan(), releases=False).run)
    stored = shards(tmp_path / "cache" / "prefix")
    assert stored
    assert "prefix: 2 of 2 blocks, 50 examples, 2 epochs: 1 of 2 prefix passes saved" in place.said[-1]

    again = outcome(place.run(plan(), fresh=True, releases=False).run)
    assert again == first
    assert "2 of 2 prefix passes saved" in place.said[-1]
    assert "50 of 50 were there" in place.said[-1]
    assert shards(tmp_path / "cache" / "prefix") == stored, "the second run has computed nothing"

    shutil.rmtree(tmp_path / "cache")
    without = outcome(place.run(plan(storage="off"), fresh=True, releases=False).run)
    assert without == first
    assert not shards(tmp_path / "cache" / "prefix")
    assert "2 epochs: computed in every epoch (cache: off)" in place.said[-1]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "prefix").write_text("in the way")
    with pytest.raises(InputError, match=r"cache/prefix: this folder, .* cannot be made or written: .*set cache: off"):
        Place(tmp_path).run(plan())
    assert not list((tmp_path / "runs").glob("*/plan.yaml"))
