from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.tags import Span, as_tag, find_breaks, is_tag, scheme_of, spans, tag_names, to_bio
from tests.seqeval_values import spans_of

KINDS = ("person", "creative-work", "a")
BIO = tag_names(KINDS)
BIOES = (*BIO, *(f"{prefix}-{kind}" for prefix in "ES" for kind in KINDS))


def by_pattern(tags: list[str]) -> list[Span]:
    """Returns the spans of BIO tags as a regular expression finds them: B of a kind, then all I of it."""
    letters = {tag: chr(ord("a") + position) for position, tag in enumerate(BIO)}
    written = "".join(map(letters.__getitem__, tags))
    found = [
        Span(match.start(), match.end(), kind)
        for kind in KINDS
        for match in re.finditer(f"{letters[f'B-{kind}']}{letters[f'I-{kind}']}*", written)
    ]
    return sorted(found, key=lambda span: span.start)


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
        assert spans(tags if scheme == "bio" else to_bio(tags)) == [Span(*span) for span in expected]


@given(st.lists(st.sampled_from(BIO), max_size=12))
def test_spans_of_tags_in_any_order(tags: list[str]) -> None:
    assert spans(tags) == by_pattern(tags)
    repaired = to_bio(tags)
    assert find_breaks(repaired) == []
    assert spans(repaired) == by_pattern(repaired)
    assert (repaired == tags) == (find_breaks(tags) == [])
    assert all(repaired[place.position][2:] == place.tag[2:] for place in find_breaks(tags))


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
    for span in spans(to_bio(tags)):
        inside = [f"I-{span.kind}"] * (span.end - span.start - 2)
        whole = [f"B-{span.kind}", *inside, f"E-{span.kind}"] if span.end - span.start > 1 else [f"S-{span.kind}"]
        rebuilt[span.start : span.end] = whole
    assert (rebuilt == tags) == (find_breaks(tags, "BIOES") == [])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-a I-a B-a", [Span(0, 2, "a"), Span(2, 3, "a")]),
        ("B-a I-b I-a", [Span(0, 1, "a")]),
        ("I-a I-a O", []),
        ("O B-a-b I-a-b", [Span(1, 3, "a-b")]),
    ],
)
def test_spans(tags: str, expected: list[Span]) -> None:
    assert spans(tags.split()) == expected


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
    assert [place.position for place in find_breaks(tags.split())] == positions


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
    assert [place.position for place in find_breaks(tags.split(), "BIOES")] == positions


@pytest.mark.parametrize("wrong", ["", "B", "X-", "X-a", "B-", "-a", "b-a", "o", "O-a", "BI-a", "L-a"])
def test_what_is_no_tag(wrong: str) -> None:
    assert not is_tag(wrong)
    for scheme in ("BIO", "BIOES"):
        (found,) = find_breaks(["O", wrong, "O"], scheme)  # type: ignore[arg-type]
        assert (found.position, found.tag) == (1, wrong)
        assert "is no tag" in found.reason
    with pytest.raises(ValueError, match=r"tags\[1\]"):
        to_bio(["O", wrong])


def test_reasons_say_what_was_expected() -> None:
    first, second = find_breaks(["I-a", "B-b", "I-a"])
    assert first.reason == "is the first tag; expected B-a or I-a before it"
    assert second.reason == "follows 'B-b'; expected B-a or I-a before it"
    (unclosed,) = find_breaks(["B-a"], "BIOES")
    assert unclosed.reason == "is the last tag; expected I-a or E-a after it"


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
