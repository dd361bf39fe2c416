"""HTML that a notebook can show: it brings its colours and rules along, because it stands on no page of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from markupsafe import Markup, escape

from progressive_tf.errors import InputError, unknown_name

# 0.5, 1,000, −0.1, 12.3k, 4.5 s, 1 min 05 s, 770 / 22.6M, 0.786 [0.759–0.809], or a dash
_FIGURE = re.compile(r"–|[+−]?[\d.,]+( ?[a-zA-Z%]{1,3}( \d\d [a-z]+)?)?( / [\d.,]+[a-zA-Z]?| \[.*\])?")
BADGES = {"promote": "✓", "pass": "✓", "hold": "‖", "reject": "✕"}


class Figure:
    """A figure as a notebook shows it.

    Args:
        svg: an `<svg>` element whose colours are variables of the report's page.
        caption: one sentence below it.
    """

    def __init__(self, svg: str, caption: str = "") -> None:
        self.svg = svg
        self.caption = caption

    def _repr_html_(self) -> str:
        return framed(figure(self.svg, self.caption))

    def __repr__(self) -> str:
        return f"<Figure: {self.caption}>" if self.caption else "<Figure>"


class Figures(dict[str, Figure]):
    """Figures by name; a notebook shows all of them side by side.

    Raises:
        InputError: there is no figure of the name that is asked for: nothing is recorded that it could show.
    """

    def __missing__(self, name: str) -> Figure:
        raise InputError(
            f"{unknown_name('figure', name, self)}; what is not recorded yet, or not there for the task, has none"
        )

    def _repr_html_(self) -> str:
        return framed(side_by_side(figure(picture.svg, picture.caption) for picture in self.values()))


def framed(body: str) -> str:
    """Returns `body` with the report's colours and a few rules, on paper of its own: a notebook may be dark."""
    return f'<div class="progressive-tf"><style>{_style()}</style>{body}</div>'


def figure(svg: str, caption: str = "") -> Markup:
    """Returns a `<figure>`; its ids differ from those of other figures in the notebook."""
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    body = re.sub(r'\bid="', f'id="f{own}-', svg)
    body = re.sub(r'href="#', f'href="#f{own}-', body)
    body = re.sub(r"url\(#", f"url(#f{own}-", body)
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else Markup("")
    return Markup(f"<figure>{body}{below}</figure>")


def side_by_side(parts: Iterable[str]) -> Markup:
    """Returns parts next to one another where there is room."""
    return Markup('<div class="side">{}</div>').format(
        Markup("").join(Markup("<div>{}</div>").format(Markup(part)) for part in parts)
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Markup:
    """Returns a table; cells are escaped unless they are Markup; a column of figures stands to the right.

    Args:
        headings: of the columns.
        rows: as many cells each.
        caption: a line above it.
    """
    above = Markup("<caption>{}</caption>").format(caption) if caption else Markup("")
    listed = [list(row) for row in rows]
    right = [all(map(_is_figure, column)) for column in zip(*listed, strict=True)] or [False] * len(headings)
    head = _row("th", headings, right)
    body = Markup("").join(_row("td", row, right) for row in listed)
    return Markup("<table>{}<thead>{}</thead><tbody>{}</tbody></table>").format(above, head, body)


def heading(text: str, note: str = "") -> Markup:
    """Returns a small heading with a note behind it."""
    return Markup("<h4>{} <small>{}</small></h4>").format(text, note)


def paragraph(text: str) -> Markup:
    """Returns a paragraph; `text` is escaped unless it is Markup."""
    return Markup("<p>{}</p>").format(text)


def muted(text: str) -> Markup:
    """Returns words of less weight."""
    return Markup("<small>{}</small>").format(text)


def badge(outcome: str, words: str | None = None) -> Markup:
    """Returns an outcome with its sign and colour.

    Args:
        outcome: promote, hold, reject, pass or anything else.
        words: what to write; the outcome by default.
    """
    kind = outcome if outcome in BADGES else "open"
    return Markup('<span class="badge {}">{} {}</span>').format(kind, BADGES.get(outcome, "○"), words or outcome)


def listing(text: str, summary: str) -> Markup:
    """Returns a text that opens on a click."""
    return hidden(summary, Markup("<pre>{}</pre>").format(text))


def hidden(summary: str, body: Markup) -> Markup:
    """Returns a part that opens on a click."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, body)


def page_frame(page: str, height: int) -> str:
    """Returns a whole page inside a frame of its own.

    Args:
        page: a self-contained HTML document.
        height: of the frame, in pixels.
    """
    return f'<iframe srcdoc="{escape(page)}" width="100%" height="{height}" style="border: 1px solid #d5dbe3"></iframe>'


def _is_figure(value: object) -> bool:
    words = Markup(str(value)).striptags()
    return _FIGURE.fullmatch(words) is not None or words.startswith(("[", "< 0"))


def _row(tag: str, cells: Sequence[object], right: Sequence[bool]) -> Markup:
    shown = (
        Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), Markup(' class="n"') if figures else "", cell)
        for cell, figures in zip(cells, right, strict=True)
    )
    return Markup("<tr>{}</tr>").format(Markup("").join(shown))


@cache
def _style() -> str:
    report = (resources.files("progressive_tf.reporting") / "style.css").read_text(encoding="utf-8")
    colours = re.search(r":root (\{.*?\})", report, re.DOTALL)
    own = (resources.files("progressive_tf.api") / "notebook.css").read_text(encoding="utf-8")
    return f".progressive-tf {colours.group(1) if colours else '{}'}\n{own}"
