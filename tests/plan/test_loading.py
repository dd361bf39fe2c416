from __future__ import annotations

import copy
import functools
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan, shipped_plans, validate
from progressive_tf.plan.merging import apply_override, merge, parse_setting
from progressive_tf.plan.reading import parse_scalar, plan_summary, to_yaml

GATE = [{"metric": "accuracy", "at_least": 0.5}]


def change(path: str, value: object) -> dict:
    return apply_override(tiny.raw_plan(), parse_setting(f"{path}={to_yaml(value).split(chr(10) + '...')[0]}"), "test")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("stagse", [], r"stagse: unknown key 'stagse'; did you mean 'stages'"),
        ("stages.two.data.tak", 5, r"stages\[1\].data.tak: unknown key 'tak'; did you mean 'take'"),
        ("defaults.optimizer.learnin_rate", 1, r"defaults.optimizer.learnin_rate: .* did you mean 'learning_rate'"),
        ("model.wieghts", None, r"model.wieghts: unknown key 'wieghts'; did you mean 'weights'"),
        ("model.layers", 2, r"model.layers: unknown key 'layers'; known: builder, config, dropout, max_length"),
        ("stages.two.epochs", "many", r"stages\[1\].epochs: should be a valid integer; got 'many'"),
        ("stages.one.data.take", 0, r"stages\[0\].data.take: should be greater than or equal to 1; got 0"),
        ("stages.one.data.all", True, r"stages\[0\].data: take and all exclude one another"),
        ("stages.one.data", None, r"stages\[0\].data: is missing"),
        ("stages", [], r"stages: should have at least 1 item"),
        ("stages.two.name", "one", r"stages\[1\].name: 'one' is also the name of stage 1"),
        ("stages.two.name", "7", r"stages\[1\].name: '7' reads as a stage's number"),
        ("stages.two.name", "a/b", r"stages\[1\].name: should be letters, digits"),
        ("defaults.gate", [], r"defaults.gate: should have at least 1 item"),
        ("defaults.gate", None, r"defaults.gate: is missing"),
        ("defaults.gate", [{"metric": "acuracy", "at_least": 0.5}], r"gate\[0\].metric: .* did you mean 'accuracy'"),
        ("defaults.gate", [{"metric": "accuracy", "at_least": 1.2}], r"lies between 0 and 1; got 1.2"),
        ("defaults.gate", [{"metric": "accuracy", "at_least": -0.1}], r"lies between 0 and 1; got -0.1"),
        (
            "defaults.gate",
            [{"metric": "accuracy"}],
            r"needs exactly one of at_least, at_most, drop_at_most, at_least_rival; got none",
        ),
        ("defaults.gate", [{**GATE[0], "at_most": 1}], r"needs exactly one of .* got \['at_least', 'at_most'\]"),
        ("defaults.gate", [{**GATE[0], "confidence": 95}], r"gate\[0\].confidence: should be less than 1; got 95"),
        ("defaults.gate", [{**GATE[0], "slice": "curent"}], r"unknown slice 'curent'; did you mean 'current'"),
        ("defaults.gate", [{**GATE[0], "slice": "every-previous"}], r"use drop_at_most"),
        (
            "defaults.gate",
            [{**GATE[0], "against": "best"}],
            r"against: at_least compares with no released version; use drop_at_most",
        ),
        ("defaults.gate", [{"metric": "accuracy", "drop_at_most": 0.1, "against": {"version": 0}}], r"against.*1"),
        ("defaults.adaptation", {"method": "dora"}, r"method 'dora' is not available; this release has head, full"),
        ("defaults.schedule", {"name": "step"}, r"name 'step' is not available; this release has constant"),
        (
            "defaults.retention",
            {"replay": {}},
            r"retention.replay: needs exactly one of budget, per_class, fraction; got n",
        ),
        (
            "defaults.retention",
            {"replay": {"budget": 5, "ratio": 1.0}},
            r"replay.ratio: should be less than 1 or should be .proportional.; got 1.0",
        ),
        ("defaults.retention", {"ewc": {"decay": 0.5}}, r"retention.ewc: decay: is for online: true"),
        (
            "defaults.retention",
            {"si": {}},
            r"retention.si: unknown key 'si'; known: average, distill, ewc, lwf, replay",
        ),
        ("defaults.release", {"steps": [5, 2, 100]}, r"defaults.release.steps: percentages that rise and end with 100"),
        ("defaults.release", {"steps": [5, 20]}, r"defaults.release.steps: .* expected; got 5, 20"),
        ("defaults.release", {"steps": [0, 100]}, r"defaults.release.steps\[0\]: should be greater than 0; got 0"),
        ("stages.1.data.stream", "rows.jsonl", r"stages\[0\].data: take: a stream's rows are learnt as they come"),
        ("defaults.precision", "float8", r"should be 'float32', 'mixed_float16' or 'mixed_bfloat16'"),
        ("defaults.optimizer", {"name": "adam", "momentum": 0.5}, r"momentum is a setting of sgd, not of adam"),
        ("model.builder", "gpt2", r"model: builder 'gpt2' is not available; this release has bert, bert-tagger, mlp"),
        ("defaults.image_size", 64, r"stages\[0\].image_size: is for images; task text-classification reads none"),
        ("defaults.augmentation", {"flip": True}, r"stages\[0\].augmentation: is for images"),
        ("data.features", {"numbers": ["a"]}, r"data.features: names columns of a table; task text-classification"),
        ("data.features", {}, r"data.features: .*names no column; give numbers, categories or hashed"),
        ("data.features", {"numbers": ["a"], "hashed": {"a": 2}}, r"data.features: .*column 'a' stands twice"),
        ("data.features", {"numbers": ["label"]}, r"data: features: 'label' is the label; take it out"),
        ("defaults.readapt", True, r"stages\[0\].readapt: is for tables; task text-classification reads none"),
        ("data.image", "path", r"data.image: names the column of images; task text-classification reads none"),
        ("model.weights", "minilm-l6", r"`config` and `vocabulary` come with the weights"),
        ("model.vocabulary", None, r"weights: null needs `config` and `vocabulary`"),
        ("task", "translation", r"model.builder: bert is for task text-classification; got translation"),
        ("task", "summaries", r"task: should be 'text-classification'"),
        ("data.target", "answer", r"data.target: names the column of expected texts; task text-class"),
        ("scenario", "row-incremental", r"scenario: should be 'data-incremental', 'domain-incremental'"),
        ("data.task", "domain", r"data.task: is for scenario task-incremental; got data-incremental"),
        ("task", "tabular-classification", r"model.builder: bert is for task text-classification; got tabular"),
        ("data.split.test", 1.5, r"data.split.test: should be a valid integer or should be less than 1; got 1.5"),
        ("data.quality.class_imbalance", "drop", r"data.quality.class_imbalance: should be 'warn' or 'fail'"),
        ("data.slices", {"current": "stars > 3"}, r"slice name 'current' is already taken"),
        ("data.labels", ["a", "a"], r"labels: each label once"),
        (
            "defaults.gate",
            [{"metric": "log_loss", "at_most": math.inf}],
            r"gate\[0\].at_most: should be a finite number",
        ),
        (
            "defaults.gate",
            [{"metric": "log_loss", "drop_at_most": math.inf}],
            r"drop_at_most: should be a finite number",
        ),
        (
            "defaults.gate",
            [{"metric": "accuracy", "at_least": math.nan}],
            r"at_least: should be a finite number; got nan",
        ),
        ("defaults.optimizer.learning_rate", math.inf, r"optimizer.learning_rate: should be a finite number; got inf"),
        ("defaults.optimizer.clip_norm", math.inf, r"optimizer.clip_norm: should be a finite number; got inf"),
        ("data.split.test", math.nan, r"data.split.test: should be .*a finite number; got nan"),
        ("model.config.layer_norm_eps", math.inf, r"model.config.layer_norm_eps: .*should be a finite number"),
        ("seed", -1, r"seed: should be greater than or equal to 0"),
        (
            "start",
            "yesterday",
            r"start: should be 'pretrained', 'stable' or 'prompt' or .* or should be a mapping; got 'yesterday'",
        ),
    ],
)
def test_a_wrong_plan_is_refused_with_its_path(path: str, value: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        validate(change(path, value), "plan.yaml")


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        (["stages", 1], "data", r"stages\[1\].data: is missing"),
        ([], "model", r"model: is missing"),
        (["model"], "builder", r"model: has no builder; it is one of bert, bert-tagger, mlp, resnet50, t5, module:fun"),
    ],
)
def test_a_key_that_was_never_written_is_named(section: list[int | str], key: str, expected: str) -> None:
    raw = copy.deepcopy(tiny.raw_plan())
    del functools.reduce(lambda here, part: here[part], section, raw)[key]
    with pytest.raises(InputError, match=expected):
        validate(raw, "plan.yaml")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("defaults.adaptation", {}, r"adaptation: has no method; it is one of head, full, top-blocks, gradual"),
        ("defaults.schedule", {}, r"schedule: has no name; it is one of constant, "),
        ("defaults.retention", {"average": {}}, r"retention.average: has no kind; it is one of ema, swa, "),
        (
            "defaults.retention",
            {"average": {"kind": "swa", "decay": 1}},
            r"average.decay: unknown key 'decay'; known: ",
        ),
    ],
)
def test_what_says_no_method_is_told_the_methods(path: str, value: object, expected: str) -> None:
    raw = tiny.raw_plan()
    raw["defaults"][path.partition(".")[2]] = value
    with pytest.raises(InputError, match=expected):
        validate(raw, "plan.yaml")


