"""Figures about what learners rely on: the error of opponent models, and the shaping term with its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.matches_over_updates import Trace, trace
from shaping.analysis.record import Record
from shaping.analysis.shown_cells import Selection
from shaping.analysis.style import COLOURS, DASHES, Picture, new_figure, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

READING = (
    "How to read these figures: the shaping term is what the rule adds to a learner's own gradient because its "
    "opponents learn. When games are played it is an estimate, made here again from independent batches. Its norm "
    "is the length of the mean of these estimates, minus what noise adds to that length; its sd is how far a "
    "single estimate lies from the mean. Where the sd is larger than the norm, a single update is dominated by "
    "noise, and only the sum of many updates follows the term. The ratio grows roughly with the square root of the "
    "batch, so that four times as much play doubles it. The model error is the KL divergence of the opponents' "
    "policies from the learner's models of them, in nats per decision: at 0 a learner shapes its actual opponents, "
    "and as the error grows it shapes players that do not exist. An error that falls and then rises again means "
    "that opponents change faster than the models follow. Trust, which is 1 at most, multiplies the lookahead rate of "
    "learners that judge by how much several models agree: it leaves the error as it is, and shortens the step "
    "that relies on the models."
)


def model_errors(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Error of opponent models over updates, one line per cell, with trust in them on the right if it is not full."""
    errors = _traces(record, chosen, "model_error")
    if not errors:
        return None
    trusts = _traces(record, chosen, "model_trust")
    trusts = trusts if any(np.nanmin(t.mean) < 1 - 1e-6 for t in trusts.values()) else {}
    names = {place: wrapped(chosen.names[place], 34, 3) for place in errors}
    lines = sum(name.count("\n") + 1 for name in names.values())
    figure = new_figure(3.4 + 0.16 * lines / 3, 10.0 if trusts else 6.5)
    grid = figure.subplots(1, 2 if trusts else 1, squeeze=False)[0]
    for k, (place, one) in enumerate(errors.items()):
        _log_line(grid[0], one, k, names[place])
    grid[0].set(yscale="log", xlabel="updates", ylabel="model error, nats")
    for place, one in trusts.items():
        k = list(errors).index(place) if place in errors else len(errors)
        mean = one.mean[:, -1]
        grid[1].fill_between(
            one.updates, one.low[:, -1], one.high[:, -1], color=COLOURS[k % len(COLOURS)], alpha=0.2, lw=0
        )
        grid[1].plot(one.updates, mean, color=COLOURS[k % len(COLOURS)], ls=DASHES[k % len(DASHES)], lw=1.6)
    if trusts:
        grid[1].set(ylim=(-0.03, 1.05), xlabel="updates", ylabel="trust in the models")
    _plain_log(grid[0])
    _finish(figure, grid, len(errors) > 1)
    caption = (
        "KL divergence of the opponents' policies from a learner's models of them, on the states of the batch to which "
        "the models are fitted next. Mean over the learners that have models and over finite matches, with its 95 % "
        "band."
    )
    if trusts:
        caption += " Right: the factor by which trust multiplies the lookahead rate; 1 for learners without trust."
    return picture("model_errors", "Opponent models", f"{caption} {chosen.note}".strip(), figure)


def shaping_terms(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Norm of the shaping term and spread of its estimate, one panel per cell; in the last panel their ratio."""
    norms, sds = (_traces(record, chosen, name) for name in ("shaping_norm", "shaping_sd"))
    places = [place for place in norms if place in sds]
    if not places:
        return None
    panels = len(places) + 1
    columns = 2 if panels in (2, 4) else 3
    rows = -(-panels // columns)
    lines = sum(wrapped(chosen.names[p], 34, 3).count("\n") + 1 for p in places) if len(places) > 1 else 0
    figure = new_figure(0.5 + 2.6 * rows + 0.16 * lines / 3)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[panels:]:
        axes.set_axis_off()
    for axes, place in zip(grid, places, strict=False):
        _log_line(axes, norms[place], 0, "norm of the mean")
        _log_line(axes, sds[place], 1, "sd of one estimate")
        axes.set(yscale="log", xlabel="updates", ylabel="shaping term")
        if len(places) > 1:
            axes.set_title(wrapped(chosen.names[place], 120 // columns, 2), loc="left", fontsize=8.5)
    _same_range(grid[: len(places)])
    last = grid[len(places)]
    last.axhline(1, color="black", lw=0.8, ls=":", zorder=1)
    for k, place in enumerate(places):
        up, down = norms[place].mean[:, -1], sds[place].mean[:, -1]
        ratio = np.divide(up, down, out=np.full_like(up, np.nan), where=(down > 0) & (up > 0))
        name = wrapped(chosen.names[place], 34, 3)
        # The first two colours are used for norm and sd.
        style = {"color": COLOURS[(k + 2) % len(COLOURS)], "ls": DASHES[k % len(DASHES)], "lw": 1.6}
        last.plot(norms[place].updates, ratio, label=name, **style)
    last.set(yscale="log", xlabel="updates", ylabel="signal to noise, norm / sd")
    for axes in grid[:panels]:
        _plain_log(axes)
    _finish(figure, grid[:panels], True, len(places) > 1)
    caption = (
        "The shaping term, estimated repeatedly from independent play: length of the mean of the estimates, minus "
        "what noise adds to it, and the root mean square distance of one estimate from that mean. Means over learners "
        "and finite matches with 95 % bands. Last panel: their ratio; below 1, one estimate is more noise than "
        "signal. Lines are interrupted where the length of the mean is 0."
    )
    return picture("shaping_terms", "Shaping term", f"{caption} {chosen.note}".strip(), figure)


def _traces(record: Record, chosen: Selection, name: str) -> dict[int, Trace]:
    """Traces of a variable by position in the selection, for the cells that have it."""
    found = {place: trace(record, cell, name) for place, cell in enumerate(chosen.cells)}
    return {place: one for place, one in found.items() if one is not None}


def _log_line(axes: Axes, one: Trace, index: int, label: str) -> None:
    """Mean over players with its band, for a logarithmic axis: the band uses the relative error, so that it stays above
    0."""
    mean = np.where(one.mean[:, -1] > 0, one.mean[:, -1], np.nan)
    factor = np.exp(np.minimum(one.half[:, -1] / mean, 50))
    colour = COLOURS[index % len(COLOURS)]
    axes.fill_between(one.updates, mean / factor, mean * factor, color=colour, alpha=0.2, lw=0)
    axes.plot(one.updates, mean, color=colour, ls=DASHES[index % len(DASHES)], lw=1.6, label=label)


def _same_range(panels: Any) -> None:
    ends = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _plain_log(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, and more of them if it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    decades = np.log10(high / low)
    axes.yaxis.set_major_locator(
        LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if decades < 0.7 else (1, 2, 5) if decades < 2 else (1,))
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _finish(figure: Any, panels: Any, named: bool, last: bool = False) -> None:
    for axes in panels:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if not named:
        return
    handles, labels = panels[0].get_legend_handles_labels()
    if last:
        more = panels[-1].get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    across = 4 if figure.get_figwidth() > 8 else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=min(across, len(labels)), frameon=False)
