from __future__ import annotations

import pytest
from markupsafe import Markup

from progressive_tf.api import markup


@pytest.mark.parametrize(
    "figure",
    ["0.5", "1,000", "−0.1", "12.3k", "4.5 s", "1 min 05 s", "2 h 10 min", "770 / 22.6M", "0.786 [0.759–0.809]", "–"],
)
def test_columns_of_figures_stand_to_the_right(figure: str) -> None:
    assert markup.table(["value"], [[figure]]).count('class="n"') == 2
    assert 'class="n"' not in markup.table(["value"], [[figure], ["words"]]), "a column is one or the other"


def test_cells_are_escaped_and_markup_is_not() -> None:
    shown = markup.table(["<i>"], [["a < b"], [Markup("<b>c</b>")]], caption="x & y")
    assert "<th>&lt;i&gt;</th>" in shown
    assert "<td>a &lt; b</td>" in shown
    assert "<td><b>c</b></td>" in shown
    assert "<caption>x &amp; y</caption>" in shown
    assert markup.table(["empty"], []).count("<tr>") == 1


def test_two_figures_share_no_id() -> None:
    shown = [
        markup.figure(f'<svg><clipPath id="a-1"/><use href="#a-1" clip-path="url(#a-1)" d="{path}"/></svg>')
        for path in "xy"
    ]
    ids = [each.partition('id="')[2].partition('"')[0] for each in shown]
    assert ids[0] != ids[1]
    for each, name in zip(shown, ids, strict=True):
        assert each.count(name) == 3, "what refers to it follows"


def test_a_page_in_a_frame_is_escaped() -> None:
    assert 'srcdoc="&lt;p class=&#34;a&#34;&gt;' in markup.page_frame('<p class="a">', 100)
