from __future__ import annotations

import numpy as np
import pytest

from benchmarks.masked_language import Warmed, masked

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(96))]


def test_fifteen_percent_of_the_words_are_guessed_and_most_of_them_masked() -> None:
    ids = np.random.default_rng(0).integers(4, len(WORDS), (2_000, 20))
    ids[:, 0], ids[:, -1], ids[::2, 10:] = 1, 2, 0
    changed, picked = masked(ids, WORDS, np.random.default_rng(1))
    assert not picked[ids < 4].any(), "nothing that is no word"
    assert (changed[~picked] == ids[~picked]).all()
    assert picked[ids >= 4].mean() == pytest.approx(0.15, abs=0.01)
    assert (changed[picked] == 3).mean() == pytest.approx(0.8, abs=0.02)
    # A tenth stays as it was, and of the tenth that becomes another word one in 96 is the same by chance.
    assert (changed[picked] == ids[picked]).mean() == pytest.approx(0.1 + 0.1 / 96, abs=0.02)
    assert (changed[picked] >= 3).all()


def test_the_rate_rises_to_its_height_and_falls_to_nothing() -> None:
    rate = Warmed(1.0, 10.0, 100.0)
    found = [float(rate(step)) for step in range(100)]
    assert found[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert found[-1] == pytest.approx(1 / 90)
    assert np.diff(found[10:]) == pytest.approx(-1 / 90, abs=1e-6)
