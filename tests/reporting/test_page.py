from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from progressive_tf.errors import InputError
from progressive_tf.plan.metric_names import ANSWERS, AnswerKind, MetricName
from progressive_tf.plan.tasks import TASKS
from progressive_tf.reporting.page import render, write_report
from progressive_tf.reporting.records import read_run

from .records_builder import SCRIPT, force, write_run

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, all ids, and the text outside `<style>`; refuses tags that do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = write_run(tmp_path_factory.mktemp("runs") / "movie-reviews" / "20260504-3f2a")
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(finished: str) -> Page:
    return Page(finished)


def test_the_page_says_what_was_run_and_what_came_of_it(page: Page) -> None:
    for words in (
        "movie-reviews", "20260504-3f2a", "pilot and beta were promoted (latest: version 2); full was held",
        "2026-05-04 09:10:07 UTC", "text-classification", "bert, weights minilm-l6", "770 / 22.7M", "1 min 28 s",
        "0.790 [0.762–0.818]", "accuracy on earlier stage beta drops ≤ 0.02", "12 rows repeat an earlier text",
        "started from pretrained weights", "started from beta (version 2)",
        "became version 2 ; stable points to it", "compared with stage beta (version 2)", "tensorflow 2.15.1",
        "untrained", "hold", "BWT +0.124", "take: 500", "CPU with 2 cores; float32; no XLA; one device",
    ):  # fmt: skip
        assert words in page.text, words


def test_a_forced_stage_is_told_wherever_its_decision_is(tmp_path: Path, page: Page) -> None:
    run = force(write_run(tmp_path / "run"), version=47)
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert text.count("‖ hold, forced") == 3
    for words in (
        "but released by force as version 47: The drop is on mislabelled rows.",
        "‖ hold, forced 0.790 [0.762–0.818] 0.800 [0.762–0.838] 47 500",
        "The gate was overruled on 2026-05-05 10:00:59 UTC: released by force as version 47: The drop",
        "became version 47 by force",
    ):
        assert words in text, words
    assert "forced" not in page.text
    assert "by force" not in page.text


def test_the_same_records_give_the_same_bytes(tmp_path: Path, finished: str) -> None:
    assert write_report(write_run(tmp_path / "movie-reviews" / "20260504-3f2a")).read_text() == finished


def test_the_page_needs_nothing_outside_itself(finished: str, page: Page) -> None:
    assert "http" not in re.sub(r"http-equiv", "", finished)
    assert not re.search(r"@import|url\((?!#)", finished)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        reference = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert reference.startswith("#")


def test_hostile_text_stays_text(finished: str, page: Page) -> None:
    assert SCRIPT in page.text
    assert "<script" not in finished


def test_hostile_names_stay_text_in_figures_and_tables(tmp_path: Path) -> None:
    labels = ("</svg><script>1</script>", "$\\frac{", '"><img src=x onerror=1>', "a\x00\nb", "")
    source = write_report(write_run(tmp_path / "run", labels=labels, decisions=("hold",))).read_text(encoding="utf-8")
    shown = Page(source)
    assert "<script" not in source
    assert shown.count("img") == 0
    assert "$\\frac{" in shown.text


def test_ids_are_unique_and_every_reference_has_its_target(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    references = {
        target
        for _, attributes in page.elements
        for value in attributes.values()
        for target in re.findall(r"url\(#([^)]+)\)", value or "")
    }
    links = {(attributes.get("href") or "#")[1:] for _, attributes in page.elements} - {""}
    assert references <= set(ids)
    assert links <= set(ids)
    assert any(reference.startswith("matrix-gate-") for reference in references)


def test_headings_follow_one_another(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_figures_say_in_words_what_they_show(page: Page) -> None:
    figures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(figures) == page.count("figure") == page.count("figcaption") == 3 + 4 * 3
    labels = [attributes["aria-label"] or "" for attributes in figures]
    assert all(attributes["role"] == "img" for attributes in figures)
    assert any("untrained: 0.498, 0.498, none" in label for label in labels)
    assert any("accuracy on current ≥ 0.55: pass" in label for label in labels)
    assert dict(page.elements[[tag for tag, _ in page.elements].index("html")][1]) == {"lang": "en"}


def test_table_cells_have_headers(page: Page) -> None:
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in page.elements if tag == "th")


STAGE = "stages/01-pilot"
GAPS = {
    "environment.json": "environment.json is not recorded yet.",
    "events.jsonl": "Started not recorded",
    "matrix.json": "matrix.json is not recorded yet.",
    STAGE: "○ not begun",
    f"{STAGE}/data.json": "data.json is not recorded yet.",
    f"{STAGE}/quality.json": "quality.json is not recorded yet.",
    f"{STAGE}/history.csv": "history.csv is not recorded yet.",
    f"{STAGE}/metrics.json": "Measures per class are not recorded.",
    f"{STAGE}/predictions.parquet": "predictions.parquet is not recorded yet.",
    f"{STAGE}/decision.json": "No decision is recorded yet.",
}


@pytest.mark.parametrize(("missing", "says"), GAPS.items())
def test_the_page_of_a_run_without_one_record_says_so(tmp_path: Path, page: Page, missing: str, says: str) -> None:
    run = write_run(tmp_path / "run", decisions=("promote",))
    path = run / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert says in text
    assert says not in page.text
    assert "None" not in text
    assert "nan" not in text.split()


def test_the_page_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for path in list(run.iterdir()):
        if path.name == "stages":
            shutil.rmtree(path)
        elif path.name != "plan.yaml":
            path.unlink()
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert "0 of 3 stages decided, pilot has not begun." in text
    assert "matrix.json is not recorded yet." in text


def test_a_history_without_rows_or_epochs_is_no_obstacle(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", decisions=("promote", "promote"))
    (run / "stages/01-pilot/history.csv").write_text("epoch,loss\n")
    (run / "stages/02-beta/history.csv").write_text("loss\n0.5\n")
    assert Page(write_report(run).read_text(encoding="utf-8")).count("figure") == 3 + 4 * 2 - 1


def test_a_broken_record_leaves_the_earlier_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", decisions=("promote",))
    before = write_report(run).read_bytes()
    (run / "matrix.json").write_text("{")
    with pytest.raises(InputError, match=r"matrix\.json"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert [path.name for path in run.glob(".*")] == []


def test_many_classes_have_their_commonest_confusions_listed(tmp_path: Path) -> None:
    labels = tuple(f"intent {number}" for number in range(20))
    text = Page(
        write_report(write_run(tmp_path / "run", labels=labels, decisions=("hold",))).read_text(encoding="utf-8")
    ).text
    assert "Commonest confusions" in text
    assert "20 labels" in text


def test_a_kind_of_answer_that_was_added_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = AnswerKind("numbers", {"error": MetricName("error", maximize=False)}, of_matrices=("error",))
    monkeypatch.setitem(TASKS, "counting", replace(TASKS["tabular-classification"], name="counting", answers=numbers))
    monkeypatch.setitem(ANSWERS, "numbers", numbers)
    run = write_run(tmp_path / "run")
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text().replace("text-classification", "counting"))
    page = render(read_run(run))
    assert ">Answers on test rows<" in page
    assert re.search(r"<p>Over [1-9][0-9,]* test rows\.</p>", page)
    assert "Answers of this kind are not told apart as right and wrong." in page
    assert "Confusion matrix" not in page
