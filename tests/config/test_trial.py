"""The key `trial`: what it makes, and what it refuses in one line."""

import numpy as np
import pytest

from shaping.config import build
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.config.resolved import plain_data

NAIVE = {"rule": "naive", "within": True}
EXACT = {"game": "ipd", "trial": {"updates": 3}, "players": ["ppo", NAIVE], "matches": 2, "updates": 1}
PLAYED = EXACT | {"game": {"name": "ipd", "horizon": 4, "discount": 1}, "trial": {"updates": 3, "rounds": 4}}


def changed(base, **keys):
    return base | {key: base[key] | value if isinstance(base.get(key), dict) else value for key, value in keys.items()}


def pooled(base, *pool, **trial):
    return changed(base, trial={"pool": list(pool), **trial}, players=["ppo", {"within": True}])


def match_of(raw):
    experiment = plan(raw)
    return build.matches_of(experiment, build.groups(experiment)[0], np.arange(experiment.matches))


def test_a_pool_is_stacked_by_structure_with_its_numbers_over_matches():
    pool = [
        {"rule": "naive", "step_size": 2.0},
        {"strategy": "tft"},
        {"rule": "naive", "step_size": 3.0, "frequency": 4},
    ]
    raw = changed(EXACT, trial={"pool": pool, "discount": 0.9}, players=["es", {"within": True}])
    raw["sweep"] = {"trial.pool.0.step_size": [5.0, 6.0], "trial.discount": {"uniform": [0.5, 0.9]}}
    match = match_of(raw)
    naive, tft = match.params.meta.pools[1]
    np.testing.assert_array_equal(naive.learner.settings.common.step_size, [[5, 3], [5, 3], [6, 3], [6, 3]])
    np.testing.assert_array_equal(naive.frequency, [[1, 4]] * 4)
    table = tft.learner.settings.numbers[0, 0]
    np.testing.assert_array_equal(table > 0, [True, True, False, True, False])
    assert np.all(np.abs(table) > 5), "logits, not probabilities"
    assert len(set(np.round(match.params.discount, 6))) == 2


def test_copies_of_a_shaper_have_their_share_of_the_draws_and_may_be_alone():
    raw = pooled(
        EXACT, {"shaper": 0, "frequency": 1}, {"rule": "naive", "frequency": 2}, strangers={"a": {"shaper": 0}}
    )
    raw["sweep"] = {"trial.pool.0.frequency": [1.0, 6.0]}
    params = match_of(raw).params
    assert params.meta.copies[0] is None and params.meta.copies[1].shaper == 0
    np.testing.assert_allclose(params.meta.copies[1].share, [1 / 3, 1 / 3, 3 / 4, 3 / 4])
    np.testing.assert_array_equal(params.strangers[0].copies[1].share, [1] * 4)
    assert plan(plain_data(plan(raw).resolved())).blocks[0].normal == plan(raw).blocks[0].normal


def test_the_resolved_configuration_makes_the_same_experiment():
    pool = [{"rule": "a2c", "step_size": {"loguniform": [0.5, 2]}, "discount": 0.9}, {"rule": "naive", "discount": 0.8}]
    raw = changed(
        PLAYED, trial={"pool": pool, "strangers": {"s": {"rule": "naive"}}}, players=["a2c", {"within": True}]
    )
    first = plan(raw)
    again = plan(plain_data(first.resolved()))
    assert again.blocks[0].normal == first.blocks[0].normal
    match = match_of(raw)
    a2c, naive = match.params.meta.pools[1]
    np.testing.assert_allclose(np.array(a2c.factor.bounds)[..., 0, 0], [0.5, 2])
    np.testing.assert_allclose([a2c.discount[0, 0], naive.discount[0, 0]], [0.9, 0.8])
    assert a2c.learner.settings.common.critic.critics[1] is not None


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (changed(EXACT, trial={"updates": 0}), "trial.updates: 0 is not allowed"),
        (changed(EXACT, trial={"update": 1}), "trial.update: "),
        (changed(EXACT, trial={"observes": "play"}), "trial.observes: 'play' is not allowed; must be policies"),
        (changed(PLAYED, trial={"rounds": 5}), "trial.rounds: 5 is not allowed; must be game.horizon, 4"),
        (changed(EXACT, players=["ppo", "naive"], trial={"pool": ["naive"]}), "trial.pool: no seat draws from it"),
        (changed(EXACT, players=["ppo", {"within": True}]), "players.1: nobody learns there"),
        (changed(EXACT, players=[NAIVE, NAIVE]), "players: all are within the trial"),
        (changed(EXACT, players={"rule": "ppo"}), "players: "),
        (changed(EXACT, players=[{"rule": "ppo", "init": {"normal": 1}}, NAIVE]), "players.0.init: not allowed"),
        (changed(EXACT, players=["ppo", {"rule": "ppo", "within": True}]), "players.1.rule: ppo learns from play"),
        (changed(PLAYED, players=["ppo", {"rule": "lola", "within": True}]), "players.1.rule: 'lola' is not allowed"),
        (changed(EXACT, players=["ppo", NAIVE | {"frequency": 1}]), "players.1.frequency: belongs to trial.pool"),
        (changed(EXACT, players=["ppo", NAIVE | {"step_size": {"loguniform": [2, 1]}}]), "players.1.step_size.loguni"),
        (changed(EXACT, players=["ppo", NAIVE | {"discount": 1.0}]), "players.1.discount: 1.0 is not allowed"),
        (changed(EXACT, players=["ppo", NAIVE | {"init": "m_maml"}]), "players.1.init: "),
        (
            changed(EXACT, players=["ppo", {"rule": "evolved_loss", "within": True}]),
            "players.1.rule: evolved_loss learns",
        ),
        (changed(EXACT, objective={"kind": "exact"}), "objective.kind: 'exact' is not allowed"),
        (changed(EXACT, objective={"horizon": 7}), "objective.horizon: 7 is not allowed; must be left out"),
        (changed(EXACT, policy={"kind": "coin_table"}), "policy.kind: 'coin_table' is not allowed"),
        (changed(EXACT, population={"types": {"a": {"rule": "naive"}}}), "population: not allowed beside trial"),
        (
            EXACT | {"trial": {"pool": [{"rule": "naive", "frequency": 0}]}, "players": ["ppo", {"within": True}]},
            "frequencies",
        ),
        ({"players": ["naive", NAIVE]}, "players.1.within: "),
        (
            pooled(EXACT, {"shaper": 1}),
            "trial.pool.0.shaper: 1 is not allowed; must be the seat of a player",
        ),
        (pooled(EXACT, {"shaper": 2}), "trial.pool.0.shaper: 2 is not allowed"),
        (pooled(EXACT, {"shaper": 0, "rule": "naive"}), "trial.pool.0.rule: "),
        (changed(EXACT, trial={"strangers": {"a.b": {"rule": "naive"}}}), "trial.strangers: 'a.b' is not allowed"),
        (changed(EXACT, trial={"strangers": {"a": {"shaper": 1}}}), "trial.strangers.a.shaper: 1 is not allowed"),
        (pooled(PLAYED, {"shaper": 0}, observes="both"), "trial.observes: 'both' is not allowed; must be play"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(raw, told):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shaper_maximises_the_reward_that_its_entry_says():
    own, other = match_of(changed(PLAYED, players=[{"rule": "a2c", "reward": {"weights": [0.5, 0.25]}}, NAIVE])).rewards
    np.testing.assert_array_equal(own.numbers, [[0.5, 0.5], [0.25, 0.25]])
    assert other is None
