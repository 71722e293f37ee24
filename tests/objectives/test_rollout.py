"""Sampled play against exact values, and what it may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.rollout import rollout
from shaping.policies import Policy
from shaping.policies.distributions import categorical


def first_defects() -> Policy:
    """Remembers how many rounds it has seen; defects in the first and cooperates from then on."""

    def apply(theta, observation, rounds):
        return categorical(jnp.where(rounds == 0, jnp.array([-1e4, 0.0]), jnp.array([0.0, -1e4]))), rounds + 1

    return Policy(
        "first_defects",
        (),
        lambda key, scale: (),
        lambda shape: jnp.zeros(shape, jnp.int32),
        apply,
        lambda theta: theta,
    )


def test_sampled_returns_agree_with_the_exact_values_within_four_standard_errors():
    game = envs.make("ipd", discount=0.9, noise=(0.1, 0.02))
    policies = (shaping.tabular(5),) * 2
    thetas = (jnp.array([0.1, 1.2, -0.8, 0.4, -1.5]), jnp.array([-0.5, 0.4, -0.3, 0.9, -0.1]))
    steps, batch = 120, 4000
    played = jax.jit(lambda key: rollout(game, policies, thetas, key, steps, batch))(jax.random.key(0))
    assert played.rewards.shape == (steps, batch, 2)
    weights = 0.9 ** np.arange(steps)
    returns = np.einsum("t,tbp->bp", weights, np.asarray(played.rewards))
    error = returns.std(0) / np.sqrt(batch)
    exact = np.asarray(shaping.exact(game, policies)(thetas)[0])
    assert np.all(np.abs(returns.mean(0) - exact) < 4 * error)


def test_a_stream_depends_neither_on_how_many_are_played_beside_it_nor_on_how_long():
    game = envs.make("coin_game", auto_reset=True, horizon=4)
    policies = [shaping.coin_game_players.random(game, seat) for seat in (0, 1)]
    play = jax.jit(
        lambda key, steps, batch: rollout(game, policies, ((), ()), key, steps, batch), static_argnums=(1, 2)
    )
    few, many = (play(jax.random.key(3), steps, batch) for steps, batch in ((6, 2), (9, 5)))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:6, :2]), few, many)
    assert len(np.unique(many.observations[0], axis=0)) > 1  # streams start from boards of their own


@pytest.mark.parametrize(("remembers", "defections"), [(True, [1, 0, 0, 0] * 2), (False, [1, 0] * 4)])
def test_players_forget_at_the_end_of_an_episode_or_if_they_remember_of_a_trial(remembers, defections):
    game = envs.AutoReset(envs.make("ipd", horizon=2), episodes=2, remembers=remembers)
    played = rollout(game, (first_defects(),) * 2, ((), ()), jax.random.key(0), 8, 1)
    assert played.actions[:, 0, 0].tolist() == defections


def test_rewards_stop_where_a_finite_game_ends():
    game = envs.make("ipd", horizon=4)
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5), jnp.zeros(5))
    played = jax.jit(lambda key: rollout(game, policies, thetas, key, 7, 3))(jax.random.key(0))
    assert played.running.sum(0).tolist() == [4, 4, 4]
    assert played.ended[:, 0].tolist() == [False] * 3 + [True] + [False] * 3
    assert not played.rewards[4:].any()


def test_policies_forget_exactly_where_one_episode_ends_and_the_next_begins():
    policies = (first_defects(),) * 2
    endless, again = envs.make("ipd"), envs.make("ipd", horizon=3, auto_reset=True)
    one, played = (
        jax.jit(lambda key, game=game: rollout(game, policies, ((), ()), key, 7, 1))(jax.random.key(0))
        for game in (endless, again)
    )
    assert one.actions[:, 0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert played.actions[:, 0, 0].tolist() == [1, 0, 0, 1, 0, 0, 1]
    # start, DD, CC: what is seen after the end is the next start.
    assert played.observations[:, 0, 0].tolist() == [0, 4, 1, 0, 4, 1, 0]
    assert played.ended[:, 0].tolist() == [False, False, True] * 2 + [False]
    assert played.running.all()


def test_a_match_of_a_population_is_what_it_is_alone():
    game = envs.make("ipd", noise=0.1)
    policies, batch, key = (shaping.tabular(5),) * 2, 4, jax.random.key(5)
    thetas = tuple(jax.random.normal(jax.random.key(seat), (3, 5)) for seat in (1, 2))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(3))
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf, 2 * leaf]), game.default_params)

    def play(thetas, key, params):
        return rollout(game, policies, thetas, key, 9, batch, params)

    together, one = jax.jit(jax.vmap(play))(thetas, keys, params), jax.jit(play)
    for match in range(3):
        own, numbers = jax.tree.map(lambda leaf, m=match: leaf[m], (thetas, params))
        alone = one(own, jax.random.fold_in(key, match), numbers)
        assert np.array_equal(together.actions[match], alone.actions)
        np.testing.assert_allclose(together.rewards[match], alone.rewards, rtol=1e-6)
    assert set(np.unique(together.rewards[2])) <= {0, -2, -4, -6}
    assert not np.array_equal(together.actions[0], together.actions[1])


def test_log_probabilities_are_those_of_the_chosen_actions_and_differentiable():
    game = envs.make("ipd")
    policies = (shaping.tabular(5),) * 2

    def total(theta):
        played = rollout(game, policies, (theta, jnp.zeros(5)), jax.random.key(1), 1, 8)
        return played.log_probabilities[0, :, 0].sum(), played.actions

    slope, actions = jax.jit(jax.grad(total, has_aux=True))(jnp.zeros(5))
    cooperations = int((actions[0, :, 0] == 0).sum())
    np.testing.assert_allclose(slope[0], cooperations - 4.0, rtol=1e-6)


@pytest.mark.parametrize("function", [rollout, shaping.play])
@pytest.mark.parametrize(
    ("seats", "thetas", "steps", "batch", "reason"),
    [
        (1, 2, 5, 1, "^policies has the length 1; allowed: 2, one per player$"),
        (2, 3, 5, 1, "^thetas has the length 3; allowed: 2, one per player$"),
        (2, 2, 0, 1, "^steps is 0; allowed: an integer from 1 to 2147483647$"),
        (2, 2, 5, 0, "^batch is 0; allowed: an integer of 1 or more$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(function, seats, thetas, steps, batch, reason):
    with pytest.raises(ValueError, match=reason):
        function(
            envs.make("ipd"),
            (shaping.tabular(5),) * seats,
            (jnp.zeros(5),) * thetas,
            jax.random.key(0),
            steps,
            batch,
        )
