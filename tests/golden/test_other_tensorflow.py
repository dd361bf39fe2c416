"""What one of the two TensorFlows has made is served and gone on from with the other."""

from __future__ import annotations

from pathlib import Path

import old
import pytest
import records

from progressive_tf.files import read_json
from progressive_tf.train import app as train

OTHER = next(name for name in read_json(old.ANSWERS) if name != old.present())


@pytest.mark.parametrize("name", old.OLD)
def test_versions_of_the_other_tensorflow_say_what_they_said_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old.unpack(name, tmp_path, OTHER)
    there = read_json(old.ANSWERS)[OTHER][name]
    for said, recorded in zip(old.predictions(old.OLD[name]), there, strict=True):
        assert said.pop("probabilities") == pytest.approx(recorded.pop("probabilities"), abs=1e-6)
        assert said == recorded


def test_a_run_of_the_other_tensorflow_goes_on_where_that_is_asked_for_and_a_new_one_starts_from_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old.unpack("table", tmp_path, OTHER)
    (run,) = tmp_path.glob("runs/*/*")
    finished = records.run_command(train, "--plan", "plan.yaml")
    assert finished[0] == 3  # as it ended there: nothing of it is computed anew
    before = sorted(run.rglob("*"))

    with pytest.raises(AssertionError, match=rf"began with TensorFlow {OTHER}\..*--any-tensorflow"):  # exit code 2
        records.run_command(train, "--plan", "grown.yaml")
    assert [path for path in sorted(run.rglob("*")) if path not in before and path.name != "plan.yaml"] == []
    assert records.run_command(train, "--plan", "grown.yaml", "--any-tensorflow")[0] in (0, 3)
    assert records.run_command(train, "--plan", "grown.yaml")[0] in (0, 3)  # asked for once
    assert (run / "stages" / "04-more" / "decision.json").exists()

    assert records.run_command(train, "--plan", "from-stable.yaml")[0] == 0
