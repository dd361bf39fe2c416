from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.tags import as_tag, find_breaks, is_tag, scheme_of, tag_names, to_bio
from tests.seqeval_values import spans_by_pattern, spans_of

KINDS = ("person", "creative-work", "a")
BIO = tag_names(KINDS)
BIOES = (*BIO, *(f"{prefix}-{kind}" for prefix in "ES" for kind in KINDS))


@st.composite
def bioes(draw: st.DrawFn) -> list[str]:
    """Valid BIOES tags."""
    tags: list[str] = []
    for kind, length in draw(st.lists(st.tuples(st.sampled_from(("", *KINDS)), st.integers(1, 4)), max_size=8)):
        if not kind:
            tags += ["O"] * length
        elif length == 1:
            tags.append(f"S-{kind}")
        else:
            tags += [f"B-{kind}", *[f"I-{kind}"] * (length - 2), f"E-{kind}"]
    return tags


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_spans_are_those_of_seqeval(scheme: str) -> None:
    for tags, expected in spans_of(scheme):
        assert spans_by_pattern(tags if scheme == "bio" else to_bio(tags)) == [tuple(span) for span in expected]


@given(st.lists(st.sampled_from(BIO), max_size=12))
def test_tags_in_any_order_are_repaired_where_they_break(tags: list[str]) -> None:
    repaired = to_bio(tags)
    assert find_breaks(repaired) == []
    assert (repaired == tags) == (find_breaks(tags) == [])
    assert all(repaired[position][2:] == tags[position][2:] for position in find_breaks(tags))


@given(bioes())
def test_bioes_without_breaks_becomes_bio_without_breaks(tags: list[str]) -> None:
    assert find_breaks(tags, "BIOES") == []
    assert find_breaks(to_bio(tags)) == []


@given(st.lists(st.sampled_from(BIOES), max_size=12))
def test_any_bioes_becomes_valid_bio_with_the_same_words_outside(tags: list[str]) -> None:
    converted = to_bio(tags)
    assert find_breaks(converted) == []
    assert [tag[2:] for tag in converted] == [tag[2:] for tag in tags]
    assert to_bio(converted) == converted


@given(st.lists(st.sampled_from(BIOES), max_size=8))
def test_bioes_without_breaks_is_what_its_spans_give(tags: list[str]) -> None:
    rebuilt = ["O"] * len(tags)
    for start, end, kind in spans_by_pattern(to_bio(tags)):
        inside = [f"I-{kind}"] * (end - start - 2)
        rebuilt[start:end] = [f"B-{kind}", *inside, f"E-{kind}"] if end - start > 1 else [f"S-{kind}"]
    assert (rebuilt == tags) == (find_breaks(tags, "BIOES") == [])


@pytest.mark.parametrize(
    ("tags", "positions"),
    [
        ("I-a I-a", [0]),
        ("O I-a", [1]),
        ("B-a I-b I-b", [1]),
        ("B-a O I-a B-b I-b", [2]),
        ("B-a E-a S-a", [1, 2]),
    ],
)
def test_breaks_of_bio(tags: str, positions: list[int]) -> None:
    assert find_breaks(tags.split()) == positions


@pytest.mark.parametrize(
    ("tags", "positions"),
    [
        ("B-a", [0]),
        ("B-a O", [0]),
        ("B-a I-a O", [1]),
        ("B-a E-b", [0, 1]),
        ("E-a", [0]),
        ("S-a E-a", [1]),
        ("S-a I-a E-a", [1]),
        ("B-a E-a I-a", [2]),
        ("B-a S-a", [0]),
    ],
)
def test_breaks_of_bioes(tags: str, positions: list[int]) -> None:
    assert find_breaks(tags.split(), "BIOES") == positions


@pytest.mark.parametrize("wrong", ["", "B", "X-", "X-a", "B-", "-a", "b-a", "o", "O-a", "BI-a", "L-a"])
def test_what_is_no_tag(wrong: str) -> None:
    assert not is_tag(wrong)
    for scheme in ("BIO", "BIOES"):
        assert find_breaks(["O", wrong, "O"], scheme) == [1]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tags\[1\]"):
        to_bio(["O", wrong])


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("I-a I-a I-b O I-b B-b I-b", "B-a I-a B-b O B-b B-b I-b"),
        ("S-a I-a E-a E-a B-b E-a", "B-a B-a I-a B-a B-b B-a"),
    ],
)
def test_broken_tags_are_repaired_as_conlleval_reads_them(broken: str, repaired: str) -> None:
    assert to_bio(broken.split()) == repaired.split()


def test_scheme() -> None:
    assert scheme_of(["O", "B-E-", "I-S"]) == "BIO"
    assert scheme_of(iter(["O", "S-a"])) == "BIOES"
    assert scheme_of(["B-a", "E-a"]) == "BIOES"


def test_names_are_sorted_by_kind() -> None:
    assert tag_names(["b", "a", "b"]) == ("O", "B-a", "I-a", "B-b", "I-b")
    assert tag_names([]) == ("O",)


@pytest.mark.parametrize(
    ("written", "tag"),
    [("b-per", "B-per"), (" I-x", "I-x"), ("o", "O"), ("O ", "O"), ("B-PER ", "B-PER "), ("per", "per"), ("", "")],
)
def test_a_prefix_may_be_written_small(written: str, tag: str) -> None:
    assert as_tag(written) == tag
