"""Gate rows that are alike, though the plan does not say so: the gate would take them for independent."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from progressive_tf.data.findings import SHOWN, row_words
from progressive_tf.data.near_duplicates import fold
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, shortened
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.methods import ActionWithoutDrop
from progressive_tf.plan.schema import Data, Plan, Split

KIND = "alike_gate_rows"
PLACE = f"data.quality.{KIND}"
FEWEST_VALUES = 20
# Of the gate rows, so many at least share their value, or nearly all of their words, with another one.
LEAST_SHARED, LEAST_NEAR = 0.3, 0.1
# How much more often than by chance two rows with one value have one label (Cohen's kappa), and in how many deviations.
# Where nearly all have, the column is another form of the label, as the stars of a review are.
LEAST_AGREEMENT, MOST_AGREEMENT, DEVIATIONS = 0.1, 0.9, 4.0
OF_SOMEBODY = re.compile(
    r"(^|[_\W])(user|author|writer|speaker|customer|client|account|session|conversation|thread|dialog(ue)?|ticket"
    r"|patient|subject|person|member|participant|device|household|annotator|reviewer|document|doc|group|u?id)s?([_\W]|$)",
    re.IGNORECASE,
)
NEAR = 0.8
FEWEST_WORDS = 5
MOST_ROWS = 10_000
MOST_CELLS = 2_000_000  # read of a source; columns named as if of somebody come first
MOST_WITH_WORD = 200


def about_groups(source: Source, split: Split) -> list[str]:
    """Returns a line on rows that are all for the gate, and have no column by which the plan's rows belong together."""
    if split.group is None or source.groups is not None:
        return []
    return [f"{source.name}: no column {split.group!r} (data.split.group), so that each of its rows counts as its own"]


def about_alike(source: Source, gate: np.ndarray, data: Data, used: Collection[str]) -> tuple[Finding, ...]:
    """Returns what was found, at most one finding; nothing where rows have groups.

    Args:
        source: the rows' source, with their groups.
        gate: int64, its gate rows.
        data: the plan's section.
        used: columns that the plan reads.

    Raises:
        InputError: the plan fails on such rows.
    """
    action: ActionWithoutDrop | None = data.quality.alike_gate_rows
    if action is None or source.groups is not None or not len(gate):
        return ()
    found = _shared_value(source, gate, used) or _near_duplicates(source, gate)
    if found is None:
        return ()
    count, rows, message = found
    if data.gate_refresh is not None:
        message += "; with data.gate_refresh a group that came before then gives no gate rows"
    message = f"{source.name}: {message}"
    if action == "fail":
        raise InputError(f"{PLACE}: {message}, or set {PLACE} to warn")
    return (Finding(KIND, action, count, tuple(source.rows[rows[:SHOWN]].tolist()), (), message),)


def columns_read(plan: Plan, sources: Mapping[str, Source]) -> set[str]:
    """Returns the columns of sources that a plan reads, or names in a condition."""
    data = plan.data
    conditions = [*data.slices.values(), *(stage.data.where for stage in plan.stages if stage.data.where is not None)]
    read = {data.text, data.image, data.label, data.tokens, data.tags, data.target, data.task, *data.leave_out}
    for source in sources.values():
        read |= {source.text_name, source.label_name} | set(source.features.names if source.features else ())
        read |= {name for name in source.column_names if any(name in condition for condition in conditions)}
    return {name for name in read if name is not None}


_Found = tuple[int, np.ndarray, str]  # how many rows, which, and what is said


