"""A self-contained page: its style, its pictures, charts that answer to the mouse, and tables that can be sorted.

Charts are Bokeh's, tables DataTables' (from the package itables). Their programs are part of the page, which needs no
network. Without JavaScript, tables are plain and charts are replaced by their pictures.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

from shaping.analysis.charts import Chart, programs
from shaping.analysis.markup import SORTED
from shaping.analysis.style import Picture


def page(title: str, parts: Sequence[str | Chart]) -> str:
    """A self-contained page made of HTML parts and charts."""
    charts = [part for part in parts if isinstance(part, Chart)]
    body = "\n".join(_with_chart(part) if isinstance(part, Chart) else part for part in parts)
    tables = _sorting() if f'<table class="{SORTED}"' in body else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head>\n<body>\n"
        f"{body}\n{programs() if charts else ''}{''.join(chart.script for chart in charts)}{tables}</body></html>\n"
    )


def figure(shown: Picture) -> str:
    """A picture with its title and caption, as HTML that includes it."""
    title = escape(shown.title)
    return (
        f'<h2 id="{escape(shown.name)}">{title}</h2><figure>{_image(shown)}'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
    )


def _image(shown: Picture) -> str:
    data = f"data:image/{shown.kind};base64,{base64.b64encode(shown.png).decode()}"
    return f'<img alt="{escape(shown.title)}" src="{data}">'


def _with_chart(chart: Chart) -> str:
    """A chart with its title and caption; its picture is there for readers without JavaScript."""
    still = f"<noscript>{_image(chart.picture)}</noscript>" if chart.picture else ""
    return (
        f'<h2 id="{escape(chart.name)}">{escape(chart.title)}</h2><figure class="chart">{chart.div}{still}'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )


@cache
def _style() -> str:
    text = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/\n?", "", text)


@cache
def _sorting() -> str:
    """The script that makes tables sortable."""
    found = find_spec("itables")
    if found is None or not found.submodule_search_locations:
        return ""
    path = Path(next(iter(found.submodule_search_locations))) / "html" / "dt_bundle.js"
    if not path.is_file():
        return ""
    module = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<script type="module">import DataTable from "data:text/javascript;base64,{module}";\n'
        f'new DataTable("table.{SORTED}");</script>\n'
    )
