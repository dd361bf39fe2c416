from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from progressive_tf.data.class_space import ClassSpace, UsedRows, class_space
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import validate

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from making import made_source

LABELS = ["b", "a", "c", "a", "b", "d"]
DOMAINS = ["x", "x", "y", "y", "z", "z"]


def space(
    scenario: str,
    stages: list[tuple[list[int], tuple[str, ...] | None]],
    data: dict[str, Any] | None = None,
    further: dict[str, Any] | None = None,
) -> ClassSpace:
    """Returns the classes of a plan whose stages use these rows of one source."""
    raw = tiny.raw_plan(
        scenario=scenario, stages=[{"name": f"s{n}", "data": {"all": True}} for n in range(len(stages))]
    )
    raw["data"] |= {"source": "main"} | (data or {})
    sources = {"main": made_source(LABELS, domain=DOMAINS)} | (further or {})
    used = [
        UsedRows(f"s{number}", "main", np.array(rows), classes, f"stages[{number}].data")
        for number, (rows, classes) in enumerate(stages)
    ]
    places = {name: "data.source" if name == "main" else f"data.validation_sets.{name}" for name in sources}
    return class_space(validate(raw, "plan"), sources, places, used)


def test_data_incremental_has_every_class_from_the_first_stage() -> None:
    found = space("data-incremental", [([0, 1], None), ([2, 5], None)])
    assert found.labels == ("a", "b", "c", "d")
    assert found.known == (4, 4)
    assert found.codes["main"].tolist() == [1, 0, 2, 0, 1, 3]
    assert not found.grow


def test_classes_come_in_the_order_of_the_stages() -> None:
    found = space("class-incremental", [([0, 1, 3], None), ([0, 5], None), ([2], None)])
    assert found.labels == ("a", "b", "d", "c")
    assert found.known == (2, 3, 4)
    assert found.codes["main"].tolist() == [1, 0, 3, 0, 1, 2]


def test_classes_that_a_stage_names_keep_their_order() -> None:
    found = space("class-incremental", [([0, 1, 3, 4], ("b", "a")), ([2, 5], ("d", "c"))])
    assert found.labels == ("b", "a", "d", "c")


def test_a_class_that_no_stage_has_is_unknown() -> None:
    assert space("class-incremental", [([0, 1], None)]).codes["main"].tolist() == [1, 0, -1, 0, 1, -1]


def test_each_stage_is_a_task() -> None:
    found = space("task-incremental", [([0, 1], None), ([2, 3], None), ([4], None)])
    assert found.labels == ("s0/a", "s0/b", "s1/a", "s1/c", "s2/b")
    assert found.label_tasks == ("s0", "s0", "s1", "s1", "s2")
    assert found.tasks == ("s0", "s1", "s2")
    assert found.known == (2, 4, 5)
    assert found.codes["main"].tolist() == [1, 0, 3, 2, 4, -1]
    assert found.task_codes["main"].tolist() == [0, 0, 1, 1, 2, -1]


def test_a_column_says_the_task() -> None:
    found = space("task-incremental", [([0, 1, 2], None), ([3, 4], None)], {"task": "domain"})
    assert found.labels == ("x/a", "x/b", "y/c", "y/a", "z/b")
    assert found.task_codes["main"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("scenario", "stages", "data", "message"),
    [
        (
            "domain-incremental",
            [([0, 1], None), ([2, 3, 5], None)],
            {},
            r"stages\[1\].data: 2 rows of made \(3, 6\) of stage s1 bring a class that stage s0 .* such as 'c'",
        ),
        (
            "class-incremental",
            [([1, 3], None), ([0], None)],
            {},
            r"stages\[0\].data: has one class, 'a'; the first stage",
        ),
        (
            "task-incremental",
            [([0, 1], None), ([1, 2], None)],
            {},
            r"stages\[1\].data: 1 rows of made \(2\) belong to stage s0 too",
        ),
        (
            "task-incremental",
            [([0, 1], None)],
            {"task": "domian"},
            r"data.task: made: unknown column 'domian'; did you mean",
        ),
        (
            "task-incremental",
            [([0, 1], None)],
            {"slices": {"late": "domain == 'z'"}},
            r"data.slices: its rows belong to no t",
        ),
    ],
)
def test_data_that_contradicts_the_scenario_is_refused(
    scenario: str, stages: list[Any], data: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        space(scenario, stages, data)


def test_rows_of_an_unknown_task_are_named() -> None:
    other = made_source(["a", "b", "a"], name="other", domain=["x", "w", "w"])
    with pytest.raises(
        InputError,
        match=r"validation_sets.other: 2 rows of other \(2, 3\) are of a task that no stage has: unknown task 'w'",
    ):
        space("task-incremental", [([0, 1], None)], {"task": "domain"}, {"other": other})


def test_a_task_that_could_be_read_as_part_of_a_class_is_refused() -> None:
    other = made_source(["a", "b"], name="other", domain=["x", "x/y"])
    with pytest.raises(InputError, match=r"data.task: 1 rows? of other \(2\) have '/' in domain, such as 'x/y'"):
        space("task-incremental", [([0, 1], None)], {"task": "domain"}, {"other": other})


@pytest.mark.parametrize("scenario", ["data-incremental", "domain-incremental"])
def test_rows_with_a_class_of_their_own_are_named(scenario: str) -> None:
    other = made_source(["a", "e", "e"], name="other", domain=["x", "x", "x"])
    with pytest.raises(InputError, match=r"sets.other: 2 rows of other \(2, 3\) have a class .* unknown label 'e'"):
        space(scenario, [([0, 1], None)], {}, {"other": other})
