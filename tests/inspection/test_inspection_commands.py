"""`data check` and `plan new`, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspection.files import only, rows, write_csv
from progressive_tf.__main__ import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = only(rows(120), "message", "topic")
    made[3]["topic"] = made[3]["topic"].title()
    write_csv(tmp_path / "tickets.csv", made)


def typed(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_check_writes_a_page_and_findings_and_a_copy_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("data", "check", "tickets.csv") == 0
    said = capsys.readouterr().out
    assert "tickets.csv: 120 rows, read for text-classification" in said
    assert "1 class is written in more than one way" in said
    assert sorted(path.name for path in Path("check-tickets").iterdir()) == ["check.html", "findings.csv"]
    assert typed("data", "check", "tickets.csv", "--fix") == 0
    assert (
        "corrected copy: check-tickets/tickets-fixed.csv: labels in their usual spelling: 1;" in capsys.readouterr().out
    )
    assert typed("data", "check", "tickets.csv", "--fix") == 2
    assert "tickets-fixed.csv is there already" in capsys.readouterr().err


def test_two_files_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").mkdir()
    write_csv(Path("new/tickets.csv"), only(rows(60, seed=2), "message", "topic"))
    assert typed("data", "check", "tickets.csv", "new/tickets.csv", "--fix") == 2
    assert "two files would become tickets-fixed.csv" in capsys.readouterr().err
    assert not Path("check-tickets").exists()
    assert typed("data", "check", "tickets.csv", "new/tickets.csv") == 0
    assert "tickets.csv: 60 rows" in capsys.readouterr().out


def test_a_check_can_fail_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("data", "check", "tickets.csv", "--fail-on", "error") == 3
    assert typed("data", "check", "tickets.csv", "--fix", "--to", "out") == 0
    assert typed("data", "check", "out/tickets-fixed.csv", "--fail-on", "error") == 0


def test_a_plan_is_written_and_read_by_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("plan", "new", "tickets.csv", "--offline") == 0
    said = capsys.readouterr().out
    assert "task: text-classification" in said
    assert "normalize_labels: casefold" in said
    assert "train --plan plan.yaml --dry-run" in said
    assert typed("plan", "new", "tickets.csv") == 2
    assert "plan.yaml is there already" in capsys.readouterr().err
    assert typed("data", "check", "tickets.csv", "--plan", "plan.yaml", "--fail-on", "error") == 0
    assert typed("data", "check", "tickets.csv", "--plan", "plan.yaml", "--label", "topic") == 2
    write_csv(Path("other.csv"), [{"message": "a text of words", "topik": "bill"}] * 30)
    assert typed("data", "check", "other.csv", "--plan", "plan.yaml") == 2
    assert "data.label: other.csv: unknown column 'topic'; did you mean 'topik'?" in capsys.readouterr().err


def test_texts_are_checked_and_planned_without_tensorflow() -> None:
    script = (
        "import sys\nfrom progressive_tf.__main__ import main\n"
        "for arguments in (['data', 'check', 'tickets.csv'], ['plan', 'new', 'tickets.csv']):\n"
        "    try: main(arguments)\n    except SystemExit as ended: assert not ended.code, ended.code\n"
        "print('tensorflow' in sys.modules, 'transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
