"""What was not read of an input is counted each time, and said once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from progressive_tf.serving.metrics import Metrics, Unread, abstained, is_unknown, was_cut

CUT: dict[str, Any] = {"input_tokens": 40, "used_tokens": 32}


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"progressive_tf_{name}_total", {"model": "films", **labels})


def test_a_text_is_cut_where_fewer_tokens_are_read_than_it_has() -> None:
    assert was_cut(CUT) is True
    assert was_cut({"input_tokens": 32, "used_tokens": 32}) is False
    assert was_cut({"label": "yes"}) is None


def test_what_is_unread_is_counted_by_version_and_said_once_of_each(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    unread = Unread("films", metrics)
    with caplog.at_level(logging.INFO, "progressive_tf.serving"):
        for version in (1, 1, 2):
            unread.note(version, [CUT, {"input_tokens": 3, "used_tokens": 3}])
        unread.note(2, [{"is_whole": True}, {"is_whole": False}, {"unknown_cells": ["age", "city"]}, {"label": "a"}])
    assert [counted(metrics, "cut_inputs", version=version) for version in ("1", "2")] == [2.0, 1.0]
    assert counted(metrics, "cut_answers", version="2") == 1.0
    assert counted(metrics, "unknown_cells", version="2", column="city") == 1.0
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5
    assert said[0].startswith("version 1 read 32 of the 40 tokens of a text")
    assert said[1].startswith("version 2 read 32 of the 40 tokens of a text")


def test_answers_that_a_version_abstains_from_are_counted_by_version(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    unread = Unread("films", metrics)
    unread.note(1, [{"label": "a", "abstained": True}, {"label": "a", "abstained": False}])
    unread.note(2, [{"label": "a"}])
    assert counted(metrics, "abstained", version="1") == 1.0
    assert counted(metrics, "abstained", version="2") is None
    assert not caplog.records, "it is nothing to warn of"
    assert [abstained(outputs) for outputs in ({"abstained": True}, {"abstained": False}, {})] == [True, False, None]


def test_unknown_inputs_are_counted_by_version_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    unread = Unread("films", metrics)
    assert [is_unknown(outputs) for outputs in ({"unknown": True}, {"unknown": False}, {"label": "a"})] == [
        True,
        False,
        None,
    ]
    with caplog.at_level(logging.INFO, "progressive_tf.serving"):
        unread.note(
            1, [{"unknown": True, "unknown_score": 3.1}, {"unknown": False, "unknown_score": 0.1}, {"label": "a"}]
        )
        unread.note(2, [{"unknown": True}, {"unknown": True}])
    assert [counted(metrics, "unknown_inputs", version=version) for version in ("1", "2")] == [1.0, 2.0]
    assert not caplog.records
