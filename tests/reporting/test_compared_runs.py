from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from progressive_tf.errors import InputError
from progressive_tf.reporting.compared_runs import comparison_table, read_method


def _write(folder: Path, metric: str, scores: list[float], first: int = 0) -> Path:
    for seed, score in enumerate(scores, start=first):
        run = folder / f"run-{seed}"
        run.mkdir(parents=True)
        (run / "plan.yaml").write_text(f"name: some\nseed: {seed}\n", encoding="utf-8")
        matrix = {"stages": ["one"], "metric": metric, "test_measures": {"acc": score}}
        (run / "matrix.json").write_text(json.dumps(matrix), encoding="utf-8")
    return folder


def test_values_have_the_decimals_of_their_metric(tmp_path: Path) -> None:
    folders = [_write(tmp_path / "one", "chrf", [50.0, 60.0]), _write(tmp_path / "two", "chrf", [60.0, 70.0])]
    stream = io.StringIO()
    methods = [read_method(folder, "acc", "test") for folder in folders]
    Console(file=stream, width=300).print(comparison_table(methods, "acc", "test"))
    text = stream.getvalue()
    for expected in (" 55.00 ", " 65.00 ", " +10.00 "):
        assert expected in text


def test_runs_of_several_metrics_are_not_compared(tmp_path: Path) -> None:
    of_classes = read_method(_write(tmp_path / "classes", "accuracy", [0.5]), "acc", "test")
    of_texts = read_method(_write(tmp_path / "texts", "chrf", [50.0]), "acc", "test")
    with pytest.raises(InputError, match=r"texts: its R matrices are of chrf, those of .*classes of accuracy; compare"):
        comparison_table([of_classes, of_texts], "acc", "test")
    _write(tmp_path / "texts", "accuracy", [0.5], first=1)
    with pytest.raises(InputError, match="texts: R matrices of several metrics, chrf in run-0 and accuracy in run-1"):
        read_method(tmp_path / "texts", "acc", "test")


@pytest.mark.parametrize("width", [80, 120])
def test_names_of_folders_and_intervals_are_not_cut(
    tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [Path("runs/naive"), Path("runs/with-replay-of-everything-before")]
    methods = [read_method(_write(folder, "accuracy", [0.5, 0.6]), "acc", "test") for folder in names]
    stream = io.StringIO()
    Console(file=stream, width=width).print(comparison_table(methods, "acc", "test"))
    assert "runs/with-replay-of-everything-before" in stream.getvalue()
    assert "[0.000, 0.000]" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= width
