"""`data check` and `plan new`, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspection.files import only, rows, write_csv, write_lines
from progressive_tf.__main__ import main
from progressive_tf.inspection import subject


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
    assert sorted(path.name for path in Path("check-tickets-csv").iterdir()) == ["check.html", "findings.csv"]
    assert typed("data", "check", "tickets.csv", "--fix") == 0
    assert (
        "corrected copy: check-tickets-csv/tickets-fixed.csv: labels in their usual spelling: 1;"
        in capsys.readouterr().out
    )
    assert typed("data", "check", "tickets.csv", "--fix") == 2
    assert "tickets-fixed.csv is there already" in capsys.readouterr().err


def test_two_files_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").mkdir()
    write_csv(Path("new/tickets.csv"), only(rows(60, seed=2), "message", "topic"))
    assert typed("data", "check", "tickets.csv", "new/tickets.csv", "--fix") == 2
    assert "two files would become tickets-fixed.csv" in capsys.readouterr().err
    assert not Path("check-tickets-csv").exists()
    assert typed("data", "check", "tickets.csv", "new/tickets.csv") == 0
    assert "tickets.csv: 60 rows" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["findings.csv", "check.html"])
def test_no_file_is_lost_that_is_no_earlier_result_of_the_same_check(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    Path("out", name).write_text("mine,too\n1,2\n")
    assert typed("data", "check", "tickets.csv", "--to", "out") == 2
    assert f"out/{name} is there already, and is no result of this check" in capsys.readouterr().err
    assert Path("out", name).read_text() == "mine,too\n1,2\n"
    assert typed("data", "check", "tickets.csv", "--to", "again") == 0
    assert typed("data", "check", "tickets.csv", "--to", "again") == 0  # its own
    write_csv(Path("others.csv"), only(rows(60), "message", "topic"))
    before = Path("again", name).read_bytes()
    assert typed("data", "check", "others.csv", "--to", "again") == 2
    assert Path("again", name).read_bytes() == before


def test_what_is_checked_is_not_overwritten_even_if_it_looks_like_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("file", "line", "kind", "what", "suggestion")
    made = [dict(zip(names, ("a", n, "bp"[n % 2], f"a text of words {n}", ""), strict=True)) for n in range(40)]
    before = write_csv(Path("findings.csv"), made).read_bytes()
    Path("linked.csv").symlink_to("findings.csv")
    for file in ("findings.csv", "linked.csv"):
        assert typed("data", "check", file, "--to", ".", "--text", "what", "--label", "kind") == 2
        assert "findings.csv is a file that is checked" in capsys.readouterr().err
        assert Path("findings.csv").read_bytes() == before


def test_files_that_differ_in_their_ending_have_folders_and_logs_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_lines(Path("tickets.jsonl"), only(rows(60), "message", "topic"))
    assert typed("data", "check", "tickets.csv") == 0
    assert typed("data", "check", "tickets.jsonl") == 0
    assert Path("check-tickets-csv/check.html").exists()
    assert Path("check-tickets-jsonl/check.html").exists()
    assert typed("data", "check", "tickets.csv", "tickets.jsonl", "--fix", "--to", "both") == 2
    assert "two files would become tickets-fixed-log.csv" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_any_row_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "open_table", lambda *arguments: pytest.fail("read"))
    Path("plain").write_text("no folder")
    assert typed("data", "check", "tickets.csv", "--to", "plain") == 2
    assert "--to plain/check.html: cannot be written" in capsys.readouterr().err
    assert typed("plan", "new", "tickets.csv", "--to", "plain/plan.yaml") == 2
    assert "--to plain/plan.yaml: cannot be written" in capsys.readouterr().err


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
