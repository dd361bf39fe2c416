"""A released version answers a drill as it answers a server's callers."""

from __future__ import annotations

import numpy as np
import pytest
from serving_fakes import release

from progressive_tf.drilling.answers.classes import DrilledClasses
from progressive_tf.drilling.asking import Asking
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.registry import ModelVersions


def test_probabilities_come_in_the_order_of_rows_and_of_the_labels_asked_for(model: ModelVersions) -> None:
    release(model, 7)
    asking = Asking(model.version(3))
    found = asking.outputs([{asking.text_name: "word " * words} for words in (40, 1, 3)])
    like = ClassAnswers(("positive", "negative"), np.zeros(0, int), np.zeros((0, 2)))
    answers = DrilledClasses().of_outputs(found, ["positive"] * 3, asking.labels, like)
    np.testing.assert_allclose(answers.probabilities, [[0.93, 0.07]] * 3, atol=1e-6)
    assert not asking.has_tasks


def test_a_row_that_the_version_refuses_is_named(model: ModelVersions) -> None:
    asking = Asking(model.version(1))
    with pytest.raises(InputError, match="row 2: version 1 refuses it"):
        asking.outputs([{"text": "fine"}, {"text": "refused"}])
    with pytest.raises(InputError, match="version 1 cannot be asked"):
        asking.outputs([{"words": "fine"}])
