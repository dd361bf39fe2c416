from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from progressive_tf.data.idle import idle_data_lines
from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.data.readers.batch import TEST, VALIDATION
from progressive_tf.plan.schema import Data

from .making import made_source


def lines(section: dict[str, Any], *sources: tuple[str, list[int] | None]) -> list[str]:
    data = Data.model_validate({"source": "a"} | section)
    named: dict[str, Any] = {
        f"source {index}": SimpleNamespace(
            name="reviews",
            checks=INPUT_KINDS[kind].checks,
            truth=SimpleNamespace(in_classes=kind != "images"),
            published=None if codes is None else np.array(codes, np.int8),
        )
        for index, (kind, codes) in enumerate(sources)
    }
    return [line.removeprefix("no effect: ") for line in idle_data_lines(data, named)]


def test_a_check_of_what_the_rows_are_not_is_named() -> None:
    asked = {"quality": {"odd_images": "fail", "empty_text": "fail"}}
    assert lines(asked, ("texts", None)) == [
        "data.quality.odd_images: it is about files of images, and these rows are none"
    ]
    assert lines(asked, ("images", None)) == ["data.quality.empty_text: it is about texts, and these rows are none"]
    assert lines(asked, ("images", None), ("texts", None)) == []
    assert lines({}, ("columns", None)) == []  # what nobody asked for
    assert lines({"quality": {"odd_images": None}}, ("texts", None)) == []


def test_gate_rows_of_each_class_need_classes_and_a_stratified_split() -> None:
    asked = {"split": {"min_per_class": 3}}
    assert lines(asked, ("texts", None)) == []
    assert lines(asked, ("images", None)) == ["data.split.min_per_class: rows are of no class"]
    asked["split"] |= {"stratify": False}
    assert lines(asked, ("texts", None)) == ["data.split.min_per_class: the split is not stratified"]
    assert lines({"split": {"min_per_class": 0}}, ("images", None)) == []
    asked = {"split": {"min_per_class": 3}, "gate_refresh": {"column": "month"}}
    assert lines(asked, ("texts", None)) == [
        "data.split.min_per_class: with data.gate_refresh each row's part is drawn by itself"
    ]


@pytest.mark.parametrize(("part", "code"), [("test", TEST), ("validation", VALIDATION)])
def test_the_size_of_a_published_part_is_named(part: str, code: int) -> None:
    split = {"split": {part: 0.3}}
    assert lines(split, ("texts", [0, code, code])) == [
        f"data.split.{part}: reviews has a published {part} part, 2 rows, which is kept"
    ]
    assert lines(split, ("texts", [0, 0, 0])) == []
    assert lines(split, ("texts", None)) == []
    assert lines(split, ("texts", [0, code]), ("texts", None)) == []  # the other one is divided so
    assert lines({}, ("texts", [0, code])) == []


def test_the_size_of_a_part_that_a_column_says_is_named() -> None:
    source = made_source(["a", "b"] * 3, part=["train", "gate", "train", "test", "gate", "train"])
    asked = {"source": "made", "split": {"column": "part", "gate": 0.2, "validation": 0.3}}
    assert idle_data_lines(Data.model_validate(asked), {"made": source}) == [
        "no effect: data.split.gate: column 'part' of made says which rows it has, 2"
    ]
