from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.plan.written_numbers import Notation
from progressive_tf.scoring.unread import Unread


def test_one_warning_says_what_was_not_read() -> None:
    unread = Unread()
    for whole in ([3, 40], [812, 7]):
        tokens = tf.constant(whole)
        unread.note({"input_tokens": tokens, "used_tokens": tf.minimum(tokens, 32)})
    unread.note({"is_whole": tf.constant([True, False])})
    unread.note({"unknown_cells": tf.constant([["city", ""], ["age", "city"]])})
    expected = (
        "a part of 2 inputs was not read: the longest has 812 tokens, of which 32 were read; 1 texts were not written "
        "to their end, at the longest that is written; column city: 2 cells say nothing to this version: no number, or "
        "a category that training did not have; column age: 1 cell says nothing"
    )
    with pytest.warns(UserWarning, match=expected) as said:
        unread.warn()
    assert len(said) == 1


def test_a_decimal_sign_that_the_version_does_not_read_is_named_with_its_first_cell() -> None:
    outputs = {"unknown_cells": np.array([[b"height", b""], [b"height", b"width"], [b"colour", b""]])}
    rows = [
        {"height": "41,3", "width": "2.5", "colour": "red"},
        {"height": "8,9", "width": "2.5", "colour": "red"},
        {"height": "7", "width": "3", "colour": "mauve"},
    ]
    unread = Unread()
    unread.note(outputs, rows, {"height": Notation("."), "width": Notation(",")})
    assert unread.remark() == (
        "column height: 2 cells say nothing to this version, the first '41,3': numbers with a decimal comma, where "
        "this version was taught a point; column width: 1 cell says nothing to this version, the first '2.5': numbers "
        "with a decimal point, where this version was taught a comma; column colour: 1 cell says nothing to this "
        "version, the first 'mauve': no number, or a category that training did not have"
    )


def test_what_was_counted_in_parts_is_what_was_counted_at_once() -> None:
    outputs = [
        {"unknown_cells": np.array([[b"height"]]), "input_tokens": np.array([9]), "used_tokens": np.array([4])},
        {"unknown_cells": np.array([[b"height"], [b"place"]]), "is_whole": np.array([False])},
    ]
    rows = [[{"height": "1,5", "place": "a"}], [{"height": "x", "place": "b"}] * 2]
    whole, parts = Unread(), Unread()
    for of_batch, cells in zip(outputs, rows, strict=True):
        whole.note(of_batch, cells, {"height": Notation()})
        part = Unread()
        part.note(of_batch, cells, {"height": Notation()})
        parts.add(Unread(**json.loads(json.dumps(part.to_json()))))
    assert parts == whole
    assert whole.odd_signs == {"height": "point"}


def test_nothing_is_said_where_all_was_read_or_the_version_does_not_say() -> None:
    unread = Unread()
    unread.note({"probabilities": tf.constant([[1.0]])})
    unread.note({"input_tokens": tf.constant([3]), "used_tokens": tf.constant([3]), "is_whole": tf.constant([True])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unread.warn()
