from __future__ import annotations

from progressive_tf.data.word_vectors import WIDTH, word_vectors


def test_texts_are_alike_by_their_words() -> None:
    texts = ["card lost today", "card lost now", "card was lost today", "pin forgotten again", "pin forgotten now"]
    vectors = word_vectors(texts, 0, token_pattern=r"\w+")
    alike = vectors @ vectors.T
    assert alike[0, 2] > alike[0, 3]
    assert word_vectors(["one", "two"], 0).shape == (2, 1)
    assert vectors.shape[1] <= WIDTH
