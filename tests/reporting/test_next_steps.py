from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from progressive_tf import files
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.merging import parse_setting
from progressive_tf.reporting.commands_again import CommandsAgain
from progressive_tf.reporting.gate_changes import flow, other_gate
from progressive_tf.reporting.next_steps import NextSteps, after_success, next_steps, ways_text
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run

from .records_builder import force, write_run

AGAIN = {"python": "python", "flags": ["--plan", "my plans/reviews.yaml"], "registry": "my registry"}
FLOOR = {"metric": "accuracy", "slice": "current", "at_least": 0.8, "confidence": 0.95}


def held(folder: Path, rules: list[dict[str, Any]], decision: str = "hold", **changes: Any) -> Path:
    """Writes a run whose last stage was held by these comparisons."""
    run = write_run(folder / "my run", decisions=("promote", "promote", decision))
    gate = [rule["rule"] for rule in rules]
    plan = run / "plan.yaml"
    text = plan.read_text()
    last = text.rindex("    gate: [")
    plan.write_text(text[:last] + f"    gate: {json.dumps(gate)}\n")
    with (run / "events.jsonl").open("a") as events:
        events.write(json.dumps({"event": "started", "again": AGAIN}) + "\n")
    stage = run / "stages/03-full"
    files.write_json(
        stage / "decision.json",
        {"decision": decision, "version": None, "reason": "because", "rules": rules, "started_from": "beta"} | changes,
    )
    files.write_json(
        stage / "data.json", json.loads((stage / "data.json").read_text()) | {"gate_part": 1926, "pool": 7000}
    )
    return run


def comparison(rule: dict[str, Any], outcome: str = "hold", **values: Any) -> dict[str, Any]:
    found = {"slice": "current", "estimate": 0.81, "low": 0.7962, "high": 0.82, "n": 1926, "p": 0.1, "threshold": 0.8}
    return {"rule": rule, "outcome": outcome, "rows_needed": 3852} | found | values


def steps_of(run: Path) -> NextSteps:
    (steps,) = next_steps(read_run(run))
    return steps


def commands(steps: NextSteps) -> list[list[str]]:
    return [shlex.split(command) for way in steps.ways for command in way.commands]


def setting(command: list[str], key: str) -> Any:
    value: Any = parse_setting(command[command.index("--set") + 1])
    for part in key.split("."):
        value = value[part]
    return value


def test_keys_of_rules_that_another_release_has_change_nothing(tmp_path: Path) -> None:
    other = comparison(FLOOR | {"of_a_later_release": 1})
    assert commands(steps_of(held(tmp_path / "a", [other]))) == commands(
        steps_of(held(tmp_path / "a", [comparison(FLOOR)]))
    )


def test_no_other_rules_are_proposed_for_a_gate_that_this_release_does_not_know(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR)])
    plan = run / "plan.yaml"
    last = plan.read_text().rindex("at_least")
    plan.write_text(plan.read_text()[:last] + plan.read_text()[last:].replace("at_least", "around"))
    record = read_run(run)
    assert other_gate(record, record.stages[-1]) is None


def test_a_bound_that_is_not_met_needs_so_many_more_rows(tmp_path: Path) -> None:
    steps = steps_of(held(tmp_path, [comparison(FLOOR)]))
    rows, rule, promote = commands(steps)
    assert rows[:5] == ["python", "-m", "progressive_tf.train", "--plan", "my plans/reviews.yaml"]
    assert rows[-4:-2] == ["--registry", "my registry"]
    assert setting(rows, "data.split.gate") == 0.4  # twice as many as the plan's share of 0.2
    assert "about 3,900 of movie-reviews instead of 1,926" in steps.ways[0].what
    assert setting(rule, "stages.full.gate") == [{"metric": "accuracy", "at_least": 0.79, "confidence": 0.95}]
    assert rule[-1] == "--fresh"
    assert promote[3:] == [
        *("promote", str(tmp_path / "my run/full"), "--force", "--reason", "say why here"),
        *("--registry", "my registry"),
    ]


def test_more_rows_than_there_are_is_no_command(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR, rows_needed=19_260)])
    steps = steps_of(run)
    assert "about 20,000 would be needed, and movie-reviews has 8,926" in steps.ways[0].what
    assert steps.ways[0].commands == ()


def test_rows_that_a_column_names_for_the_gate_are_added_there(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR)])
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text().replace("gate: 0.2", "gate: 0.2, column: part"))
    steps = steps_of(run)
    assert "about 3,900 would be needed, and column 'part' of movie-reviews names 1,926; add rows" in steps.ways[0].what
    assert steps.ways[0].commands == (), "another share would change nothing"


