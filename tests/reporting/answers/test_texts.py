from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.errors import InputError
from progressive_tf.reporting.answers import read_answers
from progressive_tf.reporting.answers.texts import LONGEST, Piece, SavedTexts, TextSummary, compare
from progressive_tf.reporting.page import write_report
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.views import matrix_views, stage_views

from ..records_builder import write_run
from ..test_page import Page
from ..translated_records import HOSTILE, PLAIN, POLITE, write_translation_run, write_translations

TEXTS = st.text(st.sampled_from("abc \n,é"), max_size=30)


def _marked(pieces: list[Piece]) -> str:
    return "".join(f"[{piece.text}]" if piece.differs else piece.text for piece in pieces)


def _read(path: Path) -> SavedTexts:
    saved = read_answers(path, SavedTexts)
    assert isinstance(saved, SavedTexts)
    return saved


def _summary(texts: SavedTexts, rows: np.ndarray) -> TextSummary:
    return texts.summarize(rows, "stage-1", "plain", None)


@pytest.mark.parametrize(
    ("expected", "written", "marked"),
    [
        ("das rote Haus", "das rote Auto", ("das rote [Haus]", "das rote [Auto]")),
        ("das rote Haus", "das Haus", ("das [rote ]Haus", "das Haus")),
        ("zweihundertfünf", "zweihundertfünfzig", ("zweihundertfünf", "zweihundertfünf[zig]")),
        ("dreihundertzwei", "vierhundertzwei", ("[drei]hundertzwei", "[vier]hundertzwei")),
        ("danke schön", "dankeschön", ("danke[ ]schön", "dankeschön")),
        ("ja", "", ("[ja]", "")),
        ("", "ja", ("", "[ja]")),
        ("ein Ende.", "ein Ende", ("ein Ende[.]", "ein Ende")),
        ("a\x00b", "ab", ("[a␀b]", "[ab]")),
    ],
)
def test_what_differs_is_marked(expected: str, written: str, marked: tuple[str, str]) -> None:
    assert tuple(map(_marked, compare(expected, written))) == marked


@given(TEXTS, TEXTS)
def test_pieces_are_the_texts_and_those_not_marked_are_common(expected: str, written: str) -> None:
    both = compare(expected, written)
    assert ["".join(piece.text for piece in pieces) for pieces in both] == [expected, written]
    common = ["".join(piece.text for piece in pieces if not piece.differs) for pieces in both]
    assert common[0] == common[1]
    if expected == written:
        assert common[0] == expected


def test_long_texts_are_shown_from_a_little_before_they_differ() -> None:
    expected, written = compare("a " * 5_000 + "Ende " + "b " * 5_000, "a " * 5_000 + "aus " + "b " * 5_000)
    assert _marked(expected).startswith("…")
    assert "a [Ende] b" in _marked(expected)
    assert "a [aus] b" in _marked(written)
    assert _marked(written).endswith("…")
    assert len(_marked(expected)) <= LONGEST + 4
    assert _marked(compare("x" * LONGEST, "x")[0]).startswith("[x"), "nothing is left out of what is short enough"


def test_rows_are_read_with_what_is_right(tmp_path: Path) -> None:
    rows = {("gate", "polite"): POLITE[:2], ("test", "plain"): PLAIN, ("test", "polite"): POLITE}
    texts = _read(write_translations(tmp_path / "file", rows))
    assert texts.test_rows("plain").tolist() == [2, 3, 4, 5, 6]
    assert texts.test_rows("unknown").tolist() == [2, 3, 4, 5, 6], "index 0 of the source is one text"
    assert texts.count("gate", "polite") == 2
    assert texts.count("gate", "plain") == 0
    found = _summary(texts, texts.test_rows("plain"))
    assert (found.rows, found.right) == (5, 1)
    assert found.sure_right == pytest.approx(0.97)
    assert found.sure_wrong == pytest.approx((0.875 + 0.9375 + 0.5 + 0.25) / 4)
    assert [(error.text, error.confidence) for error in found.wrong] == [
        ("two hundred and five", 0.9375),
        ("the red house is old", 0.875),
        (f"a {HOSTILE} b", 0.5),
        ("nothing", 0.25),
    ]
    assert _marked(found.wrong[1].written) == "das rote [Auto] ist alt"
    last = _summary(texts, np.array([6]))
    assert (last.sure_right, last.wrong[0].written) == (None, [])


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    path = write_translations(tmp_path / "file", {("test", "plain"): PLAIN})
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    texts = _read(path)
    found = _summary(texts, texts.test_rows("plain"))
    assert (found.rows, found.right, found.sure_right, found.sure_wrong, found.wrong) == (0, 0, None, None, [])


