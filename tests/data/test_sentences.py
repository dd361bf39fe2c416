"""Sources of tagged sentences: what is read, what is found wrong with them, and their windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from progressive_tf.data.quality import QualityReport, examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.tags import rarest_kinds
from progressive_tf.data.windows import WindowStore
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS

SENTENCES_TASK = TASKS["token-classification"]

Sentence = list[tuple[str, str]]
SENTENCES: list[Sentence] = [
    [("Ada", "B-person"), ("Lovelace", "I-person"), ("met", "O"), ("Bob", "B-person")],
    [("Rome", "B-place"), ("is", "O"), ("old", "O")],
    [("Ada", "B-person"), ("left", "O"), ("Rome", "B-place")],
    [("nothing", "O"), ("happened", "O")],
]
OFF = dict.fromkeys(Quality.model_fields)


def bioes(sentence: Sentence) -> Sentence:
    """Returns valid BIO as BIOES."""
    tags = [tag for _, tag in sentence] + ["O"]
    ends = [not following.startswith("I-") for following in tags[1:]]
    prefixes = {("B", True): "S", ("I", True): "E"}
    return [
        (word, tag if tag == "O" else prefixes.get((tag[0], end), tag[0]) + tag[1:])
        for (word, tag), end in zip(sentence, ends, strict=True)
    ]


def write(folder: Path, name: str, sentences: list[Sentence]) -> str:
    path = folder / name
    if path.suffix == ".jsonl":
        rows = [{"tokens": [word for word, _ in each], "tags": [tag for _, tag in each]} for each in sentences]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        blocks = ["".join(f"{word}\t{tag}\n" for word, tag in each) for each in sentences]
        path.write_text("\n".join(blocks), encoding="utf-8")
    return name


def read(folder: Path, name: str) -> Source:
    return read_source(name, Data(source=name), base=folder, cache=folder / "cache", task=SENTENCES_TASK)


def report(source: Source, **actions: str | None) -> QualityReport:
    quality = Quality(**OFF | actions)  # type: ignore[arg-type]
    no_keys = np.empty(0, np.uint64)
    return examine(source, np.arange(len(source)), quality, no_keys)


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("scheme", [list, bioes])
def test_every_file_and_scheme_gives_the_same_sentences(tmp_path: Path, name: str, scheme: object) -> None:
    source = read(tmp_path, write(tmp_path, name, [scheme(each) for each in SENTENCES]))  # type: ignore[operator]
    rows = np.arange(len(SENTENCES))
    assert source.kind == "words"
    assert source.inputs(rows) == [[word for word, _ in each] for each in SENTENCES]
    assert source.expected(rows) == [[tag for _, tag in each] for each in SENTENCES]
    assert source.words is not None
    assert source.words.tolist() == [4, 3, 3, 2]
    assert source.truth.class_names == ("person", "place")
    assert not source.truth.is_broken(np.arange(4)).any()
    assert [source.labels[code] for code in source.label_codes] == ["person", "place", "person", "O"]


def test_a_sentence_counts_as_of_the_type_that_fewest_have() -> None:
    kinds = [("a", "b"), ("a",), ("b", "c"), (), ("a", "c"), ("c",)]
    assert rarest_kinds(kinds) == ["b", "a", "b", "O", "a", "c"]  # b: 2 sentences; a and c: 3, so the alphabet decides


BROKEN: list[Sentence] = [
    *SENTENCES,
    [("Lovelace", "I-person"), ("slept", "O")],
    [("Ada", "B-person"), ("Rome", "I-place")],
]


def test_broken_sequences_are_repaired_and_said(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, "a.conll", BROKEN))
    assert source.expected([4, 5]) == [["B-person", "O"], ["B-person", "B-place"]]
    found = report(source, broken_tags="warn")
    (finding,) = found.findings
    assert (finding.count, finding.rows) == (2, (5, 6))
    assert finding.message == "2 rows whose tags are not a valid sequence; repaired"
    assert len(found.kept) == 6


def test_broken_sequences_can_be_dropped_or_refused(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, "a.conll", BROKEN))
    assert report(source, broken_tags="drop").kept.tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"data.quality.broken_tags: a.conll has 2 rows .*\(rows 5, 6; first:"):
        report(source, broken_tags="fail")


def test_other_tags_of_the_same_words_are_conflicts_and_the_same_tags_are_repeats(tmp_path: Path) -> None:
    again, other = SENTENCES[1], [("rome", "O"), ("is", "O"), ("OLD", "O")]
    source = read(tmp_path, write(tmp_path, "a.conll", [*SENTENCES, again, other]))
    (repeated,) = report(source, duplicates="warn").findings
    assert repeated.rows == (5,)
    assert repeated.message == "1 row that repeats an earlier row's sentence and tags"
    (conflict,) = report(source, conflicting_labels="warn").findings
    assert conflict.rows == (2, 5, 6)
    assert "also has other tags" in conflict.message


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([[("a", "O")], [("b", "O")]], "a.conll: every tag is O"),
        ([[("a", "B-x"), ("b", "B_y")]], r"no tag of BIO or BIOES.*B_y"),
        ([[("a", "B-O")]], r"no tag of BIO or BIOES.*B-O"),
    ],
)
def test_what_cannot_be_tags_is_refused(tmp_path: Path, sentences: list[Sentence], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        read(tmp_path, write(tmp_path, "a.conll", sentences))


class Letters:
    """Encodes words as their letters; a window takes whole words, up to five letters."""

    position_shape = ()
    input_type = kept_type = np.dtype(np.uint16)
    bucket_width = 4
    rows_at_once = 2

    def encode_words(self, raw: list[list[str]]) -> tuple[list[np.ndarray], np.ndarray]:
        windows: list[list[int]] = []
        places = []
        for words in raw:
            windows.append([])
            for word in words:
                if len(windows[-1]) + len(word) > 5:
                    windows.append([])
                places.append((len(windows) - 1, len(windows[-1])))
                windows[-1] += map(ord, word)
        return [np.array(window) for window in windows], np.array(places)


WORDS = [["ab", "cde", "f"], ["x"], ["abcd", "ef", "gh"], ["y", "z"]]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0], [3, 2, 2, 1], [0, 0]])
def test_every_word_is_found_in_its_window(order: list[int]) -> None:
    counts = np.array([len(each) for each in WORDS])
    store = WindowStore(counts, lambda rows: [WORDS[row] for row in rows], Letters())  # type: ignore[arg-type]
    store.add(np.array(order[:1]))
    store.add(np.array(order))
    assert not len(store.missing(np.array(order)))
    found = store.windows(np.array(order))
    texts = ["".join(map(chr, store.row(number))) for number in found.numbers]
    words = [word for row in order for word in WORDS[row]]
    starts = zip(words, found.word_windows, found.word_positions, strict=True)
    assert all(texts[window].startswith(word, position) for word, window, position in starts)
    joined = [""] * len(order)
    for text, sentence in zip(texts, found.sentences, strict=True):
        joined[sentence] += text
    assert joined == ["".join(WORDS[row]) for row in order]
