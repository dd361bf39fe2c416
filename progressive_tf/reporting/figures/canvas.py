"""From a painted figure to SVG that can stand inside the page: scaled, themed and free of outside references."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 4.5
"""Inches. Every figure is this narrow, so that its 10-point text is still readable on a phone."""

# Okabe & Ito (2008): distinguishable with the common kinds of colour blindness. Each is a CSS variable of the page,
# which gives it another value in dark mode.
COLOURS = {
    "ink": "#1d2530",
    "muted": "#5a6675",
    "line": "#d5dbe3",
    "soft": "#eef1f5",
    "paper": "#fefefd",
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#009e73",
    "orange": "#e69f00",
}
OUTCOME_COLOURS = {"pass": "green", "hold": "orange", "reject": "vermilion", "not-applicable": "muted"}
DECISION_COLOURS = {"promote": "green", "hold": "orange", "reject": "vermilion"}

_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "axes.unicode_minus": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "hatch.color": COLOURS["muted"],
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a label such as "$5" is text
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "progressive_tf",
}


def draw(name: str, description: str, paint: Callable[[Figure], None], height: float, width: float = WIDTH) -> Markup:
    """Returns an `<svg>` element.

    Args:
        name: prefix of every id inside; unique on the page.
        description: what a reader who cannot see the figure should know.
        paint: draws on an empty figure.
        height: inches.
        width: inches.
    """
    stream = io.StringIO()
    with _painted(paint, height, width) as figure:
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)
    return _inline(stream.getvalue(), name, description)


def paint_png(path: Path, paint: Callable[[Figure], None], height: float, width: float = WIDTH) -> None:
    """Writes a figure as a PNG file on white paper.

    Args:
        path: of the file, whatever its suffix.
        paint: draws on an empty figure.
        height: inches.
        width: inches.
    """
    with _painted(paint, height, width) as figure:
        figure.set_facecolor(COLOURS["paper"])
        figure.set_dpi(160)
        FigureCanvasAgg(figure).print_png(str(path))


@contextmanager
def _painted(paint: Callable[[Figure], None], height: float, width: float) -> Iterator[Figure]:
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The reader's browser draws the text with its own fonts; what matplotlib's font lacks does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        matplotlib.rcdefaults()  # a matplotlibrc of the user's must not change the page
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.07))
        paint(figure)
        yield figure


def shorten(text: str, length: int = 18) -> str:
    """Returns `text` on one line, printable and at most `length` characters long."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    plain = " ".join(plain.split()) or "(empty)"
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def shorten_all(texts: Sequence[str], length: int = 18) -> list[str]:
    """Returns texts as `shorten` does, or cut in their middle where they would become equal."""
    short = [shorten(text, length) for text in texts]
    if len(set(short)) == len(set(texts)):
        return short
    whole = [shorten(text, max(length, len(text))) for text in texts]
    begin = (length - 1) // 2
    return [text if len(text) <= length else f"{text[:begin]}…{text[begin + 1 - length :]}" for text in whole]


def colour(name: str) -> str:
    """Returns the figure colour called `name`."""
    return COLOURS[name]


def clear_frame(axes: Axes, *, keep: Sequence[str] = ()) -> None:
    """Hides the axes' spines other than `keep`, and its tick marks."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)
    axes.tick_params(length=0)


def _inline(document: str, name: str, description: str) -> Markup:
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', body)
    opening = f'<svg role="img" aria-label="{escape(description)}" {view.group() if view else ""}>'
    body = opening + body[body.index(">") + 1 :]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    for variable, value in COLOURS.items():
        body = body.replace(f": {value}", f": var(--{variable})").replace(f'"{value}"', f'"var(--{variable})"')
    return Markup(body.strip())