def test_every_problem_is_listed() -> None:
    raw = tiny.raw_plan(seed="x", extra=1)
    with pytest.raises(InputError) as refused:
        validate(raw, "plan.yaml")
    assert str(refused.value).count("\n  ") == 2


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("stages.one=3", r"--set stages.one=3: stages.one: should be a mapping of stage keys; got 3"),
        ("stages.one=", r"stages.one: should be a mapping of stage keys; got None"),
        ("stages.one=[1]", r"stages.one: should be a mapping of stage keys; got \[1\]"),
    ],
)
def test_a_change_of_a_stage_that_is_no_mapping_is_refused(tmp_path: Path, setting: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        load_plan(str(tiny.write_plan(tmp_path, tiny.raw_plan())), [setting])


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (["a"], r"stages\[0\]: should be a mapping of stage keys; got 'a'"),
        (3, r"stages: should be a list of stages; got 3"),
        (None, r"unknown stage 'one'"),
    ],
)
def test_stages_that_are_no_mappings_are_refused_before_an_override(
    tmp_path: Path, stages: object, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        load_plan(str(tiny.write_plan(tmp_path, tiny.raw_plan(stages=stages))), ["stages.one.epochs=3"])


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("nope.yaml", "no such file"),
        ("ofline", "did you mean 'offline'"),
        ("x" * 300, "unknown plan"),
        ("x" * 300 + ".yaml", "cannot be read: File name too long"),
        ("file.yaml/x.yaml", "cannot be read: Not a directory"),
    ],
)
def test_a_plan_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str, expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.yaml").write_text("name: tiny\n", encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        load_plan(plan)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: [", "line 1, column 8: not valid YAML"),
        (b"a: 1\na: 2\n", "duplicate key"),
        (b"- 1\n", "expected a mapping"),
        (b"", "found nothing"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: " + b"[" * 1000 + b"]" * 1000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected):
        load_plan(str(path))


def test_stages_takes_the_first_and_refuses_more(tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.raw_plan()))
    assert [stage.name for stage in load_plan(path, stages=1).plan.stages] == ["one"]
    for wrong in (0, 3):
        with pytest.raises(InputError, match=f"--stages {wrong}: the plan tiny has 2"):
            load_plan(path, stages=wrong)


