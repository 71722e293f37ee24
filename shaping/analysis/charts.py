"""Charts that answer to the mouse: hovering shows numbers, a click leads to a place on the page. Drawn by Bokeh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from shaping.analysis.style import COLOURS, Picture

GREY = "#767676"
"""Of text and axes: readable on white and on black."""
_TITLE = {"text_color": GREY}
_AXIS = {
    "axis_label_text_color": GREY,
    "major_label_text_color": GREY,
    "axis_line_color": GREY,
    "major_tick_line_color": GREY,
    "minor_tick_line_color": None,
    "axis_label_text_font_style": "normal",
}
THEME = {
    "attrs": {
        "Plot": {"background_fill_alpha": 0.0, "border_fill_alpha": 0.0, "outline_line_color": None},
        "Axis": _AXIS,
        "Grid": {"grid_line_color": GREY, "grid_line_alpha": 0.2},
        "BaseColorBar": {"background_fill_alpha": 0.0, "major_label_text_color": GREY},
        "Legend": {"background_fill_alpha": 0.0, "label_text_color": GREY, "border_line_color": None},
    }
}


@dataclass(frozen=True)
class Chart:
    """A chart for a page.

    Attributes:
      name, title, caption: as of a `Picture`.
      div, script: its place in the page, and the script that draws it there.
      picture: of the same, for readers without JavaScript; None for none.
    """

    name: str
    title: str
    caption: str
    div: str
    script: str
    picture: Picture | None = None


def heat_map(
    name: str,
    title: str,
    caption: str,
    matrix: np.ndarray,
    names: Sequence[str],
    hover: Mapping[str, Sequence[str]],
    anchors: Sequence[str],
    palette: str = "Viridis256",
    picture: Picture | None = None,
) -> Chart:
    """A matrix of rows against columns, both called `names`.

    Args:
      name, title, caption, palette, picture: of the chart.
      matrix: [row, column]; NaN is left empty.
      names: of rows and of columns, all different.
      hover: what is shown of each cell besides row, column and value, [row * column] each, by heading.
      anchors: where a click on each cell leads, [row * column], without #.
    """
    from bokeh.models import BasicTicker, ColorBar, ColumnDataSource, FactorRange
    from bokeh.plotting import figure
    from bokeh.transform import linear_cmap

    n = len(names)
    rows, columns = np.divmod(np.arange(n * n), n)
    value = np.asarray(matrix, float).ravel()
    data: dict[str, Any] = {
        "row": [names[i] for i in rows],
        "column": [names[j] for j in columns],
        "value": value,
        "shown": [f"{x:.4g}" if np.isfinite(x) else "not known" for x in value],
        "anchor": list(anchors),
    }
    data |= {f"more{i}": list(texts) for i, texts in enumerate(hover.values())}
    finite = value[np.isfinite(value)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    colours: Any = linear_cmap("value", palette, low, high if high > low else low + 1, nan_color="rgba(0,0,0,0)")
    side = int(min(820, 300 + 24 * n))
    plot = figure(
        x_range=FactorRange(factors=list(names)),
        y_range=FactorRange(factors=list(reversed(names))),
        width=side,
        height=side - 60,
        x_axis_location="above",
        toolbar_location=None,
        tools="tap",
        sizing_mode="scale_width",
        max_width=side,
    )
    cells = plot.rect(
        x="column", y="row", width=1, height=1, source=ColumnDataSource(data), fill_color=colours, line_color=None
    )
    plot.xaxis.major_label_orientation = 1.0
    plot.xaxis.axis_label, plot.yaxis.axis_label = "column", "row"
    plot.grid.grid_line_color = None
    plot.add_layout(ColorBar(color_mapper=colours.transform, ticker=BasicTicker(), width=10), "right")
    tips = [("row", "@row"), ("column", "@column"), ("value", "@shown")]
    return _finished(name, title, caption, plot, cells, [*tips, *_more(hover)], picture)


def scatter(
    name: str,
    title: str,
    caption: str,
    x: np.ndarray,
    y: np.ndarray,
    axes: tuple[str, str],
    groups: Sequence[str],
    hover: Mapping[str, Sequence[str]],
    anchors: Sequence[str],
    picture: Picture | None = None,
) -> Chart:
    """Points, coloured by group.

    Args:
      name, title, caption, picture: of the chart.
      x, y: [points].
      axes: what x and y are.
      groups: [points]; the legend has them if there are not more than colours.
      hover, anchors: as in `heat_map`, [points].
    """
    from bokeh.models import ColumnDataSource, Legend
    from bokeh.plotting import figure

    plot = figure(
        width=820,
        height=420,
        tools="tap,wheel_zoom,pan,reset",
        toolbar_location="above",
        sizing_mode="scale_width",
        max_width=820,
        x_axis_label=axes[0],
        y_axis_label=axes[1],
    )
    distinct = list(dict.fromkeys(groups))
    place = {group: number for number, group in enumerate(distinct)}
    data: dict[str, Any] = {"x": np.asarray(x, float), "y": np.asarray(y, float), "group": list(groups)}
    data["colour"] = [COLOURS[place[group] % len(COLOURS)] for group in groups]
    data["colour"] = [GREY if colour == "#000000" else colour for colour in data["colour"]]
    data |= {"anchor": list(anchors)} | {f"more{i}": list(texts) for i, texts in enumerate(hover.values())}
    legend: dict[str, Any] = {"legend_group": "group"} if 1 < len(distinct) <= len(COLOURS) else {}
    points = plot.scatter(x="x", y="y", size=7, color="colour", alpha=0.7, source=ColumnDataSource(data), **legend)
    if legend:
        found = plot.legend[0]
        assert isinstance(found, Legend)
        plot.add_layout(found, "right")
    tips = [*_more(hover), (axes[0], "@x{0.000}"), (axes[1], "@y{0.000}")]
    return _finished(name, title, caption, plot, points, tips, picture)


def _more(hover: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(heading, f"@more{i}") for i, heading in enumerate(hover)]


def _finished(
    name: str, title: str, caption: str, plot: Any, glyphs: Any, tips: list[tuple[str, str]], picture: Picture | None
) -> Chart:
    """The chart with its hover, and with clicks that lead to the anchors of its glyphs."""
    from bokeh.embed import components
    from bokeh.models import HoverTool, OpenURL, TapTool
    from bokeh.themes import Theme

    plot.add_tools(HoverTool(renderers=[glyphs], tooltips=tips))
    tap = plot.select_one(TapTool)
    tap.renderers, tap.callback = [glyphs], OpenURL(url="#@anchor", same_tab=True)
    script, div = components(plot, theme=Theme(json=THEME))
    return Chart(name, title, caption, div, script, picture)


@cache
def programs() -> str:
    """Bokeh's own program, as a script of the page."""
    from bokeh.resources import Resources

    return Resources(mode="inline", components=["bokeh"]).render_js() + "\n"
