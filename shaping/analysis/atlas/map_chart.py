"""The map as a chart: every policy a point that says who it is, coloured by what the reader chooses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from shaping.analysis.charts import GREY, THEME, Chart
from shaping.analysis.style import Picture

PALETTE: tuple[str, ...] = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#8C564B",
    "#7F7FCF",
    "#BCBD22",
    "#17BECF",
    "#E377C2",
    "#2CA02C",
    "#FF9896",
    "#98A9D7",
    "#C49C94",
    "#9EDAE5",
    "#DBB40C",
    "#5C8A8A",
    "#B35A9E",
    "#6B8E23",
)
"""Colours of groups: first those of `style.COLOURS` that are neither black nor grey, then more, for many groups."""
_POINTS = "atlas_points"


@dataclass(frozen=True)
class Colouring:
    """One way to colour the points.

    Attributes:
      name: what the reader chooses.
      colours: of the points, [policies].
      key: pairs of a colour and what it means.
    """

    name: str
    colours: Sequence[str]
    key: Sequence[tuple[str, str]]


def by_group(name: str, groups: Sequence[str], order: Sequence[str] = ()) -> Colouring:
    """A colour for each group, in the given order or the largest first; groups beyond the palette are grey."""
    known = list(order) or [group for group, _ in Counter(groups).most_common()]
    of = {group: PALETTE[place] if place < len(PALETTE) else GREY for place, group in enumerate(known)}
    key = [(colour, group) for group, colour in of.items() if colour != GREY]
    more = len(of) - len(key)
    return Colouring(name, [of[group] for group in groups], key + ([(GREY, f"{more} more")] if more else []))


def by_number(name: str, values: np.ndarray, palette: str = "Viridis256", reverse: bool = False) -> Colouring:
    """A colour from a scale that spans all but the outermost hundredths of the values; unknown ones are grey."""
    from bokeh import palettes

    colours = list(getattr(palettes, palette))
    colours = colours[::-1] if reverse else colours
    values = np.asarray(values, float)
    known = np.isfinite(values)
    low, high = (float(np.quantile(values[known], q)) for q in (0.01, 0.99)) if known.any() else (0.0, 1.0)
    span = high - low if high > low else 1.0
    place = np.clip(np.nan_to_num((values - low) / span) * (len(colours) - 1), 0, len(colours) - 1).astype(int)
    found = [colours[i] if ok else GREY for i, ok in zip(place, known, strict=True)]
    key = [(colours[int(q * (len(colours) - 1))], f"{low + q * span:.3g}") for q in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Colouring(name, found, key + ([] if known.all() else [(GREY, "not known")]))


def map_chart(
    places: np.ndarray,
    colourings: Sequence[Colouring],
    hover: Mapping[str, Sequence[str]],
    small: np.ndarray,
    labels: Sequence[tuple[float, float, str]],
    caption: str,
    picture: Picture | None = None,
) -> Chart:
    """The map.

    Args:
      places: [policies, 2].
      colourings: that can be chosen, the first one is shown.
      hover: what is said of each policy, [policies] each, by heading.
      small: bool [policies], who is drawn small and faint.
      labels: x, y and the text of names on the map.
      caption: of the chart.
      picture: of the same, for readers without JavaScript.
    """
    from bokeh.embed import components
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure
    from bokeh.themes import Theme

    plot = figure(
        width=960,
        height=680,
        tools="wheel_zoom,pan,box_zoom,reset",
        active_scroll=None,
        toolbar_location="above",
        sizing_mode="scale_width",
        max_width=960,
        match_aspect=True,
    )
    plot.axis.visible = False
    plot.grid.grid_line_color = None
    # The faint ones first, so that they do not cover others.
    order = np.argsort(~small, kind="stable")
    data: dict[str, Any] = {
        "x": places[order, 0],
        "y": places[order, 1],
        "size": np.where(small[order], 4.0, 6.0),
        "alpha": np.where(small[order], 0.35, 0.8),
    }
    data |= {f"colour{i}": [each.colours[j] for j in order] for i, each in enumerate(colourings)}
    data |= {f"more{i}": [texts[j] for j in order] for i, texts in enumerate(hover.values())}
    points = plot.scatter(
        x="x",
        y="y",
        size="size",
        fill_color="colour0",
        fill_alpha="alpha",
        line_color=None,
        source=ColumnDataSource(data),
        name=_POINTS,
    )
    x, y, texts = ([each[i] for each in labels] for i in range(3))
    # Legible over points, on light pages and dark ones.
    background: dict[str, Any] = {"background_fill_color": "white", "background_fill_alpha": 0.65}
    named = ColumnDataSource({"x": x, "y": y, "text": texts})
    plot.scatter(x="x", y="y", size=9, marker="cross", line_color=GREY, line_width=1.5, source=named)
    plot.text(
        x="x",
        y="y",
        text="text",
        x_offset=6,
        y_offset=-4,
        text_color="#222222",
        text_font_size="12px",
        text_font_style="bold",
        source=named,
        **background,
    )
    tips = [(heading, f"@more{i}") for i, heading in enumerate(hover)]
    plot.add_tools(HoverTool(renderers=[points], tooltips=tips, limit=1))
    script, div = components(plot, theme=Theme(json=THEME))
    return Chart("map", "The map", caption, _chooser(colourings) + div, script, picture)


def _chooser(colourings: Sequence[Colouring]) -> str:
    """A list of the colourings, and the key of the one that is chosen."""
    options = "".join(f'<option value="{i}">{escape(each.name)}</option>' for i, each in enumerate(colourings))
    keys = "".join(
        f'<p class="note" data-key="{i}"{"" if i == 0 else " hidden"}>'
        + " ".join(
            f'<span style="white-space:nowrap"><span style="color:{colour}">&#9679;</span> {escape(text)}&ensp;</span>'
            for colour, text in each.key
        )
        + "</p>"
        for i, each in enumerate(colourings)
    )
    act = (
        "for (const one of Bokeh.documents) { const points = one.get_model_by_name(" + json.dumps(_POINTS) + ");"
        " if (points) points.glyph.fill_color = {field: 'colour' + this.value}; }"
        " for (const key of document.querySelectorAll('[data-key]')) key.hidden = key.dataset.key != this.value;"
    )
    return f'<p><label>Colour <select id="colouring" onchange="{escape(act)}">{options}</select></label></p>{keys}'
