"""The command, on a version of texts that was trained for it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import tiny
from releasing import Place, small_plan

from progressive_tf.commands import run_command
from progressive_tf.predict import _words_apart, app
from progressive_tf.registry import Registry
from progressive_tf.serving.export import export_version


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version, and its run."""
    place = Place(tmp_path_factory.mktemp("home"))
    stage = {"name": "one", "data": {"take": 100}, "adaptation": {"method": "full"}}
    assert place.run(tiny.of_textnet(small_plan(stage))).promoted
    return place.folder


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def predict(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        run_command(app, list(map(str, arguments)))
    return int(ended.value.code or 0)


def test_answers_are_those_that_the_stage_was_measured_by(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("tiny", "data.csv", "--to", tmp_path / "out.csv") == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["row", "text", "label", "predicted", "confidence"]
    (record,) = home.glob("runs/*/stages/01-one/predictions.parquet")
    measured = pd.read_parquet(record)
    assert table.set_index("row").loc[measured["row"], "predicted"].tolist() == measured["predicted"].tolist()
    said = " ".join(capsys.readouterr().out.split())
    assert f"240 rows of data.csv answered by version 1: {tmp_path / 'out.csv'}" in said
    # The gate's own rows are left out of the comparison with them.
    assert "drift: 180 of these rows beside 60 gate rows of stage one, version 1" in said
    assert "text: embedding" in said


def test_an_exported_version_answers_without_a_registry(home: Path, tmp_path: Path) -> None:
    exported, *_ = export_version(Registry(home / "registry").model("tiny"), 1, tmp_path / "away")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "good film", "id": 7}\n{"text": null}\n', encoding="utf-8")
    assert predict(exported, rows, "--to", tmp_path / "out.jsonl", "--keep-columns", "id", "--probabilities") == 0
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (answer["row"], answer["id"]) == (1, 7)
    assert answer["probability/negative"] + answer["probability/positive"] == pytest.approx(1, abs=1e-5)
    assert "no text in column text" in (tmp_path / "out.bad.csv").read_text()
    (exported / "variables" / "variables.index").write_bytes(b"")
    assert predict(exported, rows, "--to", tmp_path / "other.jsonl") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tyni", "data.csv", "--to", "out.csv"], "unknown model 'tyni'; did you mean 'tiny'?"),
        (["tiny", "data.csv", "--to", "out.csv", "--version", "canary"], "tiny: unknown version or alias 'canary'"),
        (["tiny", "data.csv", "--to", "out.csv", "--against", "9"], "unknown version of tiny '9'"),
        (["tiny", "none.csv", "--to", "out.csv"], "none.csv: there is no such file"),
        (["tiny", "data.csv", "--to", "/proc/out.csv"], "--to /proc/out.csv: cannot be written: No such file or dir"),
        (["tiny", "data.csv", "--to", "data.csv/out.csv"], "--to data.csv/out.csv: cannot be written: Not a directory"),
        (["tiny", "table.csv", "--to", "out.csv"], "name the column of texts with --column: height, colour, label"),
    ],
)
def test_what_cannot_be_answered_is_said_and_nothing_is_written(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert predict(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(home.glob("out.*"))


def test_versions_that_call_classes_otherwise_are_told_from_those_that_answer_otherwise() -> None:
    def version(number: int, *labels: str) -> Any:
        return cast(Any, SimpleNamespace(number=number, manifest=lambda: {"labels": list(labels)}))

    before, now = version(1, "pin", "refund", "fax"), version(2, "refund", "security")
    assert _words_apart(now, before) == (
        "only version 2 has security; only version 1 has pin, fax: answers with these count as otherwise, whatever "
        "they mean"
    )
    assert _words_apart(version(3, "security", "refund"), now) is None
    assert _words_apart(version(4), before) is not None
    assert _words_apart(version(4), version(5)) is None
