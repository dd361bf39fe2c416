"""What a table, JSON and a page say of a drill."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from rich.console import Console

from progressive_tf.drilling.page import Report, render, table, ways
from progressive_tf.drilling.play import CANARY, GATE, NOBODY, Drilled, Outcome

GATED = Outcome(GATE, "reject, accuracy on pilot", "drop 0.5")
LATE = Outcome(CANARY, "latency", "it is slow", 1200, 30, 4)
THROUGH = Outcome(NOBODY, "", "no drift", 9000, 100, 70)


def report(saboteur: Sequence[Outcome], control: Sequence[Outcome]) -> Report:
    return Report(
        "made-up, version 1",
        Drilled("unharmed control", "the version itself", control),
        [Drilled("slow <tail>", "it is slow", saboteur)],
        ["a note"],
    )


def test_all_caught_and_the_version_through_is_passed() -> None:
    passed = report([LATE, LATE], [THROUGH, THROUGH])
    assert passed.is_passed
    assert passed.verdict == "all 1 saboteurs were caught in all 2 orders, and the version came through"


def test_what_gets_through_in_one_order_and_a_control_that_is_caught_are_failures() -> None:
    through = report([LATE, THROUGH], [THROUGH, THROUGH])
    assert not through.is_passed
    assert through.verdict == "slow <tail> got through in 1 of 2 orders"
    alarmed = report([LATE, LATE], [THROUGH, LATE])
    assert not alarmed.is_passed
    assert "the version itself was taken back in 1 of 2 orders, nobody (1×); canary: latency (1×)" in alarmed.verdict


def test_the_ways_of_several_orders_stand_with_how_often() -> None:
    assert ways(Drilled("", "", [LATE, GATED, LATE])) == "canary: latency (2×); gate: reject, accuracy on pilot (1×)"


def test_a_table_fits_wide_and_narrow_terminals() -> None:
    for width in (200, 60):
        console = Console(file=io.StringIO(), width=width)
        console.print(table(report([LATE], [THROUGH])))
        said = console.file.getvalue()  # type: ignore[attr-defined]
        for cell in ("canary: latency", "1,200", "30", "1 of 1", "unharmed control", "0 of 1"):
            assert cell in said


def test_a_page_is_whole_and_escapes_what_others_have_chosen() -> None:
    page = render(report([GATED], [THROUGH]))
    assert "slow &lt;tail&gt;" in page
    assert "<script" not in page
    assert "drop 0.5" in page
    assert page == render(report([GATED], [THROUGH]))


def test_json_has_every_order() -> None:
    read = json.loads(json.dumps(report([LATE, THROUGH], [THROUGH, THROUGH]).to_json()))
    assert read["passed"] is False
    assert [outcome["by"] for outcome in read["rows"][0]["outcomes"]] == [CANARY, NOBODY]
    assert read["rows"][0]["caught"] == 1
