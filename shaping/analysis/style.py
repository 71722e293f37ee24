"""The style of figures: colours that the colour-blind can distinguish, sizes, and PNG bytes without a display."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without yellow, which is hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#888888")
DASHES = ("-", (0, (4, 2)), (0, (1, 1.2)), "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)))
GREY = "#666666"
WIDTH = 10.0
"""Inches; a figure is 1000 px wide on a page, so that 9 points appear as 12 px."""

RC = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "font.family": "DejaVu Sans",
}


@dataclass(frozen=True)
class Picture:
    """A figure for the report: name (of the file, without .png), title, caption, PNG bytes (or those of another kind of
    image, given by `kind`), and the matplotlib figure, from which a PDF can be made; None for none."""

    name: str
    title: str
    caption: str
    png: bytes
    kind: str = "png"
    drawn: Any = field(default=None, compare=False, repr=False)


def import_matplotlib() -> Any:
    """matplotlib, whatever backend MPLBACKEND names. The figures here create their own canvas and need no backend.

    matplotlib cannot be imported if MPLBACKEND names a backend that is not installed, which can happen in a process
    started by a notebook. A backend that it accepts stays selected for later plots in this process.
    """
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = asked
    return matplotlib


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size in inches with automatic layout; needs no display and no pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """The figure as PDF bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    """A figure as a picture for the report."""
    return Picture(name, title, caption, png(figure), drawn=figure)


def nothing_here(axes: Axes, text: str = "no finite match") -> None:
    """Write a note in an empty panel."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
