"""What is said where a disk refuses what is written."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from progressive_tf.disk import WriteError, refusal, refuse_unwritable, writing
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import atomic_path, write_text
from progressive_tf.training.fitting.checkpoint import load_arrays, save_arrays
from progressive_tf.training.run.run_folder import RunFolder


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may get larger than 4,096 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.ENOENT, "No such file or directory"), None),
        (OSError("Write error: No space left on device. Detail: [errno 28]"), errno.ENOSPC),
        (RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"), errno.EDQUOT),
        (RuntimeError('IoError(Os { code: 27, kind: FileTooLarge, message: "…" })'), errno.EFBIG),
        (RuntimeError("shape (28, 28)"), None),
        (RuntimeError("failed with code: 3"), None),
        (InputError("plan.yaml: Input/output error"), None),
    ],
)
def test_a_refusal_is_known_by_its_number_or_by_the_words_of_a_library(error: Exception, code: int | None) -> None:
    assert refusal(error) == code


def test_the_error_says_where_why_what_to_do_and_what_is_kept(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as raised, writing(tmp_path, "what is finished is kept"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "inner/file")
    assert str(raised.value) == (
        "inner/file: cannot be written: Read-only file system; allow writing there, or choose another folder; "
        "what is finished is kept"
    )
    assert isinstance(raised.value, ProgressiveError)
    assert raised.value.errno == errno.EROFS
    with pytest.raises(InputError), writing(tmp_path):
        raise InputError("wrong plan")


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, small_files: None) -> None:
    target = tmp_path / "state.safetensors"
    save_arrays(target, {"weights": np.arange(3.0)}, {})
    expected = f"{target}: cannot be written: File too large; raise the limit"
    with pytest.raises(WriteError, match=expected):
        save_arrays(target, {"weights": np.zeros(1000)}, {})
    with pytest.raises(WriteError, match=expected):
        write_text(target, "x" * 5000)
    assert load_arrays(target)[0]["weights"].tolist() == [0.0, 1.0, 2.0]
    assert os.listdir(tmp_path) == [target.name]


def test_a_folder_in_the_way_or_a_long_name_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"File name too long; choose a shorter name"),
        atomic_path(tmp_path / ("n" * 300)) as temporary,
    ):
        temporary.write_text("x")


def test_half_an_event_is_taken_back(tmp_path: Path, small_files: None) -> None:
    run = RunFolder(tmp_path)
    run.log("started", text="x" * 3000)
    before = (tmp_path / "events.jsonl").read_bytes()
    with pytest.raises(WriteError, match=r"events\.jsonl: cannot be written"):
        run.log("training", text="x" * 3000)
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_a_run_says_what_is_kept_and_how_to_go_on(tmp_path: Path, small_files: None) -> None:
    run = RunFolder(tmp_path)
    kept = f"what is finished is saved in {tmp_path}. The same command continues there"
    with pytest.raises(WriteError) as raised, run.saying_how_to_continue():
        write_text(tmp_path / "metrics.json", "x" * 5000)
    assert str(raised.value).endswith(f"; {kept}")
    assert "metrics.json: cannot be written" in str(raised.value)
    with pytest.raises(KeyboardInterrupt, match=f"interrupted; {kept}"), run.saying_how_to_continue():
        raise KeyboardInterrupt
    assert '"interrupted"' in (tmp_path / "events.jsonl").read_text()


def test_a_full_disk_is_no_crash_of_a_trial_and_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_tuner.errors import FatalError  # all else is the fault of a trial to Keras Tuner

    from progressive_tf.tuning.trial import Trials
    from progressive_tf.tuning.tuner import StageTuner

    def refuse(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    unused: Any = None
    trials = Trials(unused, unused, unused, unused, unused, 0.02, 1, {}, tmp_path)
    monkeypatch.setattr(Trials, "_released", refuse)
    tuner = StageTuner.__new__(StageTuner)
    tuner._attempts, tuner._first = trials, [("plan", {})]
    chosen = SimpleNamespace(trial_id="00", hyperparameters=SimpleNamespace(values={}))
    for _ in range(5):
        with pytest.raises(FatalError, match="cannot be written: No space left"):
            tuner.run_trial(chosen)  # type: ignore[arg-type]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/proc/x.csv", "--to /proc/x.csv: cannot be written: No such file or directory; choose another folder"),
        ("/proc/no/x.csv", "--to /proc/no/x.csv: cannot be written: No such file or directory; choose another folder"),
        ("file/x.csv", "cannot be written: Not a directory; move what is in the way, or choose another folder"),
        ("x" * 300, "cannot be written: File name too long; choose a shorter name or folder"),
    ],
)
def test_what_cannot_be_made_is_refused_before_it_is_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        refuse_unwritable(tmp_path / name, "--to")


def test_what_can_be_made_leaves_nothing(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "one" / "two" / "out.csv", "--to")
    refuse_unwritable(tmp_path / "out.csv", "--to")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_which_nothing_can_be_made_is_said_as_other_refusals_are() -> None:
    with pytest.raises(WriteError, match=r"/proc/out\.csv: cannot be written: No such file or directory; choose"):
        write_text(Path("/proc/out.csv"), "text")


def test_a_missing_file_that_is_read_meanwhile_is_no_refusal_to_write(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, atomic_path(tmp_path / "out.csv"):
        (tmp_path / "gone.csv").read_text(encoding="utf-8")
    assert not isinstance(raised.value, WriteError)
