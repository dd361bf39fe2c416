"""Tagged sentences of any file as valid BIO, with what was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from progressive_tf.data.label_spelling import class_names
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import Batch, Reader
from progressive_tf.data.tags import OUTSIDE, Scheme, Sentences, as_tag, find_breaks, is_tag, scheme_of, to_bio
from progressive_tf.plan.label_rules import LabelRule

ADVICE = "write O, or B-, I-, E- or S- and a type of entity; of BILOU, E- for L- and S- for U-"


@dataclass(frozen=True)
class TaggedReader:
    """Yields sentences whose inputs are their words joined by spaces; see `Reader`.

    A file with a tag that begins with E- or S- is BIOES, any other BIO. Tags that break the scheme are repaired as the
    CoNLL shared tasks' `conlleval` reads them.

    Lower-case prefixes, and an `o`, are read as capitals.

    Attributes:
        reader: yields lists of tokens and lists of tags.
        rule: how types of entities may be written and still be one; it has to be known before spans are read.
    """

    reader: Reader
    rule: LabelRule = None

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Reads `path` twice: the scheme is the whole file's."""
        unread = Problems(problems.file)
        batches = self.reader(path, text, label, unread)
        counts = Counter(as_tag(tag) for batch in batches for tag in chain.from_iterable(batch.labels))
        scheme, names = scheme_of(counts), _names(counts, self.rule)
        for read in self.reader(path, text, label, problems):
            written = [list(map(as_tag, tags)) for tags in read.labels]
            batch = replace(read, labels=[[names.get(tag, tag) for tag in tags] for tags in written])
            fine = [position for position in range(len(batch.rows)) if _has_tags(batch, position, problems)]
            yield _in_bio(batch.only(fine), scheme)


def _names(counts: Counter[str], rule: LabelRule) -> dict[str, str]:
    """Returns the tags that are written otherwise under a rule; a type is called as it is written most often."""
    kinds = Counter[str]()
    for tag, count in counts.items():
        if is_tag(tag) and tag != OUTSIDE:
            kinds[tag[2:]] += count
    names = class_names(rule, [kinds])
    return {tag: f"{tag[:2]}{names[tag[2:]]}" for tag in counts if is_tag(tag) and tag != OUTSIDE}


def _has_tags(batch: Batch, position: int, problems: Problems) -> bool:
    for tag in batch.labels[position]:
        if not is_tag(tag) or tag[2:] == OUTSIDE:
            row, line = batch.rows[position], batch.lines[position]
            problems.add("no tag of BIO or BIOES", row, line, shorten(tag), advice=ADVICE)
            return False
    return True


def _in_bio(batch: Batch, scheme: Scheme) -> Batch:
    sentences = Sentences(
        tokens=batch.inputs,  # type: ignore[arg-type]
        tags=[to_bio(tags) for tags in batch.labels],
        broken=[bool(find_breaks(tags, scheme)) for tags in batch.labels],
    )
    texts = [" ".join(tokens) for tokens in sentences.tokens]
    labels = [OUTSIDE] * len(texts)  # settled when every row of the source is known
    return replace(batch, inputs=texts, labels=labels, sentences=sentences)
