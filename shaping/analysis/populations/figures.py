"""Figures of populations: what they are made of over time, how they cooperate, and what their learners play at the
end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from shaping.analysis.populations.measures import range_of, types_of
from shaping.analysis.record import Record
from shaping.analysis.shown_cells import Selection, select_cells
from shaping.analysis.statistics import mean_ci95_columns
from shaping.analysis.style import COLOURS, RC, Picture, import_matplotlib, new_figure, nothing_here, picture
from shaping.analysis.sweep_figures import sweep_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 400
"""Generations drawn of a long run."""
_MOST_LEARNERS = 200_000
"""Learners of a cell whose policies are drawn."""
_BINS = 24
_STATES = {5: ("start", "CC", "CD", "DC", "DD"), 1: ("first move",)}


def draw(record: Record, summary: dict[str, Any]) -> list[Picture]:
    """Every figure that applies to this record of populations."""
    matplotlib = import_matplotlib()
    if not summary["cells"]:
        return []
    chosen = select_cells(summary["cells"], most=6)
    with matplotlib.rc_context(cast(Any, RC)):
        pictures = [_composition(record, chosen), _over_time(record, chosen), *sweep_figures(summary)]
        pictures += [made for made in (_policies(record, chosen), _lattice(record, chosen)) if made is not None]
    return pictures


def _panels(number: int, height: float, together: int = 1) -> tuple[Any, list[Axes]]:
    """Panels in rows of about three; `together` of them stay in one row."""
    columns = together * max(1, 3 // together) if together > 1 else min(number, 3)
    rows = -(-number // columns)
    figure = new_figure(0.5 + height * rows, min(10.0, 1.2 + 3.6 * columns))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    for axes in grid[number:]:
        axes.set_axis_off()
    return figure, grid[:number]


def _rows(record: Record, cell: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Some generations, and a variable at them, [match, generation, ...]."""
    generations = record.dataset["generation"].values
    step = max(1, -(-len(generations) // _MOST_ROWS))
    places = np.unique(np.append(np.arange(0, len(generations), step), len(generations) - 1))
    lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
    return generations[places], record.dataset[name].isel(match=slice(lo, hi), generation=places).values.astype(float)


def _composition(record: Record, chosen: Selection) -> Picture:
    names = types_of(record)
    figure, panels = _panels(len(chosen.cells), 2.4)
    for axes, cell, title in zip(panels, chosen.cells, chosen.names, strict=True):
        at, share = _rows(record, cell, "share")
        known = np.asarray(np.isfinite(share).all(axis=2))
        counted = known.sum(axis=0)
        mean = np.where(known[..., None], share, 0).sum(axis=0) / np.maximum(counted, 1)[:, None]
        if not counted.any():
            nothing_here(axes)
            continue
        axes.stackplot(at, *mean.T, labels=names, colors=[COLOURS[i % len(COLOURS)] for i in range(len(names))], lw=0)
        axes.set(title=title, xlim=(at[0], max(at[-1], 1)), ylim=(0, 1))
    figure.supxlabel("generation", fontsize=9)
    figure.supylabel("share of learners", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, max(len(labels), 1)), frameon=False)
    caption = f"Shares of the types, mean over populations. {chosen.note}".strip()
    return picture("composition", "Composition over time", caption, figure)


def _over_time(record: Record, chosen: Selection) -> Picture:
    """Cooperation over time, or the value in games whose actions are not cooperation and defection."""
    name = "cooperation" if "mean_cooperation" in record.dataset else "value"
    figure = new_figure(3.6, 8.5)
    axes = figure.subplots()
    for place, (cell, title) in enumerate(zip(chosen.cells, chosen.names, strict=True)):
        at, overall = _rows(record, cell, f"mean_{name}")
        low, high = np.clip(mean_ci95_columns(overall)[:2], *range_of(name))
        known = np.isfinite(overall)
        mean = np.where(known, overall, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        mean[~known.any(axis=0)] = np.nan
        colour = COLOURS[place % len(COLOURS)]
        axes.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(at, mean, color=colour, lw=1.4, label=title or None)
    axes.set_xlabel("generation")
    axes.set_ylabel(f"{name}, mean over learners")
    if name == "cooperation":
        axes.set_ylim(-0.03, 1.03)
    axes.grid(axis="y", color="#E5E5E5", lw=0.6)
    if any(chosen.names):
        columns = 1 if max(map(len, chosen.names)) > 40 else 2
        figure.legend(loc="outside upper center", ncols=columns, frameon=False)
    what = "How often learners cooperate while they play" if name == "cooperation" else "Normalised value of learners"
    caption = (
        f"{what}: mean over populations; the band is its 95 % interval, as in the table of cells. {chosen.note}".strip()
    )
    return picture("over_time", f"{name.capitalize()} over time", caption, figure)


def _policies(record: Record, chosen: Selection) -> Picture | None:
    """A histogram of P(cooperate) in every state over all learners, one panel for each type in a cell."""
    if not record.dataset.attrs.get("tabular") or "theta_final" not in record.dataset:
        return None
    states = _STATES.get(record.dataset.sizes["parameter"])
    if states is None:
        return None
    types = types_of(record)
    shown = [(cell, title, kind) for cell, title in zip(chosen.cells, chosen.names, strict=True) for kind in types]
    figure, panels = _panels(len(shown), 2.6, len(types))
    mesh = None
    for axes, (cell, title, kind) in zip(panels, shown, strict=True):
        found = _cooperation(record, cell, types.index(kind))
        if len(types) > 1:
            axes.set_title(kind)
            if kind == types[0]:
                axes.set_title(f"{title}\n", loc="left")
        else:
            axes.set_title(title)
        if not len(found):
            nothing_here(axes, "no learner of this type")
            continue
        edges = np.linspace(0, 1, _BINS + 1)
        counts = np.stack([np.histogram(column, edges)[0] for column in found.T], axis=1) / len(found)
        mesh = axes.pcolormesh(np.arange(len(states) + 1) - 0.5, edges, counts, cmap="viridis", vmin=0, vmax=1)
        axes.set_xticks(range(len(states)), states)
    if mesh is None:
        return None
    figure.supylabel("P(cooperate)", fontsize=9)
    figure.colorbar(mesh, ax=panels, fraction=0.05, pad=0.02, label="share of learners")
    caption = (
        "What learners play after the last generation: the share of a cell's learners of one type that cooperate with "
        f"a certain probability after each outcome of the last round, their own action first. {chosen.note}"
    ).strip()
    return picture("final_policies", "Final policies", caption, figure)


def _cooperation(record: Record, cell: int, kind: int) -> np.ndarray:
    """P(cooperate | state) of learners of one type in a cell, [learners, states]."""
    lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
    most = max(1, _MOST_LEARNERS // max(record.dataset.sizes["learner"], 1))
    theta = record.dataset["theta_final"].isel(match=slice(lo, min(hi, lo + most))).values.astype(float)
    types = record.dataset["type_final"].isel(match=slice(lo, min(hi, lo + most))).values
    theta = theta[types == kind]
    theta = theta[np.isfinite(theta).all(axis=1)]
    return 1 / (1 + np.exp(-np.clip(theta, -500, 500)))


def _lattice(record: Record, chosen: Selection) -> Picture | None:
    """Where the types are on a lattice at the end, in the first population of each cell."""
    width = lattice_width(record)
    if width is None:
        return None
    names = types_of(record)
    figure, panels = _panels(len(chosen.cells), 3.0)
    from matplotlib.colors import ListedColormap

    colours = ListedColormap([COLOURS[place % len(COLOURS)] for place in range(len(names))])
    for axes, cell, title in zip(panels, chosen.cells, chosen.names, strict=True):
        types = record.dataset["type_final"].isel(match=int(record.starts[cell])).values
        axes.imshow(types.reshape(-1, width), cmap=colours, vmin=-0.5, vmax=len(names) - 0.5, interpolation="nearest")
        axes.set(title=title, xticks=[], yticks=[])
    _type_legend(figure, names)
    caption = f"Types after the last generation, in the first population of a cell. {chosen.note}".strip()
    return picture("lattice", "The lattice at the end", caption, figure)


def lattice_width(record: Record) -> int | None:
    """The width of the lattice that learners of every cell live on; None if they do not, or cells differ in it."""
    swept = [str(key) for key in record.config.get("sweep") or {}]
    if any(key.startswith(("population.pairing", "population.size")) for key in swept):
        return None
    population = record.config.get("population") or {}
    pairing = population.get("pairing")
    pairing = {"kind": pairing} if isinstance(pairing, str) else pairing or {}
    if pairing.get("kind") != "lattice" or record.config.get("variants"):
        return None
    size = record.dataset.sizes["learner"]
    return int(pairing.get("width") or max(d for d in range(1, int(size**0.5) + 1) if size % d == 0))


def _type_legend(figure: Any, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=COLOURS[place % len(COLOURS)], label=name) for place, name in enumerate(names)]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(6, len(names)), frameon=False)