def test_too_few_rows_are_told_as_a_count_where_the_plan_has_a_count(tmp_path: Path) -> None:
    rule = FLOOR | {"min_samples": 2000}
    run = held(tmp_path, [comparison(rule, estimate=0.7, low=0.69, rows_needed=None)])
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text().replace("gate: 0.2", "gate: 1900"))
    steps = steps_of(run)
    assert setting(commands(steps)[0], "data.split.gate") == 2000  # 1,900 · 2,000 / 1,926, rounded up
    assert "4 times in 5" not in steps.ways[0].what  # nothing is known of the chance
    assert setting(commands(steps)[1], "stages.full.gate")[0] == {
        "metric": "accuracy",
        "at_least": 0.69,
        "confidence": 0.95,
        "min_samples": 1926,
    }


def test_too_few_groups_need_more_rows_of_others(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR, groups=10, rows_needed=1_000)])
    steps = steps_of(run)
    assert setting(commands(steps)[0], "data.split.gate") == 0.4  # 20 groups are needed
    assert '1,926<br><span class="bounds">of 10 groups' in render(read_run(run))


def test_a_class_with_too_few_rows_says_so_and_asks_for_no_number_of_rows(tmp_path: Path) -> None:
    reason = "label rare has 3 of these rows, at least 5 are needed; give more rows of it, or a larger part of them"
    rule = {"metric": "f1_macro", "at_least": 0.1, "confidence": 0.95}
    steps = steps_of(held(tmp_path, [comparison(rule, rows_needed=90, reason=reason)]))
    assert reason in steps.ways[0].what
    assert steps.ways[0].commands == ()


def test_where_nothing_applied_a_rule_is_shown_that_does(tmp_path: Path) -> None:
    drop = {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 0.02, "confidence": 0.95}
    none = dict.fromkeys(("estimate", "low", "high", "n", "p", "rows_needed"))
    run = held(tmp_path, [comparison(drop, "not-applicable", **none)])
    rule, _ = commands(steps_of(run))
    gate = setting(rule, "stages.full.gate")
    assert gate[0] == drop
    assert gate[1] == {"metric": "accuracy", "at_least": 0.77, "confidence": 0.95}  # its interval begins at 0.775


def test_a_metric_without_a_value_is_left_out(tmp_path: Path) -> None:
    none = dict.fromkeys(("estimate", "low", "high", "p", "rows_needed"))
    recall = {"metric": "recall/it's", "slice": "current", "at_least": 0.5}
    run = held(tmp_path, [comparison(recall, n=0, **none), comparison(FLOOR, "pass")])
    rule, _ = commands(steps_of(run))
    assert setting(rule, "stages.full.gate") == [{"metric": "accuracy", "at_least": 0.8, "confidence": 0.95}]


@pytest.mark.parametrize(
    ("rule", "values", "key", "expected"),
    [
        ({"metric": "log_loss", "at_most": 0.5, "confidence": 0.95}, {"high": 0.731}, "at_most", 0.74),
        ({"metric": "chrf", "at_least": 50, "confidence": 0.95}, {"low": 31.27}, "at_least", 31.2),
        ({"metric": "accuracy", "at_least": 0.9}, {"estimate": 0.8766}, "at_least", 0.87),
        (
            {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 0.02, "confidence": 0.9},
            {"high": 0.0451},
            "drop_at_most",
            0.05,
        ),
        ({"metric": "explanation_correlation", "at_least": 0.9}, {"estimate": 0.55, "low": None}, "at_least", 0.55),
    ],
)
def test_a_rule_is_changed_to_what_the_rows_show(
    tmp_path: Path, rule: dict[str, Any], values: dict[str, Any], key: str, expected: float
) -> None:
    run = read_run(held(tmp_path, [comparison(rule, "reject", **values)], "reject"))
    gate = other_gate(run, run.stages[-1])
    assert gate is not None
    assert gate[0] == {name: value for name, value in rule.items() if name != "slice" or value != "current"} | {
        key: expected
    }


@pytest.mark.parametrize("value", ["true", "null", "it's", "f1/no", 0.123456789, 0.8, 1_200_000, [{"at_least": 0.5}]])
def test_what_a_setting_says_is_read_again_as_it_was(value: Any) -> None:
    assert parse_setting(f"key={flow(value)}") == {"key": value}


def test_an_estimate_that_misses_asks_for_a_better_stage(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR, "reject", estimate=0.7, low=0.69, rows_needed=None)], "reject")
    ways = [command[2:4] for command in commands(steps_of(run))]
    assert [module for module, _ in ways] == [
        *("progressive_tf.train", "progressive_tf.tune", "progressive_tf.train", "progressive_tf.release")
    ]
    unsure = held(tmp_path / "b", [comparison(FLOOR, estimate=0.79, low=0.77, rows_needed=None)])
    assert "the estimate itself misses the threshold (accuracy on current ≥ 0.8)" in steps_of(unsure).ways[0].what