def _shared_value(source: Source, gate: np.ndarray, used: Collection[str]) -> _Found | None:
    """Returns the column whose values many gate rows share: one named as if of somebody, or whose labels are alike.

    Numbers measure, so that of these the name alone counts.
    """
    candidates = []
    names = sorted(set(source.column_names) - set(used), key=lambda name: not OF_SOMEBODY.search(name))
    for name in names[: max(1, MOST_CELLS // len(source))]:
        values = source.columns([name])[name].iloc[gate].reset_index(drop=True)
        codes = pd.factorize(values.map(lambda value: value if pd.isna(value) else str(value)))[0]
        counts = np.bincount(codes[codes >= 0])
        shared = (codes >= 0) & (counts[codes] > 1) if len(counts) else np.zeros(len(gate), bool)
        if len(counts) < FEWEST_VALUES or shared.mean() < LEAST_SHARED:
            continue
        agreement = 0.0
        if source.truth.in_classes and not pd.api.types.is_numeric_dtype(values):
            agreement = _agreement(codes[shared], source.label_codes[gate[shared]])
        named = bool(OF_SOMEBODY.search(name))
        if named or LEAST_AGREEMENT <= agreement <= MOST_AGREEMENT:
            candidates.append((named, agreement, name, len(counts), shared))
    if not candidates:
        return None
    _, _, name, distinct, shared = max(candidates, key=lambda found: (*found[:2], found[2]))
    count = int(shared.sum())
    return (
        count,
        gate[shared],
        f"{count:,} of {len(gate):,} gate rows share their {name!r} with another ({distinct:,} values); where such "
        f"rows are alike the gate is surer than it may be: set data.split.group: {name}",
    )


def _agreement(values: np.ndarray, labels: np.ndarray) -> float:
    """Returns Cohen's kappa of the labels of pairs of rows with one value; 0 where chance may have made it."""
    sizes = np.bincount(values)
    pairs = float((sizes * (sizes - 1.0)).sum())
    in_values = np.unique(np.stack([values, labels]), axis=1, return_counts=True)[1]
    same = float((in_values * (in_values - 1.0)).sum()) / pairs
    of_labels = np.bincount(labels)
    chance = float((of_labels * (of_labels - 1.0)).sum()) / (len(labels) * (len(labels) - 1.0))
    if same - chance <= DEVIATIONS * (chance * (1 - chance) / (pairs / 2)) ** 0.5:
        return 0.0
    return (same - chance) / (1 - chance)


def _near_duplicates(source: Source, gate: np.ndarray) -> _Found | None:
    """Returns gate rows whose text has nearly the same words as another one's."""
    if not source.input_kind.is_text:
        return None
    looked = gate[:MOST_ROWS]
    texts = source.descriptions(looked)
    pairs = list(near_pairs(texts))
    near = np.unique(np.array(pairs, np.int64))
    if len(near) < LEAST_NEAR * len(looked):
        return None
    of = "gate rows" if len(looked) == len(gate) else f"gate rows looked at, of {len(gate):,},"
    which = f"{row_words(source.rows[looked[list(pairs[0])]])}: {shortened(texts[pairs[0][0]])!r}"
    return (
        len(near),
        looked[near],
        f"{len(near):,} of {len(looked):,} {of} have nearly the same words as another ({which}); the gate takes them "
        f"for independent: name a column that tells what belongs together in data.split.group",
    )


def near_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields pairs of texts with at least 0.8 of their words in common (Jaccard), of at least five words.

    Two such texts share one of their few rarest words, |x| − ⌈0.8 |x|⌉ + 1 of each (Bayardo, Ma & Srikant 2007), so
    that only these are compared; words that are among the rarest of more than 200 texts are passed over.
    """
    words = [frozenset(filter(None, map(fold, text.split()))) for text in texts]
    frequency = Counter(word for one in words for word in one)
    having: dict[str, list[int]] = defaultdict(list)
    for second, own in enumerate(words):
        if len(own) < FEWEST_WORDS:
            continue
        rarest = sorted(own, key=lambda word: (frequency[word], word))[: len(own) - int(np.ceil(NEAR * len(own))) + 1]
        candidates = {first for word in rarest for first in having[word] if len(having[word]) <= MOST_WITH_WORD}
        for first in sorted(candidates):
            common = len(own & words[first])
            if common >= NEAR * (len(own) + len(words[first]) - common):
                yield first, second
        for word in rarest:
            having[word].append(second)
