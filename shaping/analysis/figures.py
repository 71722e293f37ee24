"""All figures of a record, as PNG bytes and as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from shaping.analysis.curve_figures import learning_curves
from shaping.analysis.diagnosis_figures import model_errors, shaping_terms
from shaping.analysis.label_figures import by_label
from shaping.analysis.match_figures import outcomes, policies
from shaping.analysis.play_figures import play_curves
from shaping.analysis.record import Record, folder_of
from shaping.analysis.shown_cells import MANY_CELLS, Selection, measured_cells, select_cells
from shaping.analysis.strategy_figures import strategies
from shaping.analysis.style import RC, Picture, import_matplotlib, pdf
from shaping.analysis.sweep_figures import sweep_figures
from shaping.analysis.trial_figures import trial_curves


def draw(record: Record, summary: dict[str, Any]) -> list[Picture]:
    """Every figure that applies to this record.

    Sweep maps or lines, learning curves, curves along trials, distributions of outcomes, learned policies and nearest
    strategies; for what the record declares as measured, curves and maps, the error of opponent models and the shaping
    term. Figures of single cells show at most ten or 24 cells and say which.
    """
    matplotlib = import_matplotlib()
    if not summary["cells"]:
        return []
    chosen, many = select_cells(summary["cells"]), select_cells(summary["cells"], MANY_CELLS)
    with matplotlib.rc_context(cast(Any, RC)):
        pictures = list(sweep_figures(summary))
        pictures += _applicable((learning_curves,), record, summary, many)
        pictures += _applicable((trial_curves,), record, summary, chosen)
        measured = measured_cells(summary)
        if measured:
            shown = select_cells(summary["cells"], among=measured)
            pictures += play_curves(record, summary, shown) + by_label(record, summary, shown)
            pictures += _applicable((model_errors, shaping_terms), record, summary, shown)
        pictures += _applicable((outcomes,), record, summary, many)
        pictures += _applicable((policies,), record, summary, chosen)
        pictures += _applicable((strategies,), record, summary, many)
    return pictures


def _applicable(
    figures: Sequence[Callable[[Record, dict[str, Any], Selection], Picture | None]],
    record: Record,
    summary: dict[str, Any],
    chosen: Selection,
) -> list[Picture]:
    found = [figure(record, summary, chosen) for figure in figures]
    return [picture for picture in found if picture is not None]


def save(pictures: list[Picture], directory: Any, pdfs: bool = False) -> list[Any]:
    """Write each picture to DIRECTORY/<name>.png and, with `pdfs`, DIRECTORY/<name>.pdf; returns the paths of the
    former."""
    directory = folder_of(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in pictures:
        path = directory / f"{picture.name}.png"
        path.write_bytes(picture.png)
        paths.append(path)
        if pdfs and picture.drawn is not None:
            with import_matplotlib().rc_context(cast(Any, RC)):
                (directory / f"{picture.name}.pdf").write_bytes(pdf(picture.drawn))
    return paths
