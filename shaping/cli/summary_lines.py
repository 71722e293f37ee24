"""A summary as the terminal shows it."""

from pathlib import Path

_SHARES = ("cooperative", "tft_match", "tft_found", "nash_match")


def summary_lines(folder: Path) -> list[str]:
    """One line for each of the first twelve cells; the report has the others."""
    from shaping.runtime.existing_run import summary_of
    from shaping.runtime.progress import human

    summary = summary_of(folder)
    lines = []
    if summary is None:
        return lines
    for cell in summary["cells"][:12]:
        # As a configuration writes it; a record cannot have a * in a name.
        keys = {k: k.replace("players.all.", "players.*.") for k in cell["coordinates"]}
        name = ", ".join(str(v) if k == "variant" else f"{keys[k]}={_short(v)}" for k, v in cell["coordinates"].items())
        values = " ".join("-" if v is None else f"{v:.3f}" for v in cell["value_mean"])
        shares = [f"{k} {cell[k]:.0%}" for k in _SHARES if cell.get(k) is not None]
        shares += [f"{k} {cell[k]:.3g}" for k in ("consistency_loss",) if cell.get(k) is not None]
        declared = summary.get("variables", {})
        # The one measure that the environment would choose to show.
        of_environment = [v for v, a in declared.items() if a.get("source") == "environment" and not a.get("axis")]
        shown = [v for v in of_environment if declared[v].get("showcase")] or of_environment[:1]
        for measure in shown:
            each = cell.get(measure) or []
            if any(one is not None for one in each):
                values_each = " ".join("-" if one is None else f"{one:.3g}" for one in each)
                shares.append(f"{declared[measure]['label']} {values_each}")
        if cell.get("cooperation") is not None and "types" in cell:
            shares.insert(0, f"cooperation {cell['cooperation']:.3f}")
        shares += [f"{kind} {own['share']:.0%}" for kind, own in cell.get("types", {}).items() if own["share"]]
        if cell["diverged"]:
            shares.append(f"diverged {cell['diverged']:.1%} (median update {cell['diverged_at_median']:g})")
        lines.append(f"  {name or 'all matches':<40} value {values}  {'  '.join(shares)}")
    hidden = len(summary["cells"]) - 12
    if hidden > 0:
        lines.append(f"  ... and {hidden} more cells in {folder / 'summary.json'}")
    timing = summary["timing"]
    if timing is None:
        return lines
    # Populations are told in generations.
    rate, counted = timing.get("match_updates_per_s"), "match-updates"
    if rate is None:
        rate, counted = timing["generations_per_s"], "generations"
    lines.append(
        f"compiled in {timing['compile_s']:.1f} s, ran in {timing['run_s']:.1f} s: "
        f"{human(rate)} {counted}/s on {timing['devices']}"
    )
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