def test_stages_that_wait_can_go_on_without_it(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR)])
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text() + "  - {name: more, data: {all: true}, adaptation: {method: head}, gate: []}\n")
    steps = steps_of(run)
    waiting = next(way for way in steps.ways if way.what.startswith("without it: more"))
    assert shlex.split(waiting.commands[0])[-2:] == ["--set", "on_hold=continue"]
    assert steps.ways[-1].commands[1] == "python -m progressive_tf.train --plan 'my plans/reviews.yaml' --registry " + (
        "'my registry'"
    )
    plan.write_text(plan.read_text().replace("on_hold: stop", "on_hold: continue"))
    assert not [way for way in steps_of(run).ways if way.what.startswith("without it")]


def test_a_stage_that_was_released_by_force_needs_nothing(tmp_path: Path) -> None:
    assert next_steps(read_run(force(held(tmp_path, [comparison(FLOOR)])))) == []


def test_a_version_beside_stable_is_moved_by_a_command(tmp_path: Path) -> None:
    run = held(tmp_path, [], "promote", version=3, stable="stable stays at version 9: it is better")
    steps = steps_of(run)
    assert steps.why == "full is version 3, but stable stays at version 9: it is better"
    canary, promote = commands(steps)
    assert canary[3:6] == ["canary", "movie-reviews", "3"]
    assert promote[3:5] == ["promote", str(tmp_path / "my run/full")]
    record = read_run(run)
    assert next_steps(record, {"stable": 9})
    assert next_steps(record, {"stable": 3, "previous": 9}) == []
    taken = held(tmp_path / "b", [], "promote", version=3, stable="no alias points to it: version 2 is the canary")
    assert [command[3] for command in commands(steps_of(taken))] == ["rollback", "canary", "promote"]


def test_after_success_comes_the_stable_version(tmp_path: Path) -> None:
    record = read_run(held(tmp_path, [], "promote", version=3, stable="stable points to it"))
    assert next_steps(record) == []
    assert after_success(record, {}) is None
    way = after_success(record, {"stable": 3})
    assert way is not None
    assert way.commands == (
        "python -m progressive_tf.release show movie-reviews --registry 'my registry'",
        "python -m progressive_tf.serve --model movie-reviews --registry 'my registry'",
    )
    canary = after_success(record, {"stable": 2, "canary": 3})
    assert canary is not None
    assert "release widen movie-reviews" in canary.commands[-1]


def test_an_old_run_has_what_its_environment_says(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    environment = json.loads((run / "environment.json").read_text())
    files.write_json(run / "environment.json", environment | {"registry": "/srv/registry"})
    (run / "events.jsonl").unlink()
    (promote,) = commands(steps_of(run))
    assert promote[3:5] == ["promote", str(run / "full")]
    assert promote[-2:] == ["--registry", "/srv/registry"]


def test_each_command_has_a_line_of_its_own_on_terminal_and_page(tmp_path: Path) -> None:
    run = held(tmp_path, [comparison(FLOOR)])
    steps = steps_of(run)
    lines = ways_text(steps).splitlines()
    assert lines[0] == "full was held: because"
    assert all(f"  {command}" in lines for way in steps.ways for command in way.commands)
    page = render(read_run(run))
    assert page.count('<pre tabindex="0">python -m ') == 3


def test_flags_load_the_same_plan_again(tmp_path: Path) -> None:
    loaded = load_plan("offline", ["seed=8"], None, 2)
    assert loaded.flags == ["--plan", "offline", "--set", "seed=8", "--stages", "2"]
    assert load_plan("offline", ["seed=8"]).flags == ["--plan", "offline", "--set", "seed=8"]


def test_a_key_that_a_way_sets_is_not_set_twice() -> None:
    flags = ("--plan", "offline", "--set", "seed=8", "--set", "stages.beta.gate=[a=b]", "--stages", "2")
    again = CommandsAgain("offline", "python", Path("run"), "registry", flags)
    (command,) = again.train("--set", "stages.beta.gate=[]", "--fresh")
    assert command == (
        "python -m progressive_tf.train --plan offline --set seed=8 --stages 2 --set 'stages.beta.gate=[]' --fresh"
    )


@pytest.mark.parametrize("name", ["entity_f1", "recall/card-lost", "true", "null", "it's", "1.0", "a: b", "a, b", ""])
def test_rules_on_one_line_are_read_as_they_were(name: str) -> None:
    assert YAML(typ="safe", pure=True).load(flow([{"metric": name, "at_least": 0.5}])) == [
        {"metric": name, "at_least": 0.5}
    ]
    assert ("'" in flow(name)) == (name not in ("entity_f1", "recall/card-lost"))