@pytest.mark.parametrize("confidence", [1.5, -0.5, float("nan"), None])
def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path, confidence: float | None) -> None:
    path = write_translations(tmp_path / "file", {("test", "plain"): PLAIN})
    table = pq.read_table(path)
    values = pa.array([0.5, 0.5, 0.5, confidence, 0.5], pa.float32())
    pq.write_table(table.set_column(table.column_names.index("confidence"), "confidence", values), path)
    with pytest.raises(InputError, match=r"file: confidence\[3\]: a number from 0 to 1 expected; got"):
        read_answers(path, SavedTexts)
    pq.write_table(table.drop_columns(["confidence"]), path)
    with pytest.raises(InputError, match="file: column 'confidence' is missing; it has part, slice"):
        read_answers(path, SavedTexts)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = write_translation_run(tmp_path_factory.mktemp("runs") / "run")
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_page_says_what_was_written(page: Page) -> None:
    for words in (
        "Texts written for test rows", "Test texts", "Test chrF Validation chrF", "20.00 [10.00–100.00]", "exact match",
        "1 of 5 test texts are exactly right. Mean confidence of these is 1.000, of the others 0.575.",
        "Share of the test texts that are the expected ones", "chrF on earlier stage plain drops ≤ 0.25",
        "12.50 [−1.50 to 20.00] 0.25 3", "0.200 [0.000–1.000] 0.150 3", "Token accuracy", "random weights",
        "ACC 0.688, forgetting +0.125", "ACC 55.00, forgetting +10.00", "BWT −12.50 test rows −12.50", "100.00",
        "for which polite wrote something else than expected", "Written confidence 0.750",
        "Expected danke schön Written confidence 0.600 dankeschön", "erste ↵ zweite",
        "phrases not recorded 1,234 2 3 5", "phrases not recorded 1,234 2 4 5",
    ):  # fmt: skip
        assert words in page.text, words


def test_the_page_speaks_of_no_classes(page: Page) -> None:
    for word in ("class", "label", "pair", "confusion", "calibrat", "ECE", "None", "nan"):
        assert word not in page.text.replace("is found in labels of whole rows", ""), word
    words = " ".join(attributes.get("aria-label") or "" for _, attributes in page.elements)
    assert "Confusion" not in words
    assert "Reliability" not in words


def test_what_differs_is_marked_not_by_colour_alone(source: str, page: Page) -> None:
    assert '<mark class="differs">Ende</mark>' in source
    assert "mark.differs { padding: 0 0.1em; border-bottom: 2px solid" in source
    assert page.count("mark") == 6


def test_there_is_a_matrix_of_each_metric_the_further_ones_folded(page: Page) -> None:
    figures = [attributes["aria-label"] or "" for tag, attributes in page.elements if tag == "svg"]
    matrices = [words for words in figures if words.startswith("R matrix")]
    assert len(matrices) == 6
    assert "R matrix on gate rows, chrF. untrained: 0.00, none; after plain: 50.00, 12.50" in matrices[0]
    assert "R matrix on gate rows, exact match. untrained: 0.000, none; after plain: 0.500, 0.125" in matrices[2]
    assert "R matrix on test rows, BLEU. untrained: 0.00, 0.00; after plain: 50.00, 20.00" in matrices[5]
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert page.count("details") == 2 + 1 + 1  # matrices, the first stage's texts, the plan


def test_matrices_of_one_metric_are_not_named_and_not_folded(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    (view,) = matrix_views(run)
    assert view.record == run.matrix
    assert (view.metric, view.decimals, list(view.figures)) == ("accuracy", 3, ["gate", "test"])


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    run = write_translation_run(tmp_path / "run")
    shutil.rmtree(run / "stages/02-polite")
    source = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in source
    assert "\x08" not in source
    text = Page(source).text
    assert HOSTILE in text
    assert "Expected nichts Written confidence 0.250 nothing" in text


def test_an_unfinished_stage_has_the_counts_that_are_known(tmp_path: Path) -> None:
    run = write_translation_run(tmp_path / "run")
    for stage in (run / "stages").iterdir():
        (stage / "predictions.parquet").unlink()
    views = stage_views(read_run(run))
    assert views[0].part_rows == {"train": 1234, "validation": 2, "gate": None, "test": None}
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert "phrases not recorded 1,234 2 – –" in text
    assert text.count("predictions.parquet is not recorded yet.") == 2


def test_no_wrong_text_is_said(tmp_path: Path) -> None:
    run = write_translation_run(tmp_path / "run")
    write_translations(run / "stages/02-polite/predictions.parquet", {("test", "polite"): POLITE[1:2]})
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert "No test text is wrong." in text
    assert "1 of 1 test texts are exactly right. Mean confidence of these is 1.000. Confidence is" in text
