from __future__ import annotations

import matplotlib
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from progressive_tf.reporting.figures.canvas import colour, draw, shorten, shorten_all


def _paint(figure: Figure) -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=colour("blue"), marker="o")
    axes.set_title("$x < \u6620$ & more")


def test_a_drawing_is_themed_prefixed_and_the_same_twice() -> None:
    source = draw("one", 'the "first"', _paint, height=2)
    assert source == draw("one", 'the "first"', _paint, height=2)
    assert source.startswith('<svg role="img" aria-label="the &#34;first&#34;" viewBox=')
    assert "var(--blue)" in source
    assert "metadata" not in source
    assert 'id="one-figure_1"' in source
    assert "$x &lt; \u6620$ &amp; more" in source


def test_a_users_settings_change_nothing_and_are_left_alone() -> None:
    plain = draw("one", "", _paint, height=2)
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 30}):
        assert draw("one", "", _paint, height=2) == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


@given(st.text(max_size=60), st.integers(1, 30))
def test_a_shortened_text_is_short_printable_and_never_empty(text: str, length: int) -> None:
    short = shorten(text, max(length, 7))
    assert 0 < len(short) <= max(length, 7)
    assert short.isprintable()


def test_names_that_begin_alike_stay_apart() -> None:
    assert shorten_all(["short", "a rather long name"], 9) == ["short", "a rather…"]
    names = ["intent number 0001", "intent number 0002", "x"]
    assert shorten_all(names, 9) == ["inte…0001", "inte…0002", "x"]