def test_overrides_address_stages_by_name_number_and_position(tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.raw_plan()))
    settings = ["stages.two.epochs=7", "stages.1.epochs=5", "stages[1].batch_size=8", "defaults.epochs=9"]
    one, two = load_plan(path, settings).plan.stages
    assert (one.epochs, two.epochs, two.batch_size) == (5, 7, 8)
    with pytest.raises(InputError, match="unknown stage 'tow'; did you mean 'two'"):
        load_plan(path, ["stages.tow.epochs=7"])
    with pytest.raises(InputError, match=r"unknown stage '3'; known: 1, 2, one, two$"):
        load_plan(path, ["stages.3.epochs=7"])
    with pytest.raises(InputError, match="expected PATH=VALUE"):
        load_plan(path, ["epochs"])


def test_an_override_file_changes_stages_by_name(tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.raw_plan()))
    override = tmp_path / "best.yaml"
    override.write_text("stages: {two: {optimizer: {learning_rate: 1e-5}}}\n", encoding="utf-8")
    assert load_plan(path, override=override).plan.stages[1].optimizer.learning_rate == 1e-5


def test_the_resolved_plan_reads_back_equal(tmp_path: Path) -> None:
    loaded = load_plan(str(tiny.write_plan(tmp_path, tiny.raw_plan())))
    (tmp_path / "again.yaml").write_text(loaded.to_yaml(), encoding="utf-8")
    again = load_plan(str(tmp_path / "again.yaml"))
    assert again.plan == loaded.plan
    assert again.identity == loaded.identity


def test_null_turns_early_stopping_off_and_removes_what_cannot_be_null() -> None:
    raw = tiny.raw_plan()
    raw["stages"][0] |= {"early_stopping": None, "optimizer": None, "epochs": None}
    stage = validate(raw, "plan").stages[0]
    assert stage.early_stopping is None
    assert (stage.optimizer.learning_rate, stage.epochs) == (1e-3, 20)


def test_another_method_drops_the_settings_of_the_default_one() -> None:
    merged = merge({"adaptation": {"method": "top-blocks", "blocks": 2}}, {"adaptation": {"method": "head"}})
    assert merged == {"adaptation": {"method": "head"}}
    assert merge({"a": {"name": "x", "b": 1}}, {"a": {"b": 2}}) == {"a": {"name": "x", "b": 2}}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-5", 1e-5), ("off", "off"), ("yes", "yes"), ("no", "no"), ("null", None), ("true", True)]
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert parse_scalar(text, "test") == value


