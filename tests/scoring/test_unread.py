from __future__ import annotations

import warnings

import pytest
import tensorflow as tf

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
        "to their end, at the longest that is written; columns city, age have values that say nothing to this version"
    )
    with pytest.warns(UserWarning, match=expected) as said:
        unread.warn()
    assert len(said) == 1


def test_nothing_is_said_where_all_was_read_or_the_version_does_not_say() -> None:
    unread = Unread()
    unread.note({"probabilities": tf.constant([[1.0]])})
    unread.note({"input_tokens": tf.constant([3]), "used_tokens": tf.constant([3]), "is_whole": tf.constant([True])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unread.warn()
