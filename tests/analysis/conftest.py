"""A record folder written by hand, as a run would leave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

IPD = np.array([[-1, -3, 0, -2], [-1, 0, -3, -2]], float)


OPPONENTS, HISTORIES = ["ALLC", "ALLD", "TFT"], [own + other for own in "SCD" for other in "SCD"]
ALONG = ("match", "update", "player")


def declared(label, source="play", low=None, high=None, description=None, **more):
    """What an array of a record says of itself."""
    ends = {name: end for name, end in (("low", low), ("high", high)) if end is not None}
    told = {"label": label, "source": source, "small": 0, "showcase": 0} | ends
    return told | {"description": description or f"what {label} means"} | more


OWN = {"source": "environment", "low": 0.0, "high": 1.0}
PLAY = {
    "reward_per_step": (ALONG, declared("reward per step")),
    "entropy": (ALONG, declared("entropy", low=0.0)),
    "value_exact": (ALONG, declared("value in closed form")),
    "own_fraction": (ALONG, declared("own colour", **OWN, showcase=True)),
    "model_error": (ALONG, declared("model error", "learner", low=0.0, small=True)),
    "model_trust": (ALONG, declared("trust", "learner", 0.0, 1.0)),
    "shaping_norm": (ALONG, declared("shaping norm", "learner", low=0.0, small=True)),
    "shaping_sd": (ALONG, declared("shaping sd", "learner", low=0.0, small=True)),
    "apples": (ALONG, declared("apples eaten", "environment", low=0.0, description="apples a player eats a step.")),
    "reward_against": (("match", "player", "opponent"), declared("reward against")),
    "scripted_reward_per_step": (("match", "player", "opponent"), declared("reward of scripts")),
    "own_fraction_against": (("match", "player", "opponent"), declared("own colour against", **OWN)),
    "cooperation_by_history": (("match", "player", "history"), declared("own colour by history", **OWN)),
    "pickups": (("match", "player", "colour"), {}),
    "theta_initial": (("match", "player", "parameter"), {}),
}


def _labels(players: int) -> list[str]:
    return [f"{a:0{players}b}".replace("0", "C").replace("1", "D") for a in range(2**players)]


def build(directory: Path, cells: list[dict], *, updates=4, config=None, attrs=None, chunks=None, declare=True) -> Path:
    """Write a record with one block of matches a cell.

    A cell: coordinates {key: scalar or [match]}, policy [match, player, state], value [match, update,
    player] or [match, player]; optional payoffs [player, joint action], vcc, vdd [player], diverged_at
    [match], noise, trajectory [match, update, player, state], consistency [match], and play {variable of
    PLAY: array}. Without `declare` the arrays say nothing of themselves, as in older records.
    """
    n = len(cells[0]["policy"])
    players = max(c["policy"].shape[1] for c in cells)
    states = max(c["policy"].shape[2] for c in cells)
    m = n * len(cells)
    steps = np.arange(updates + 1) if np.isscalar(updates) else np.asarray(updates)

    def empty(*shape):
        return np.full((m, *shape), np.nan, np.float32)

    out = {
        "value": (("match", "update", "player"), empty(len(steps), players)),
        "value_trajectory_mean": (("match", "player"), empty(players)),
        "policy": (("match", "player", "state"), empty(players, states)),
        "diverged_at": (("match",), np.full(m, -1, np.int32)),
        "payoffs": (("match", "player", "joint_action"), empty(players, 2**players)),
        "discount": (("match",), np.full(m, 0.96, np.float32)),
        "noise": (("match", "player"), empty(players)),
        "value_cooperation": (("match", "player"), empty(players)),
        "value_defection": (("match", "player"), empty(players)),
    }
    if any("trajectory" in c for c in cells):
        out["policy_trajectory"] = (("match", "update", "player", "state"), empty(len(steps), players, states))
    if any("consistency" in c for c in cells):
        out["consistency_loss"] = (("match",), empty())
    sizes = {"match": m, "update": len(steps), "player": players, "colour": players, "parameter": 1}
    sizes |= {"opponent": len(OPPONENTS), "history": len(HISTORIES)}
    for name in sorted({k for c in cells for k in c.get("play", {})}):
        dims, told = PLAY[name]
        out[name] = (dims, empty(*(sizes[d] for d in dims[1:])), told if declare else {})
    keys = sorted({k for c in cells for k in c.get("coordinates", {})})
    columns: dict[str, list] = {k: [] for k in keys}
    for i, cell in enumerate(cells):
        rows = slice(i * n, (i + 1) * n)
        p, s = cell["policy"].shape[1:]
        payoffs = np.asarray(cell.get("payoffs", IPD))
        value = np.asarray(cell["value"], float)
        if value.ndim == 2:
            value = np.repeat(value[:, None], len(steps), axis=1)
        diverged = np.asarray(cell.get("diverged_at", np.full(n, -1)))
        value = np.where((diverged >= 0)[:, None, None] & (steps >= diverged[:, None])[..., None], np.nan, value)
        out["value"][1][rows, :, :p] = value
        if len(steps) > 1:
            out["value_trajectory_mean"][1][rows, :p] = value[:, 1:].mean(axis=1)
        out["policy"][1][rows, :p, :s] = cell["policy"]
        out["diverged_at"][1][rows] = diverged
        out["payoffs"][1][rows, :p, : 2**p] = payoffs
        out["noise"][1][rows, :p] = cell.get("noise", 0.0)
        out["value_cooperation"][1][rows, :p] = cell.get("vcc", payoffs[..., 0])
        out["value_defection"][1][rows, :p] = cell.get("vdd", payoffs[..., -1])
        if "trajectory" in cell:
            out["policy_trajectory"][1][rows, :, :p, :s] = cell["trajectory"]
        if "consistency" in cell:
            out["consistency_loss"][1][rows] = cell["consistency"]
        for name, array in cell.get("play", {}).items():
            out[name][1][rows] = array
        for k in keys:
            columns[k].extend(np.broadcast_to(np.asarray(cell["coordinates"][k]), n).tolist())
    coords = {
        "cell": ("match", np.repeat(np.arange(len(cells)), n)),
        "match_in_cell": ("match", np.tile(np.arange(n), len(cells))),
        "seed": ("match", np.zeros(m, int)),
        "update": ("update", steps),
        "player": ("player", np.arange(players)),
        "state": ("state", np.array((["start"] + _labels(players))[:states], object)),
        "joint_action": ("joint_action", np.array(_labels(players), object)),
    } | {k: ("match", np.asarray(v, object if isinstance(v[0], str) else None)) for k, v in columns.items()}
    used = {d for dims, *_ in out.values() for d in dims}
    coords |= {d: (d, np.array(v, object)) for d, v in (("opponent", OPPONENTS), ("history", HISTORIES)) if d in used}
    settings = {"title": "Synthetic", "updates": int(steps[-1]), "matches": n} | (config or {})
    dataset = xr.Dataset(
        out,
        coords=coords,
        attrs={"state_view": "own", "horizon": "infinite", "updates": int(steps[-1])}
        | (attrs or {})
        | {"config": yaml.safe_dump(settings)},
    )
    directory.mkdir(parents=True, exist_ok=True)
    encoding = {} if chunks is None else {"value": {"chunks": chunks}}
    # As a run leaves it: every piece is there, whatever it holds.
    dataset.to_zarr(
        directory / "record.zarr",
        mode="w",
        consolidated=False,
        encoding=encoding,
        zarr_format=3,
        write_empty_chunks=True,
    )
    (directory / "config.yaml").write_text(yaml.safe_dump(settings))
    return directory


@pytest.fixture(autouse=True, scope="module")
def coarse_pictures():
    """Figures are laid out as ever and drawn with a quarter of the dots each way: much of the time goes into dots."""
    from matplotlib.figure import Figure

    genuine = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *args, **named: genuine(self, *args, **named | {"dpi": 35}))
        yield


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made as ever and not rendered, which is most of the work: for tests of what captions say."""
    monkeypatch.setattr("shaping.analysis.style.png", lambda figure: b"\x89PNG")


@pytest.fixture
def write_record(tmp_path):
    """Write a record of these cells under tmp_path; returns the folder."""

    def write(cells, name="run", **more):
        return build(tmp_path / name, cells, **more)

    return write