keys = st.sampled_from("abc")
values = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)


@given(st.dictionaries(keys, values), st.dictionaries(keys, values))
def test_merging_twice_changes_nothing_more(base: dict, change: dict) -> None:
    once = merge(base, change)
    assert merge(once, change) == once
    assert merge(base, {}) == base


def test_a_drop_of_ece_is_refused_and_runs_that_have_one_are_read(tmp_path: Path) -> None:
    def gate(rule: dict[str, Any]) -> dict[str, Any]:
        plan = tiny.raw_plan()
        plan["defaults"]["gate"] = [{"metric": "accuracy", "at_least": 0.1}, rule]
        return plan

    drop = gate({"metric": "ece", "drop_at_most": 0.02, "confidence": 0.95})
    with pytest.raises(
        InputError, match=r"stages\[0\]\.gate\[1\]: .* use brier with drop_at_most, or ece with at_most"
    ):
        load_plan(str(tiny.write_plan(tmp_path, drop)))
    assert validate(drop, "plan.yaml").stages[0].gate[1].drop_at_most == 0.02
    for rule in ({"metric": "ece", "at_most": 0.1}, {"metric": "brier", "drop_at_most": 0.02}):
        assert load_plan(str(tiny.write_plan(tmp_path, gate(rule))))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "brier_skill", "at_least": -3.5}, None),
        ({"metric": "brier_skill", "drop_at_most": 1.5}, None),
        ({"metric": "brier", "at_most": 2.0}, None),
        ({"metric": "brier_skill", "at_least": 1.1}, "at_least: brier_skill is at most 1; got 1.1"),
        ({"metric": "brier", "at_most": 2.1}, "at_most: brier lies between 0 and 2; got 2.1"),
        ({"metric": "log_loss", "at_most": -0.1}, "at_most: log_loss is at least 0; got -0.1"),
        ({"metric": "accuracy", "drop_at_most": 1.1}, "drop_at_most: a drop of accuracy lies between 0 and 1; got 1.1"),
    ],
)
def test_a_threshold_lies_where_the_metric_can(rule: dict[str, Any], message: str | None) -> None:
    plan = tiny.raw_plan()
    plan["defaults"]["gate"] = [rule]
    if message is None:
        assert validate(plan, "plan.yaml")
        return
    with pytest.raises(InputError, match=message):
        validate(plan, "plan.yaml")


@pytest.mark.parametrize("name", sorted(shipped_plans()))
def test_a_shipped_plan_is_valid_and_says_what_it_is_for(name: str) -> None:
    path = shipped_plans()[name]
    assert load_plan(name).plan.name == name
    assert len(plan_summary(path)) > 20
    assert f"python -m progressive_tf.train --plan {name}" in path.read_text(encoding="utf-8")


def test_a_plan_without_later_keys_is_the_plan_that_it_was_before_there_were_any(tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.raw_plan()))
    plain = load_plan(path).identity
    assert plain == "34976f0f", "as the first release computed it; its runs go on"
    for says_only in ("similar_labels=warn", "odd_labels=null", "cut_texts=fail", "alike_gate_rows=null"):
        assert load_plan(path, [f"data.quality.{says_only}"]).identity == plain
    for changes_rows in (
        "normalize_labels=strip",
        "quality.odd_cells=drop",
        "leave_out=[a]",
        "decimal=,",
        "split.min_per_class=0",
        "gate_refresh={column: month}",
    ):
        assert load_plan(path, [f"data.{changes_rows}"]).identity != plain


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.quality.similar_labels=drop", "only because of how their label is written; merge such labels"),
        ("data.quality.odd_labels=drop", "data.quality.odd_labels: drop would take rows out"),
        ("data.normalize_labels=lower", "data.normalize_labels: should be 'strip' or 'casefold'"),
        ("data.normalize_labels={}", "data.normalize_labels"),
        ("data.normalize_labels={a: ''}", "data.normalize_labels.a"),
        ("data.normalize_labels={a: b, b: c}", "'b' is a class here, and is renamed to 'c' itself"),
    ],
)
def test_what_cannot_be_said_about_labels(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_plan(str(tiny.write_plan(tmp_path, tiny.raw_plan())), [setting])
    assert message in str(caught.value)


def test_labels_of_a_plan_may_be_numbers_and_truth_values(tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.raw_plan()))
    data = load_plan(path, ["data.labels=[0, true, x]", "data.normalize_labels={1: true, yes: 0}"]).plan.data
    assert data.labels == ("0", "true", "x")
    assert data.normalize_labels == {"1": "true", "yes": "0"}
