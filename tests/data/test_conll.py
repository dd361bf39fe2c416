"""Both readers of tagged sentences: CoNLL files, and JSON lines of tokens and tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import BATCH_ROWS, Batch, Reader
from progressive_tf.data.readers.conll import read_conll
from progressive_tf.data.readers.token_lines import read_token_lines
from progressive_tf.errors import InputError

Read = Callable[..., list[Batch]]


def read(reader: Reader, path: Path, text: str = "tokens", label: str = "tags") -> list[Batch]:
    problems = Problems(path.name)
    batches = list(reader(path, text, label, problems))
    problems.raise_if_any()
    return batches


@pytest.fixture
def conll(tmp_path: Path) -> Callable[[str | bytes], Batch]:
    def read_text(content: str | bytes) -> Batch:
        path = tmp_path / "tagged.conll"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        (batch,) = read(read_conll, path)
        return batch

    return read_text


@pytest.fixture
def token_lines(tmp_path: Path) -> Callable[..., list[Batch]]:
    def read_objects(*objects: object, **columns: str) -> list[Batch]:
        path = tmp_path / "tagged.jsonl"
        path.write_text("".join(json.dumps(value) + "\n" for value in objects), encoding="utf-8")
        return read(read_token_lines, path, **columns)

    return read_objects


TWO = "New\tB-place\nYork\tI-place\n\nhere\tO\n"


def check_two(batch: Batch) -> None:
    assert batch.inputs == [["New", "York"], ["here"]]
    assert batch.labels == [["B-place", "I-place"], ["O"]]
    assert batch.rows == [1, 2]
    assert not batch.names


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (TWO, [2, 4]),
        (TWO.rstrip("\n"), [2, 4]),
        (TWO + "\n\n", [2, 4]),
        ("\n \t\n" + TWO, [4, 6]),
        ("\ufeff" + TWO, [2, 4]),
        (TWO.replace("\n", "\r\n"), [2, 4]),
        (TWO.replace("\t", "  "), [2, 4]),
        (TWO.replace("\n", " \n"), [2, 4]),
        (TWO.replace("\t", " NNP I-NP\t"), [2, 4]),
        (TWO.replace("\t", "\tNNP\tI-NP\t_\t"), [2, 4]),
        ("-DOCSTART- -X- -X- O\n\n" + TWO.replace("\t", " NNP I-NP "), [4, 6]),
        ("-DOCSTART-\tO\n" + TWO.replace("\n\n", "\n-DOCSTART-\tO\n"), [3, 5]),
        ("\ufeff-DOCSTART-\n\n" + TWO, [4, 6]),
        ("# text = New York\n# id\n" + TWO.replace("\n\n", "\n\n# text = here\n"), [4, 7]),
        ("# of a whole file\n\n# O for outside\n" + TWO, [5, 7]),
    ],
)
def test_ways_to_write_the_same(conll: Callable[[str], Batch], content: str, lines: list[int]) -> None:
    batch = conll(content)
    check_two(batch)
    assert batch.lines == lines


@pytest.mark.parametrize("separator", ["\t", " "])
@pytest.mark.parametrize("before", ["", "# text = # win\n", "so\tO\n", "so\tO\n\n"])
def test_hash_signs_are_tokens(conll: Callable[[str], Batch], separator: str, before: str) -> None:
    batch = conll(f"{before}#\tO\nwin\tO\n#wnut\tO\n#\tO\n\n#\tB-a\n".replace("\tO", f"{separator}O"))
    found = [token for tokens in batch.inputs for token in tokens]
    assert found[-5:] == ["#", "win", "#wnut", "#", "#"]
    assert len(found) == 5 + before.startswith("so")


def test_white_space_that_separates_no_columns_belongs_to_tokens(conll: Callable[[str], Batch]) -> None:
    tokens = ["-DOCSTART-\u00a0", "\u00a0", "a\u3000b", "\u2028", "\x85", "\x0b", "x\x0cy"]
    assert conll("".join(f"{token}\tO\n" for token in tokens)).inputs == [tokens]


any_token = st.text(st.characters(exclude_characters=" \t\r\n", codec="utf-8"), min_size=1) | st.just("#")
any_tag = st.sampled_from(["O", "B-a", "I-a"])


@given(st.lists(st.lists(st.tuples(any_token, any_tag), min_size=1)))
def test_tokens_come_back(tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]]) -> None:
    tokens = [[token for token, _ in sentence] for sentence in sentences]
    path = tmp_path_factory.getbasetemp() / "tagged.conll"
    blocks = ("".join(f"{token}\t{tag}\n" for token, tag in sentence) for sentence in sentences)
    # The mark in front keeps a byte order mark in a token from being the file's.
    path.write_text("-DOCSTART-\n\n" + "\n".join(blocks), encoding="utf-8", newline="")
    batches = read(read_conll, path)
    assert [found for batch in batches for found in batch.inputs] == tokens
    assert [found for batch in batches for found in batch.labels] == [[tag for _, tag in one] for one in sentences]


def test_many_sentences_keep_order(tmp_path: Path) -> None:
    path = tmp_path / "many.conll"
    path.write_text("".join(f"w{row}\tO\n\n" for row in range(BATCH_ROWS + 3)))
    first, second = read(read_conll, path)
    assert len(first.rows) == BATCH_ROWS
    assert second.rows == [BATCH_ROWS + 1, BATCH_ROWS + 2, BATCH_ROWS + 3]
    assert second.lines[-1] == 2 * (BATCH_ROWS + 3) - 1
    assert second.inputs == [[f"w{row}"] for row in range(BATCH_ROWS, BATCH_ROWS + 3)]


def test_lines_of_another_number_of_columns_are_named(conll: Callable[[str], Batch]) -> None:
    with pytest.raises(InputError) as raised:
        conll("a\tO\nb\n\nc\tx\tO\nd\tO\n\ne\tO\nNew York\tB-a\n")
    assert str(raised.value) == (
        "tagged.conll: other than the first token's 2 columns in 3 rows: row 1 (line 2): 1 column, starting 'b', row 2 "
        "(line 4): 3 columns, starting 'c', row 3 (line 8): 3 columns, starting 'New'; put a token first and its tag "
        "last on every line, and a blank line after each sentence"
    )


def test_of_a_sentence_with_a_wrong_line_nothing_is_given(tmp_path: Path) -> None:
    path = tmp_path / "tagged.conll"
    path.write_bytes(b"New\xff\tB-a\nYork\tI-a\n\na\tO\nb\n\nc\tO\n")
    problems = Problems(path.name)
    (batch,) = read_conll(path, "", "", problems)
    assert problems
    assert (batch.inputs, batch.rows, batch.lines) == ([["c"]], [3], [7])


@pytest.mark.parametrize(
    ("content", "line", "count"),
    [("word\n", 1, "1 column,"), ("\x0b\n", 1, "1 column,"), ("# x\n1 2 3 4 5 O\n", 2, "6 columns,")],
)
def test_a_file_of_too_few_or_too_many_columns_is_refused(
    conll: Callable[[str], Batch], content: str, line: int, count: str
) -> None:
    with pytest.raises(InputError, match=f"tagged.conll: line {line} has {count}.*expected 2 to 5"):
        conll(content)


def test_lines_that_are_not_utf_8_are_named(conll: Callable[[bytes], Batch]) -> None:
    with pytest.raises(InputError, match=r"not UTF-8 in 2 rows: row 1, row 2 \(line 4\); save the file as UTF-8"):
        conll(b"caf\xe9\tO\nb\tO\n\n\xff\tO\n\nc\tO\n")


def test_a_file_without_tokens_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "tagged.conll"
    path.write_text("-DOCSTART- O\n\n# nothing\n\n")
    assert read(read_conll, path) == []


def test_token_lines(token_lines: Read) -> None:
    (batch,) = token_lines(
        {"tokens": ["New", "York"], "tags": ["B-place", "I-place"], "id": 7}, {"tokens": ["here"], "tags": ["O"]}
    )
    assert batch.inputs == [["New", "York"], ["here"]]
    assert batch.labels == [["B-place", "I-place"], ["O"]]
    assert (batch.rows, batch.lines, batch.names) == ([1, 2], [1, 2], {"id"})


def test_token_lines_with_other_column_names(token_lines: Read) -> None:
    (batch,) = token_lines({"words": ["here"], "ner": ["O"]}, text="words", label="ner")
    assert (batch.inputs, batch.labels) == ([["here"]], [["O"]])
    with pytest.raises(InputError, match="unknown column 'tokens'"):
        token_lines({"words": ["here"], "ner": ["O"]}, label="ner")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "not as many tags as tokens in 1 row: row 2: 2 tokens, 1 tags; give"),
        ({"tokens": [], "tags": []}, "no tokens in 1 row: row 2; take"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "an empty token in 1 row: row 2: token 2; take"),
        ({"tokens": "a", "tags": ["O"]}, "no list of strings in column 'tokens' in 1 row: row 2: 'a'; write"),
        ({"tokens": ["a"], "tags": [0]}, "no list of strings in column 'tags' in 1 row: row 2: [0]; write"),
        ({"tokens": None, "tags": ["O"]}, "no list of strings in column 'tokens' in 1 row: row 2: None; write"),
        ({"tokens": ["\ud800"], "tags": ["O"]}, "not UTF-8 in 1 row: row 2: half a surrogate pair in column 'tokens'"),
        ({"tokens": ["a"]}, "no key 'tags' in 1 row: row 2"),
    ],
)
def test_wrong_token_lines_are_named(token_lines: Read, wrong: dict, message: str) -> None:
    with pytest.raises(InputError) as raised:
        token_lines({"tokens": ["a"], "tags": ["O"]}, wrong)
    assert message in str(raised.value)


GERMEVAL = "#\thttp://example.org\t[2010-01-01]\n1\tAnna\tB-PER\tO\n2\tnach\tO\tO\n3\tRom\tB-LOC\tB-LOC\n\n"
UNIVERSAL = "# text = du pain\n1-2\tdu\t_\t_\t_\t_\n1\tde\tde\tADP\tB-x\t_\n2\tle\tle\tDET\tI-x\t_\n\n"


def test_a_column_that_counts_words_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(GERMEVAL * 10)
    with pytest.raises(InputError, match=r"a.conll: the first column only counts .* data.tokens: 2 and data.tags: 3"):
        read(read_conll, path)


@pytest.mark.parametrize(
    ("content", "tags", "tokens", "expected"),
    [
        (GERMEVAL, "3", ["Anna", "nach", "Rom"], ["B-PER", "O", "B-LOC"]),
        (GERMEVAL, "4", ["Anna", "nach", "Rom"], ["O", "O", "B-LOC"]),
        (UNIVERSAL, "5", ["de", "le"], ["B-x", "I-x"]),
    ],
)
def test_a_plan_may_say_which_columns_are_read(
    content: str, tags: str, tokens: list[str], expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes(b"\xef\xbb\xbf" + (content * 2).replace("\n", "\r\n").encode())
    (batch,) = read(read_conll, path, "2", tags)
    assert batch.inputs == [tokens] * 2
    assert batch.labels == [expected] * 2


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(GERMEVAL)
    with pytest.raises(InputError, match=r"line 2 has 4 columns, .*data.tokens and data.tags ask for a column that it"):
        read(read_conll, path, "2", "7")
