"""An atlas's summary and page, made from its Dataset alone."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import numpy as np

from shaping.analysis.atlas.clusters import shown
from shaping.analysis.atlas.film import film
from shaping.analysis.atlas.map_chart import Colouring, by_group, by_number, map_chart
from shaping.analysis.charts import Chart
from shaping.analysis.damaged_files import DamagedRecordError, unreadable_piece
from shaping.analysis.markup import number, percent, table
from shaping.analysis.page import figure, page
from shaping.analysis.style import GREY, RC, Picture, import_matplotlib, new_figure, picture

_MOST_ROWS = 200
_NEEDED = ("embedding", "map2", "map3", "cluster", "cluster_name", "drift", "reward", "partner_reward", "name")
_NEEDED += ("source", "rule", "match", "when", "track", "last")
_MOST_FILMS = 4


def write_atlas(folder: Any, pdfs: bool = False) -> Any:
    """Writes summary.json, report/index.html and its pictures from the atlas.zarr of a folder, with `pdfs` the still
    ones also as PDF; returns the path of the page.

    Raises:
      DamagedRecordError: if atlas.zarr cannot be read, or is of another version.
    """
    import xarray

    path = folder / "atlas.zarr"
    if told := unreadable_piece(path):
        raise DamagedRecordError(told)
    with xarray.open_zarr(str(path), consolidated=False, chunks=None) as opened:
        atlas = opened.load()
    if missing := [name for name in _NEEDED if name not in atlas]:
        raise DamagedRecordError(f"{path}: has no {missing[0]}; run `shaping atlas` again into a new folder")
    summary = {"version": str(atlas.attrs.get("version", ""))} | summary_of(atlas)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return _write_page(folder, atlas, summary, pdfs)


def summary_of(atlas: Any) -> dict[str, Any]:
    """The content of summary.json: how the atlas was made, its clusters, what became of each rule's learners, and the
    final policies, each with the named strategies nearest to it.

    Args:
      atlas: the Dataset of atlas.zarr.
    """
    known = ("game", "discount", "horizon", "against", "objective", "map", "episodes", "rounds", "spread")
    about = {key: atlas.attrs[key] for key in known if key in atlas.attrs}
    about = {key: value.item() if isinstance(value, np.generic) else value for key, value in about.items()}
    return {
        "policies": int(atlas.sizes["policy"]),
        **about,
        "clusters": [_cluster(atlas, i) for i in range(atlas.sizes["group"])],
        "drift": _drift(atlas),
        "players": [_player(atlas, int(i)) for i in np.flatnonzero(atlas["last"].values)],
    }


def _mean(atlas: Any, name: str, which: np.ndarray) -> float | None:
    if name not in atlas or not np.isfinite(atlas[name].values[which]).any():
        return None
    return float(np.nanmean(atlas[name].values[which]))


def _cluster(atlas: Any, group: int) -> dict[str, Any]:
    inside = np.flatnonzero(atlas["cluster"].values == group)
    found: dict[str, Any] = {"name": str(atlas["cluster_name"].values[group]), "policies": len(inside)}
    found |= {name: _mean(atlas, name, inside) for name in ("reward", "partner_reward", "cooperation")}
    if "table" in atlas:
        found["policy"] = [float(x) for x in atlas["table"].values[inside].mean(axis=0)]
    rules, counts = np.unique([str(rule) for rule in atlas["rule"].values[inside]], return_counts=True)
    found["rules"] = {str(rules[i]): int(counts[i]) for i in np.argsort(-counts)}
    return found


def _drift(atlas: Any) -> list[dict[str, Any]]:
    """For each source and time: the mean distance from where its learners were first, and how many are in each
    cluster."""
    found = []
    source, when, group = (atlas[name].values for name in ("source", "when", "cluster"))
    for each in dict.fromkeys(str(x) for x in source):
        times = np.unique(when[(source == each) & (when >= 0)])
        # A run whose last policies alone are known does not drift.
        if len(times) < 2:
            continue
        tracks = set(atlas["track"].values[(source == each) & (when == times[0])].tolist())
        for time in times.tolist():
            inside = (source == each) & (when == time) & np.isin(atlas["track"].values, list(tracks))
            counts = np.bincount(group[inside], minlength=atlas.sizes["group"])
            shares = {
                str(atlas["cluster_name"].values[i]): float(counts[i] / inside.sum()) for i in np.argsort(-counts)
            }
            found.append(
                {
                    "source": each,
                    "when": int(time),
                    "learners": int(inside.sum()),
                    "distance_from_first": float(np.nanmean(atlas["drift"].values[inside])),
                    "clusters": {name: share for name, share in shares.items() if share > 0},
                }
            )
    return found


def _player(atlas: Any, i: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: str(atlas[name].values[i]) for name in ("name", "source", "rule")}
    found["cluster"] = str(atlas["cluster_name"].values[atlas["cluster"].values[i]])
    if "nearest" in atlas:
        pairs = zip(atlas["nearest"].values[i], atlas["nearest_distance"].values[i], strict=True)
        found["nearest"] = [[str(name), round(float(distance), 4)] for name, distance in pairs]
    for name in ("reward", "partner_reward", "cooperation", "extortion_distance", "drift"):
        if name in atlas:
            found[name] = float(atlas[name].values[i]) if np.isfinite(atlas[name].values[i]) else None
    if "table" in atlas:
        found["policy"] = [round(float(x), 4) for x in atlas["table"].values[i]]
    return found


def _write_page(folder: Any, atlas: Any, summary: dict[str, Any], pdfs: bool) -> Any:
    from shaping.analysis.figures import save

    place = folder / "report"
    place.mkdir(exist_ok=True)
    places, names = atlas["map2"].values, [str(name) for name in atlas["name"].values]
    labels = [
        (float(places[i, 0]), float(places[i, 1]), shown(names[i]))
        for i in np.flatnonzero([str(each) == "strategy" for each in atlas["source"].values])
    ]
    groups = [str(name) for name in atlas["cluster_name"].values]
    colourings = _colourings(atlas, groups)
    still = [_still(places, colourings[0], labels, "map", "The map")]
    still.append(_solid(atlas["map3"].values, colourings[0]))
    films = _films(atlas, places, colourings[0], labels)
    save(still, place, pdfs)
    for shot in films:
        (place / f"{shot.name}.gif").write_bytes(shot.png)
    caption = (
        f"Every point is a policy, as it was seen to play; near points play alike ({summary['map']}). Crosses are "
        "named strategies. Small faint points are learners at earlier times. The wheel zooms once its tool is chosen."
    )
    parts: list[str | Chart] = [
        f"<h1>Atlas of {summary['policies']:,} policies</h1>",
        f"<p>{escape(_about(summary))}</p>",
        map_chart(places, colourings, _hover(atlas), ~atlas["last"].values, labels, caption, still[0]),
        *(figure(shot) for shot in films),
        _clusters(summary),
        _drifts(summary),
        _players(summary),
        figure(still[1]),
    ]
    path = place / "index.html"
    path.write_text(page("Atlas", parts), encoding="utf-8")
    return path


def _about(summary: dict[str, Any]) -> str:
    horizon = summary.get("horizon", "infinite")
    objective = summary["objective"].replace("both", "imitation and identification")
    return (
        f"Game {summary.get('game', '')}, horizon {horizon}. Each policy played {summary['episodes']} episodes of at "
        f"most {summary['rounds']} steps against {summary['against']}, in both seats. An encoder that saw nothing but "
        f"this play was trained on {objective}. Two embeddings of one policy, from halves of its episodes, are "
        f"typically {summary['spread']:.2f} apart; distances below that say nothing."
    )


def _colourings(atlas: Any, groups: list[str]) -> list[Colouring]:
    rules = [str(rule) for rule in atlas["rule"].values]
    found = [by_group("cluster", [groups[i] for i in atlas["cluster"].values], groups), by_group("rule", rules)]
    found.append(by_number("return", atlas["reward"].values))
    if "cooperation" in atlas:
        found.append(by_number("cooperation", atlas["cooperation"].values, "Cividis256"))
    found.append(by_number("advantage over the partner", atlas["reward"].values - atlas["partner_reward"].values))
    if "extortion_distance" in atlas and np.isfinite(atlas["extortion_distance"].values).any():
        name = "extortion (distance from the nearest extortionate strategy)"
        found.append(by_number(name, atlas["extortion_distance"].values, "Plasma256"))
    if np.isfinite(atlas["drift"].values).any():
        found.append(by_number("drift (distance from where a learner was first)", atlas["drift"].values))
    return found


def _hover(atlas: Any) -> dict[str, list[str]]:
    names = [str(name) for name in atlas["name"].values]
    rules, sources = ([str(x) for x in atlas[key].values] for key in ("rule", "source"))
    groups = [str(name) for name in atlas["cluster_name"].values]
    found = {"who": [shown(n) if s == "strategy" else n for n, s in zip(names, sources, strict=True)], "rule": rules}
    found["cluster"] = [groups[i] for i in atlas["cluster"].values]
    if "nearest" in atlas:
        pairs = zip(atlas["nearest"].values, atlas["nearest_distance"].values, strict=True)
        found["nearest"] = [", ".join(f"{shown(str(n))} {d:.2f}" for n, d in zip(*one, strict=True)) for one in pairs]
    if "table" in atlas:
        found["P(C | start, CC, CD, DC, DD)"] = [" ".join(f"{x:.2f}" for x in row) for row in atlas["table"].values]
    pairs = zip(atlas["reward"].values, atlas["partner_reward"].values, strict=True)
    found["return, partner's"] = [f"{own:.2f}, {other:.2f}" for own, other in pairs]
    if "cooperation" in atlas:
        found["cooperation"] = [f"{x:.2f}" for x in atlas["cooperation"].values]
    matches = atlas["match"].values
    found["replay"] = [
        f"shaping replay {source} --match {m}" if m >= 0 else "" for source, m in zip(sources, matches, strict=True)
    ]
    return found


def _still(
    places: np.ndarray, colouring: Colouring, labels: list[tuple[float, float, str]], name: str, title: str
) -> Picture:
    matplotlib = import_matplotlib()
    with matplotlib.rc_context(RC):
        drawn = new_figure(7.0)
        axes = drawn.subplots()
        axes.scatter(*places.T, s=5, c=list(colouring.colours), linewidths=0, alpha=0.7)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", "datalim")
        axes.spines[:].set_visible(False)
        for x, y, text in labels:
            axes.plot(x, y, "+", color="black", markersize=6)
            axes.annotate(text, (x, y), (3, 3), textcoords="offset points", fontsize=8, fontweight="bold")
        _key(drawn, axes, colouring)
        return picture(name, title, "Coloured by cluster; crosses are named strategies.", drawn)


def _solid(places: np.ndarray, colouring: Colouring) -> Picture:
    matplotlib = import_matplotlib()
    with matplotlib.rc_context(RC):
        drawn = new_figure(5.0)
        axes: Any = drawn.subplots(subplot_kw={"projection": "3d"})
        axes.scatter(*places.T, s=4, c=list(colouring.colours), linewidths=0, depthshade=True)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_zticks([])
        _key(drawn, axes, colouring)
        return picture(
            "map3", "In three dimensions", "Coloured by cluster; `map3` in atlas.zarr has the places.", drawn
        )


def _key(drawn: Any, axes: Any, colouring: Colouring) -> None:
    where = [np.array([np.nan])] * (3 if hasattr(axes, "get_zlim") else 2)
    for colour, text in colouring.key:
        axes.scatter(*where, s=16, c=colour, label=text)
    drawn.legend(loc="outside right upper", frameon=False)


def _films(
    atlas: Any, places: np.ndarray, colouring: Colouring, labels: list[tuple[float, float, str]]
) -> list[Picture]:
    source, when = (atlas[name].values for name in ("source", "when"))
    found = []
    for each in dict.fromkeys(str(x) for x in source):
        inside = source == each
        if len(np.unique(when[inside & (when >= 0)])) < 2 or len(found) == _MOST_FILMS:
            continue
        tracks = atlas["track"].values
        first = tracks[inside & (when == when[inside].min())]
        of_film = np.where(inside & np.isin(tracks, first), when, -1)
        used = {colouring.colours[int(i)] for i in np.flatnonzero(of_film >= 0)}
        key = [(colour, text) for colour, text in colouring.key if colour in used and colour != GREY]
        name = f"drift-{len(found)}"
        found.append(film(name, f"Drift of {each}", places, of_film, tracks, colouring.colours, labels, key, "time"))
    return found


def _clusters(summary: dict[str, Any]) -> str:
    tables = any("policy" in one for one in summary["clusters"])
    head = ["cluster", "policies", "return", "partner's", "cooperation"]
    head += ["P(C | start, CC, CD, DC, DD)"] * tables + ["of"]
    rows = []
    for one in summary["clusters"]:
        row = [escape(one["name"]), f"{one['policies']:,}", number(one["reward"]), number(one["partner_reward"])]
        row.append(percent(one["cooperation"]))
        if tables:
            row.append(", ".join(number(x, 2) for x in one["policy"]))
        most = list(one["rules"].items())[:3]
        rows.append([*row, escape(", ".join(f"{count} {rule}" for rule, count in most))])
    note = (
        "Clusters of k-means. Each has the name of the named strategy that most of its policies are nearest to, with "
        "-like added unless they can hardly be told apart from it. P(C) is a mean, as it was seen in play."
    )
    return f"<h2>Clusters</h2>{table(head, rows, 1)}" + f'<p class="note">{note}</p>'


def _drifts(summary: dict[str, Any]) -> str:
    if not summary["drift"]:
        return ""
    rows = []
    for one in summary["drift"]:
        most = list(one["clusters"].items())[:4]
        told = ", ".join(f"{name} {100 * share:.0f}&nbsp;%" for name, share in ((escape(n), s) for n, s in most))
        distance = number(one["distance_from_first"], 2)
        rows.append([escape(one["source"]), str(one["when"]), str(one["learners"]), distance, told])
    head = ["of", "update or generation", "learners", "distance from first", "clusters"]
    return f"<h2>Drift</h2>{table(head, rows, 1)}"


def _players(summary: dict[str, Any]) -> str:
    players = summary["players"]
    listed = players[-_MOST_ROWS:]
    head = ["policy", "rule", "cluster", "nearest, with distance", "return", "partner's"]
    rows = []
    for one in listed:
        near = ", ".join(f"{escape(shown(n))} {d:.2f}" for n, d in one.get("nearest", []))
        row = [escape(one["name"]), escape(one["rule"]), escape(one["cluster"]), near]
        rows.append([*row, number(one["reward"]), number(one["partner_reward"])])
    left = len(players) - len(listed)
    more = f'<p class="note">{left:,} more are in summary.json.</p>' if left else ""
    return f"<h2>Policies</h2>{table(head, rows, 3)}{more}"
