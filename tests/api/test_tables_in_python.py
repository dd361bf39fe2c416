"""A released version answers whole tables, and is a function of a batch."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import progressive_tf
from progressive_tf import Registry, Run
from progressive_tf.api.released_version import ReleasedVersion
from progressive_tf.errors import InputError


@pytest.fixture
def version(finished: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> ReleasedVersion:
    monkeypatch.chdir(home)
    return Registry("registry").model("tiny").stable()


@pytest.fixture
def frame(finished: Run, home: Path) -> pd.DataFrame:
    table = pd.read_csv(home / "table.csv", dtype=str, keep_default_na=False).iloc[:9]
    return table.set_axis(range(100, 109), axis=0)


def test_a_table_is_answered_as_its_rows_are(version: ReleasedVersion, frame: pd.DataFrame) -> None:
    table = version.predict_table(frame, probabilities=True)
    answers = version.predict(frame)
    assert table.index.equals(frame.index)
    assert table["predicted"].tolist() == answers["label"].tolist()
    for label in version.labels:
        assert table[f"probability/{label}"].tolist() == pytest.approx(answers[f"probability/{label}"], abs=1e-6)
    pd.testing.assert_frame_equal(table[list(frame.columns)], frame)
    assert version.predict_table(frame, keep_columns="none").columns.tolist() == ["predicted", "confidence", "problem"]


def test_two_versions_are_compared(version: ReleasedVersion, frame: pd.DataFrame) -> None:
    other = Registry("registry").model("tiny").version(1)
    table = version.predict_table(frame, keep_columns=[], against=other)
    assert table["against"].tolist() == other.predict(frame)["label"].tolist()
    assert table["differs"].tolist() == (table["against"] != table["predicted"]).tolist()
    pd.testing.assert_frame_equal(version.predict_table(frame, keep_columns=[], against=1), table)
    with pytest.raises(InputError, match="against: unknown alias 'stabel'; did you mean 'stable'"):
        version.predict_table(frame, against="stabel")


def test_files_are_answered_as_the_command_does(version: ReleasedVersion, tmp_path: Path) -> None:
    summary = version.predict_files("table.csv", tmp_path / "out.csv", keep_columns="label", probabilities=True)
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written.columns[:4]) == ["row", "label", "predicted", "confidence"]
    assert summary.rows == len(written) == sum(summary.answers.values())
    assert not isinstance(summary.drift, str), "its run is there"
    table = version.predict_table("table.csv", keep_columns="label", probabilities=True).drop(columns="problem")
    pd.testing.assert_frame_equal(table, written, check_dtype=False, atol=2e-6)
    with pytest.raises(InputError, match="there is a file already"):
        version.predict_files(["table.csv"], tmp_path / "out.csv")
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        version.predict_files(["table.csv"], "/proc/out.csv")


def test_a_function_of_a_batch_works_in_another_process(
    version: ReleasedVersion, frame: pd.DataFrame, tmp_path: Path
) -> None:
    function = version.batch_function(keep_columns="none")
    (tmp_path / "function").write_bytes(pickle.dumps(function))
    frame.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import pandas, pathlib, pickle; function = pickle.loads(pathlib.Path('function').read_bytes()); "
        "function(pandas.read_parquet('rows.parquet')).to_parquet('answers.parquet')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(progressive_tf.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "answers.parquet"), function(frame), check_dtype=False, atol=2e-6
    )


def test_an_exported_folder_is_a_version(version: ReleasedVersion, frame: pd.DataFrame, tmp_path: Path) -> None:
    folder = shutil.copytree(version.folder, tmp_path / "2")
    exported = Registry.exported(folder)
    assert exported.number == version.number
    pd.testing.assert_frame_equal(exported.predict_table(frame), version.predict_table(frame), atol=2e-6)
    with pytest.raises(InputError, match=r"no exported version: manifest\.json is not in it"):
        Registry.exported(tmp_path)


def test_what_the_version_cannot_read_is_said_as_the_command_says_it(
    version: ReleasedVersion, frame: pd.DataFrame
) -> None:
    first = next(iter(version.manifest["preprocessing"]["arguments"]))
    with pytest.raises(InputError, match=f"no column '{first}'; the version reads"):
        version.predict_table(frame.drop(columns=first))
    with pytest.raises(InputError, match="--column: the version reads a table's columns"):
        version.predict_table(frame, column="label")
