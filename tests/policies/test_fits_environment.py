"""Policies are checked where they meet an environment, pickle, and are named after the spaces they fit."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.spaces import Box, Discrete
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import Policy, default_kind, fixed, gaussian, memory_one, network, preconditioned, tabular
from shaping.policies.distributions import categorical
from shaping.policies.one_of import one_of
from tests.compiling import quickly

IPD, COINS, MARKET = envs.make("ipd"), envs.make("coin_game"), envs.make("cournot")


def of_my_own(logits, kind="mine"):
    return Policy(kind, (), lambda key, scale: (), lambda shape: None, lambda theta, o, m: (categorical(logits), m))


@pytest.mark.parametrize(
    ("env", "policy", "reason"),
    [
        (IPD, tabular(21), r"policies\[1\], tabular, reads 21 states; allowed: 5 states, those of ipd"),
        (IPD, memory_one(3), r"policies\[1\], memory_one, reads 3 states; allowed: 5 states"),
        (IPD, shaping.mlp(3), r"policies\[1\], mlp, reads 9 states; allowed: 5 states"),
        (IPD, shaping.policies.automaton(2, 9), r"automaton, reads 9 states"),
        (IPD, network(Discrete(5), Discrete(3)), r"network, chooses among 3 actions; allowed: 2 actions, those of ipd"),
        (IPD, network(Discrete(6), Discrete(2)), r"network, reads 6 states; allowed: 5 states"),
        (IPD, fixed(tabular(4), np.zeros(4)), r"fixed, reads 4 states; allowed: 5 states"),
        (IPD, one_of([tabular(4)]), r"one_of, reads 4 states; allowed: 5 states"),
        (IPD, of_my_own(jnp.zeros(3)), r"mine, chooses among 3 actions; allowed: 2 actions"),
        (COINS, tabular(5), r"tabular, reads 5 states; allowed: boxes of shape \[36\], those of coin_game"),
        (COINS, of_my_own(jnp.zeros(5)), r"mine, chooses among 5 actions; allowed: 4 actions, those of coin_game"),
        (MARKET, of_my_own(jnp.zeros(2)), r"mine, chooses among 2 actions; allowed: boxes of shape \[1\] from 0 to"),
        (
            MARKET,
            gaussian(Box((1,), 0.0, 3.0)),
            r"boxes of shape \[1\] from 0 to 3; allowed: boxes of shape \[1\] from 0",
        ),
        (
            MARKET,
            gaussian(Box((2,), 0.0, 3.0)),
            r"boxes of shape \[2\] from 0 to 3; allowed: boxes of shape \[1\] from 0",
        ),
        (IPD, gaussian(Box((1,))), r"gaussian, chooses among boxes of shape \[1\] from 0 to 1; allowed: 2 actions"),
    ],
)
def test_a_policy_of_other_spaces_is_refused_wherever_it_meets_an_environment(env, policy, reason):
    fine = shaping.network(env.observation_space, env.action_space, hidden=())
    policies, thetas = (fine, policy), [p.init(jax.random.key(0), jnp.float32(1)) for p in (fine, policy)]
    with pytest.raises(ValueError, match=reason):
        Sampler(env, policies, env.default_params, 0.9, 2, 2)
    with pytest.raises(ValueError, match=reason):
        shaping.sampled(env, policies, horizon=2, discount=0.9)
    for function in (shaping.play, shaping.rollout):
        with pytest.raises(ValueError, match=reason):
            function(env, policies, thetas, jax.random.key(0), 2, 2)


def test_policies_that_fit_are_let_in():
    """Also those that remember more than they are shown, or are shown the start of one round alone."""
    for policy in (tabular(5), tabular(21, memory=2), of_my_own(jnp.zeros(2)), shaping.strategy("tf2t")[0]):
        Sampler(IPD, (policy, tabular(5)), IPD.default_params, 0.9, 2, 2)
    once = envs.make("ipd", horizon=1)
    Sampler(once, (tabular(1), memory_one(5)), once.default_params, 0.9, 2, 1)


@pytest.mark.parametrize(
    ("observations", "actions", "recurrent", "kind"),
    [
        (Discrete(5), Discrete(2), False, "tabular"),
        (Discrete(5), Discrete(2), True, "gru"),
        (Discrete(5), Discrete(3), False, "mlp"),
        (Discrete(5), Box((1,)), False, "mlp"),
        (Discrete(10_000), Discrete(2), False, "mlp"),
        (Box((7,)), Discrete(2), False, "mlp"),
        (Box((5, 5, 17), dtype="uint8"), Discrete(5), False, "conv"),
        (Box((1, 7, 2)), Discrete(5), False, "mlp"),
    ],
)
def test_the_spaces_name_the_kind_of_policy(observations, actions, recurrent, kind):
    assert default_kind(observations, actions, recurrent) == kind


@pytest.mark.parametrize("name", ["ipd", "coin_game", "cournot", "clean_up", "commons_harvest", "in_the_matrix"])
def test_a_network_of_any_environment_answers_what_it_is_shown(name):
    env = envs.make(name)
    layout = shaping.policies.board_layout(env)
    policy = network(env.observation_space, env.action_space, hidden=(2,), layout=layout)

    def act(key):
        seen = jnp.zeros(env.observation_space.shape, env.observation_space.dtype)
        return policy.apply(policy.init(key, 1.0), seen, None)[0].sample(seed=key)

    assert jax.eval_shape(act, jax.random.key(0)).shape == env.action_space.shape
    Sampler(env, (policy,) * env.num_players, env.default_params, 0.9, 2, 2)


def test_policies_pickle_and_play_as_before():
    machine, theta = shaping.strategy("tf2t")
    policies = [
        tabular(21, memory=2),
        memory_one(5),
        machine,
        shaping.mlp(2),
        preconditioned(np.eye(5)),
        network(Discrete(5), Discrete(2), recurrent="gru", critic=True),
        fixed(machine, theta),
        one_of([tabular(5), machine]),
        shaping.coin_table(COINS),
        shaping.coin_tit_for_tat(COINS, 1),
        shaping.coin_game_players.cooperate(COINS),
        shaping.coin_game_players.by_number(COINS),
        gaussian(MARKET.action_space),
        shaping.network_critic(Discrete(5)),
        shaping.tabular_critic(5),
    ]
    for policy in policies:
        again = pickle.loads(pickle.dumps(policy))
        assert again == policy and hash(again) == hash(policy) and again is not policy
        key = jax.random.key(0)
        jax.tree.map(np.testing.assert_array_equal, again.init(key, 1.0), policy.init(key, 1.0))
    with pytest.raises(TypeError, match="policy mine does not pickle; allowed: products of a factory that is marked"):
        pickle.dumps(of_my_own(jnp.zeros(2)))


@pytest.mark.parametrize(
    "name",
    ["fixed automaton"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("automaton", "fixed table", "fixed network")],
)
def test_any_policy_can_sit_opposite_a_learner(name):
    """It plays, is read, and leaves the learner its derivatives, of second order too."""
    machine, theta = shaping.strategy("tf2t")
    net = network(Discrete(5), Discrete(2), recurrent="gru", units=2)
    other, parameters = {
        "automaton": (machine, theta),
        "fixed table": (fixed(tabular(5), jnp.arange(5.0)), ()),
        "fixed automaton": (fixed(machine, theta), ()),
        "fixed network": (fixed(net, net.init(jax.random.key(0), jnp.float32(1))), ()),
    }[name]
    objective = sampled_objective(Sampler(IPD, (tabular(5), other), IPD.default_params, 0.9, 8, 4))

    @quickly
    def play(own):
        key = jax.random.key(1)

        def value(own):
            return objective.returns([own, parameters], key, None)[0][0]

        sampler = objective.sampler
        batch = sampler.play([own, parameters], key)
        still = sampler.divergence(1, parameters, parameters, batch)
        return jax.grad(value)(own), jax.hessian(value)(own), sampler.read(1, parameters, batch), still

    gradient, curvature, (chances, entropies), still = play(jnp.zeros(5))
    assert np.any(gradient) and np.any(curvature) and np.all(np.isfinite(curvature))
    assert np.all(np.isfinite(chances)) and np.all(entropies >= 0) and still == 0
