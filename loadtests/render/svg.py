"""Draws a chart as SVG that uses the page's own colour for its text and axes."""

import html
import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that colour-blind readers can tell apart (after Okabe and Ito), on white and on black.
COLOURS = ("#2f86c6", "#e69f00", "#0aa27a", "#cc79a7", "#d55e00", "#56b4e9", "#b8a200")
# Dashes distinguish variants where colours cannot.
_DASHES = ((), (5, 2), (1, 1.5), (6, 2, 1, 2))
# A placeholder for the page's own colour until the chart is finished.
INK = "#0a0b0c"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, so that the page can be searched and read aloud
    "text.parse_math": False,  # a dollar in a variant's name is a dollar
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True, kw_only=True)
class Key:
    """The style of one series in a chart."""

    name: str
    colour: str
    # Lengths of dash and gap in line widths; empty: solid.
    dash: tuple[float, ...] = ()

    @property
    def line(self) -> dict[str, Any]:
        """Return matplotlib's arguments for a line."""
        return {"color": self.colour, "linestyle": (0, self.dash) if self.dash else "-"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An SVG with its legend and caption."""

    svg: str
    keys: tuple[Key, ...]
    caption: str


def make_keys(names: Iterable[str]) -> dict[str, Key]:
    """Assign a colour and a dash to each name, the same in every chart of a page."""
    return {
        name: Key(name=name, colour=colour, dash=dash)
        for name, colour, dash in zip(names, cycle(COLOURS), cycle(_DASHES))
    }


def draw(
    alt: str,
    drawers: list[Callable[[Axes], None]],
    *,
    height: float = 3.2,
    width: float = 5.0,
    shared: bool = True,
) -> str:
    """Draw panels one above the other, on one x axis if it is `shared`. `alt` describes the chart in words,
    `height` and `width` are in inches."""
    # The salt keeps ids distinct, because all charts are in one page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # The browser has glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = Figure(figsize=(width, height), layout="constrained")
        columns = figure.subplots(len(drawers), 1, squeeze=False, sharex=shared)
        for (axes,), drawer in zip(columns, drawers, strict=True):
            drawer(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    _, opening, rest = buffer.getvalue().partition("<svg")
    return f'{opening} role="img" aria-label="{html.escape(alt)}"{rest}'.replace(INK, "currentColor")


def mark_limit(axes: Axes, limit_ms: float | None) -> None:
    """Draw a dashed line at the limit, if there is one."""
    if limit_ms is None:
        return
    axes.axhline(limit_ms, color=INK, linestyle=(0, (2, 2)), linewidth=1)
    axes.annotate(
        f"limit {limit_ms:g} ms",
        (0, limit_ms),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=9,
    )
