"""What learners say, with the seeds of the shipped configurations."""

import json

import numpy as np
import pytest
import scipy.stats
import xarray

import shaping
from shaping.config.files import read, shipped
from shaping.envs.referential.game import best_information

pytestmark = [pytest.mark.slow, pytest.mark.optimised]


def ran(name, folder, kept):
    """The record of some variants of a shipped configuration, by variant, and the summary."""
    config = read(str(shipped()[name]))
    config["variants"] = {variant: config["variants"][variant] for variant in kept}
    if "published" in config:
        config["published"] = [one for one in config["published"] if one["cell"]["variant"] in kept]
    run = shaping.run(config, folder / "run")
    with xarray.open_zarr(run / "record.zarr") as record:
        record = record.isel(update=-1).load()
    found = {variant: record.isel(match=record["variant"].values == variant) for variant in kept}
    return found, json.loads((run / "summary.json").read_text())


def test_most_pairs_find_a_code_for_four_objects(tmp_path):
    found, _ = ran("referential", tmp_path, ["four words", "four words, entropy"])
    told = {name: one["message_state_information"].sel(player=0) for name, one in found.items()}
    # In both, more than half of all pairs do, by a one-sided test at 1 % over 64 pairs. Where entropy is rewarded, they
    # never stop exploring, so less information is required.
    most = scipy.stats.binom.ppf(0.99, 64, 0.5)
    for name, share in (("four words", 0.95), ("four words, entropy", 0.9)):
        assert (told[name] > share * best_information(4, 4)).sum() > most, name
    for name, one in found.items():
        heard = one["causal_influence"].sel(player=1)
        assert abs(heard - told[name]).max() < 0.15, name


def test_words_find_the_stag_but_do_not_solve_the_dilemma(tmp_path):
    kept = ["dilemma, talk, LOLA", "stag hunt, silent, naive", "stag hunt, talk, naive"]
    found, summary = ran("cheap_talk", tmp_path, kept)
    cooperation = {name: one["cooperation"].mean("player").values for name, one in found.items()}
    assert np.all(cooperation["stag hunt, talk, naive"] > 0.95)
    assert 0.2 < np.mean(cooperation["stag hunt, silent, naive"] > 0.5) < 0.7
    assert np.mean(cooperation["dilemma, talk, LOLA"]) < 0.1
    assert all(entry["verdict"] == "agrees" for entry in summary["published"])
