from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import tiny
from releasing import small_plan
from rich.console import Console

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.reporting.block_table import StageBlocks, block_table, totals_line
from progressive_tf.training.stage.dry_run import forward_flops, stage_blocks

STAGES: dict[str, dict[str, Any]] = {
    "top": {"adaptation": {"method": "top-blocks", "blocks": 1}},
    "decayed": {"adaptation": {"method": "full"}, "block_decay": 2.0},
    "low": {"adaptation": {"method": "lora", "rank": 2, "from_block": 2, "merge": False}, "cache": "off"},
    "steps": {"adaptation": {"method": "gradual", "blocks_per_phase": 2}, "epochs": 3},
}


def plan_of(stages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return small_plan(*({"name": name, "data": {"take": 20}} | settings for name, settings in stages.items()))


def dry_run(folder: Path, raw: dict[str, Any]) -> list[StageBlocks]:
    plan = tiny.write_plan(folder, raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return list(stage_blocks(load_plan(str(plan)), folder / "registry"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dry")


@pytest.fixture(scope="module")
def blocks(folder: Path, _determinism: None) -> dict[str, StageBlocks]:
    return {stage.stage: stage for stage in dry_run(folder, plan_of(STAGES))}


def column(blocks: StageBlocks, name: str) -> list[Any]:
    return [getattr(row, name) for row in blocks.rows]


def test_what_moves_and_what_is_kept(blocks: dict[str, StageBlocks]) -> None:
    assert column(blocks["top"], "name") == ["embeddings", "layer_0", "layer_1", "head"]
    assert column(blocks["top"], "prefix") == ["cached", "cached", "", ""]
    assert column(blocks["top"], "trainable") == [0, 0, *column(blocks["top"], "weights")[2:]]
    assert column(blocks["low"], "prefix") == ["computed", "computed", "", ""]
    assert column(blocks["low"], "trainable") == [0, 0, 2 * 2 * (8 + 8), 18]


def test_optimizers_and_rates(blocks: dict[str, StageBlocks]) -> None:
    assert column(blocks["top"], "optimizer") == ["", "", "adam", "adam"]
    assert column(blocks["top"], "rate") == [None, None, 0.01, 0.01]
    assert column(blocks["decayed"], "optimizer") == ["adam 1", "adam 2", "adam 3", "adam 4"]
    assert column(blocks["decayed"], "rate") == pytest.approx([0.01 / 8, 0.01 / 4, 0.01 / 2, 0.01])


def test_the_phases_of_gradual_share_their_optimizers(blocks: dict[str, StageBlocks]) -> None:
    assert column(blocks["steps"], "optimizer") == ["adam 1", "adam 2", "adam 3", "adam 4"]


def test_phases(blocks: dict[str, StageBlocks]) -> None:
    assert column(blocks["steps"], "phase") == [3, 2, 2, 1]
    assert column(blocks["top"], "phase") == [None, None, 1, 1]


def test_a_stage_is_shown_on_top_of_those_before(blocks: dict[str, StageBlocks]) -> None:
    grown = column(blocks["steps"], "weights")[2] - column(blocks["top"], "weights")[2]
    assert grown == 2 * 2 * (8 + 8), "what is kept separate is still there"


def test_operations_are_those_of_the_matrices(network: Any) -> None:
    tokens = 10
    counted = forward_flops(network, tokens)
    projections = 2 * tokens * (4 * 8 * 8 + 2 * 8 * 16)
    attention = 2 * 2 * tokens * tokens * 8
    assert projections + attention <= counted["layer_0"] <= 2.5 * (projections + attention)
    assert counted["layer_0"] == counted["layer_1"]
    assert counted["embeddings"] < counted["layer_0"] / 2


def test_the_table_fits_a_narrow_terminal_and_says_it_all(blocks: dict[str, StageBlocks]) -> None:
    console = Console(file=io.StringIO(), width=80)
    for stage in blocks.values():
        console.print(block_table(stage))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    for word in ("steps: gradual", "phase", "adam 4", "cached", "computed", "layer_1"):
        assert word in text
    assert "weights move" in totals_line(blocks["top"])


@pytest.mark.usefixtures("blocks")
def test_nothing_is_left_behind(folder: Path) -> None:
    assert not [name for name in ("runs", "registry") if (folder / name).exists()]


@pytest.mark.usefixtures("_determinism")
def test_what_the_network_cannot_do_is_refused(tmp_path: Path) -> None:
    blocks, phases = {"method": "top-blocks", "blocks": 9}, {"method": "gradual"}
    with pytest.raises(InputError, match=r"stages\[0\]\.adaptation\.blocks: 9 asked, the network has 2"):
        dry_run(tmp_path, tiny.of_table(plan_of({"top": {"adaptation": blocks}})))
    with pytest.raises(InputError, match=r"stages\[0\]\.epochs: 2 asked, 3 phases of adaptation.method gradual need 3"):
        dry_run(tmp_path, tiny.of_table(plan_of({"steps": {"adaptation": phases}})))
