"""All the figures of a record, as PNG bytes and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from shaping.analysis.curve_figures import learning_curves
from shaping.analysis.match_figures import outcomes, policies, strategies
from shaping.analysis.record import Record
from shaping.analysis.selection import select_cells
from shaping.analysis.style import RC, Picture
from shaping.analysis.sweep_figures import sweep_figures


def draw(record: Record, summary: dict[str, Any]) -> list[Picture]:
    """Every figure that applies to this record.

    Sweep maps or lines, learning curves, distribution of outcomes, learned policies, nearest strategies.
    Figures of single cells show at most ten cells and say which.
    """
    import matplotlib

    if not summary["cells"]:
        return []
    chosen = select_cells(summary["cells"])
    with matplotlib.rc_context(cast(Any, RC)):
        pictures = list(sweep_figures(summary))
        for figure in (learning_curves, outcomes, policies, strategies):
            picture = figure(record, summary, chosen)
            if picture is not None:
                pictures.append(picture)
    return pictures


def save(pictures: list[Picture], directory: str | Path) -> list[Path]:
    """Write each picture to DIRECTORY/<name>.png; returns the paths."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in pictures:
        path = directory / f"{picture.name}.png"
        path.write_bytes(picture.png)
        paths.append(path)
    return paths
