"""Which network a file needs: by its task, how long its texts are, what they are in, and how large its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.inspection.languages import LANGUAGES, language_of
from progressive_tf.inspection.lengths import evenly, fitting_length, own_vocabulary
from progressive_tf.inspection.network_drafts import NETWORKS, Asked, NetworkDraft
from progressive_tf.inspection.sizes import Sizes
from progressive_tf.inspection.subject import Subject
from progressive_tf.inspection.tokens import TokenCounter, token_counter

LEAST_TOLD = 0.2  # share of texts whose language is clear


def chosen_network(
    subject: Subject, sizes: Sizes, classes: int, offline: bool
) -> tuple[NetworkDraft, tuple[str, ...] | None]:
    """Returns the network that a plan begins with, and the vocabulary of one without pretrained weights.

    Args:
        subject: the file.
        sizes: how it is divided.
        classes: how many.
        offline: whether nothing may be downloaded.
    """
    kind, draft = INPUT_KINDS[subject.task.inputs], NETWORKS[subject.task.name]
    asked = Asked(rows=sizes.pool, classes=classes, offline=offline, vocabulary=f"{subject.stem}-vocabulary.txt")
    network = draft(asked)
    if kind.is_file:
        asked = replace(asked, side=_side(subject))
    vocabulary = None
    if kind.is_text:
        texts = subject.source.descriptions(evenly(len(subject.source)))
        if "vocabulary" in network.model:
            vocabulary = tuple(own_vocabulary(subject.source.descriptions(subject.rows)))
            counter = TokenCounter(vocabulary)
        else:
            counter = token_counter(network.model, Path())
        counts = counter.counts(texts)
        length = fitting_length(counts)
        over = int((counts > length).sum())
        long = f"; {over:,} of {len(counts):,} are cut" if over else ""
        usual, most = int(np.median(counts)), int(np.quantile(counts, 0.99))
        why = f"texts have {counter.about}{usual:,} tokens, 99 in 100 at most {most:,}{long}"
        target = 0
        if "max_target_length" in network.model:
            expected = subject.source.expected(subject.rows)  # all of them: a longer one would be refused
            lengths = [
                len(text.encode()) + 2 if counter.of_bytes else 2 + max(2 * len(text.split()), len(text) // 2)
                for text in expected
            ]
            target = fitting_length(np.array(lengths), 1024) if max(lengths) <= 512 else 1024
            target = max(target, min(1024, max(lengths)))
        asked = replace(asked, length=length, length_why=why, target=target, prefix=_prefix(subject))
        asked = replace(asked, language=_language(texts))
    return draft(asked), vocabulary


def _language(texts: Sequence[str]) -> str:
    """Returns what the language of most texts is called, "" where it is English or not clear."""
    told = Counter(filter(None, map(language_of, texts)))
    main, count = told.most_common(1)[0] if told else ("en", 0)
    return "" if main == "en" or count < LEAST_TOLD * len(texts) else LANGUAGES[main][0]


def _prefix(subject: Subject) -> str:
    """Returns what T5 was told before translating, where columns are called by two languages that it knows."""
    names = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}
    names |= {name.lower(): name for name in names.values()}
    pair = [str(getattr(subject.data, key)).casefold().rpartition(".")[2] for key in ("text", subject.task.answer_key)]
    known = [names[name] for name in pair if name in names]
    return f"translate {known[0]} to {known[1]}: " if len(known) == 2 else ""


def _side(subject: Subject) -> int:
    """Returns the pixels of the shorter side of a typical image."""
    import io

    from PIL import Image

    encoded = subject.source.inputs(evenly(len(subject.source))[:200])
    sides = []
    for content in encoded:
        with Image.open(io.BytesIO(bytes(content))) as image:
            sides.append(min(image.size))
    return int(np.median(sides))
