"""`shaping league` where something is played: values agree with exact ones, and who cannot play is refused."""

import json

import jax
import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.leagues.cells import Play, league_cells
from shaping.leagues.frozen_players import Player
from shaping.leagues.games import LeagueGame, of_matrix
from shaping.objectives.played_league_values import PlayedGame, Seated
from shaping.policies import network

pytestmark = pytest.mark.usefixtures("without_pictures")
GRU = {
    "game": "ipd",
    "policy": {"kind": "gru", "units": 2},
    "players": [{"rule": "naive"}, {"strategy": "tft"}],
    "objective": {"kind": "dice", "batch": 2, "horizon": 10, "evaluation": 2},
    "matches": 1,
    "updates": 0,
}


@pytest.fixture(scope="module")
def gru(tmp_path_factory):
    return shaping.run(GRU, out=tmp_path_factory.mktemp("runs") / "gru", show_progress=False)


def opened(folder):
    with xarray.open_zarr(str(folder / "league.zarr"), consolidated=False, chunks=None) as league:
        return league.load()


@pytest.mark.parametrize("horizon", [None, 7])
def test_scripted_strategies_earn_in_play_what_they_earn_exactly(horizon):
    game = of_matrix(envs.make("ipd", noise=0.05, discount=0.9, horizon=horizon))
    players = game.strategies("allc,TFT,tf2t,extortionate,random")
    exact, played = (league_cells(game, players, Play(0.03, 0, sampled)) for sampled in (False, True))
    off = np.abs(played.value - exact.value) / played.standard_error
    # Of 50 values one in 16,000 is further off by chance; the end that is cut off is worth 1e-4 of the range.
    assert off.max() < 4 and 0.5 < np.sqrt(np.mean(off**2)) < 1.5
    assert 0.02 < played.standard_error.max() < 0.033
    assert not exact.episodes.any() and played.episodes.min() >= 128
    if horizon is None:
        return
    assert np.abs(played.cooperation - exact.cooperation).max() < 0.1


@pytest.mark.slow
def test_coin_game_cells_are_exact_and_play_agrees(tmp_path):
    game = {"name": "coin_game", "horizon": 8, "discount": 0.9}
    exact = opened(shaping.league(against="ALLC,alld", game=game, out=tmp_path / "exact"))
    played = opened(shaping.league(against="ALLC,alld", game=game, out=tmp_path / "played", error=0.01, sampled=True))
    assert not exact["standard_error"].values.any() and "episodes" not in exact
    off = np.abs(played["value"] - exact["value"]) / played["standard_error"]
    assert off.max() < 4 and off.max() > 0
    np.testing.assert_allclose(played["cooperation"], exact["cooperation"], atol=0.05)
    # A cooperator takes only coins of its own; nobody does better against it than by taking every coin.
    assert exact["cooperation"].values[0].min() == 1 and exact.attrs["cooperation_measure"] == "own_fraction"
    assert exact["best_response"].values[0] >= exact["value"].values[1, 0].max()


def test_an_episode_of_any_match_can_be_drawn(gru, tmp_path, capsys):
    file = tmp_path / "one.gif"
    assert main(["replay", str(gru), "--match", "0", "--last", "1", "--episode", str(file)]) == 0
    assert file.read_bytes()[:6] == b"GIF89a" and str(file) in capsys.readouterr().out


def test_a_recurrent_network_meets_the_classics_in_play(gru, tmp_path):
    folder = shaping.league([gru], against="alld,tf2t", error=0.1, out=tmp_path / "out")
    league = opened(folder)
    assert league["row"].values.tolist() == ["gru/0/0", "alld", "tf2t"]
    assert (league["episodes"].values > 0).tolist() == [[True, True, True], [True, False, False], [True, False, False]]
    # What scripted players earn among themselves is exact, also in a game of 10 rounds.
    expected = shaping.league_values(envs.make("ipd", horizon=10), ["alld", "tf2t"])
    np.testing.assert_allclose(league["value"].values[1:, 1:], expected.value, atol=1e-6)
    # Against ALLD a network that cooperates at random earns between mutual defection and being exploited throughout.
    scale = 1 - 0.96**10
    assert -3 * scale < league["value"].values[0, 1, 0] < -2 * scale
    assert np.isnan(league["best_response"].values[0]) and np.isfinite(league["best_response"].values[1:]).all()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["sampling"]["cells"] == 5 and "were played" in (folder / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--se", "0"], "--se 0.0: allowed: above 0"),
        (["--game", "coin_game", "--against", "grim"], "'grim' is not allowed; must be classic, all, none"),
        (["--game", "public_goods"], "has 4 players; allowed: 2"),
        (["--game", "tandem"], "is only known in closed form"),
        (["FILE", "--game", "coin_game"], "mine: a table of P(C) cannot play coin_game"),
        (["GRU", "--game", "coin_game", "--against", "ALLD"], "gru/0/0: cannot sit in this game"),
    ],
)
def test_who_cannot_play_is_refused_in_one_line(gru, tmp_path, capsys, arguments, says):
    (tmp_path / "mine.json").write_text('{"mine": [1, 1, 0, 1, 0]}')
    given = [each.replace("FILE", str(tmp_path / "mine.json")).replace("GRU", str(gru)) for each in arguments]
    status = main(["league", *given, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_policy_that_learned_to_see_the_board_otherwise_is_refused():
    seen, other = (envs.make("coin_game", dialect="loqa", egocentric=own) for own in (True, False))
    policy = network(seen.observation_space, seen.action_space, hidden=(2,))
    theta = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), policy.shapes)
    player = Player("learned", "run", Seated((policy, policy), (theta, theta), seen))
    game = LeagueGame("coin_game", PlayedGame(other, other.default_params, 0.9, 3, 3))
    with pytest.raises(ConfigError, match=r"learned: cannot sit in this game: it learned under the conventions .*True"):
        league_cells(game, [player], Play(0.5))
