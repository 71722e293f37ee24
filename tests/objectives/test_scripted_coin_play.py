"""Scripted players in every dialect of the Coin Game: a million simulated steps against the enumerated chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.coin_game.chain import coin_chain
from shaping.envs.coin_game.dialects import DIALECTS
from shaping.objectives.occupancy import visits_of
from shaping.objectives.play_statistics import play
from shaping.policies import coin_game_players

PAIRS = [("random", "random"), ("greedy_any", "greedy_any"), ("cooperate", "greedy_any"), ("avoid_other", "greedy_own")]
STEPS = 10**6


def exact_pickups(env, players):
    """Expected coins of each colour that each player takes in an episode, [players, colours]."""
    chain = coin_chain(env)
    seen = jax.jit(jax.vmap(lambda board: env.observe(board, env.default_params)))(chain.boards)
    both = []
    for seat, policy in enumerate(players):
        logits = policy.apply((), seen[:, seat], None)[0].logits
        both.append(jax.nn.softmax(logits, axis=-1))
    joint = (both[0][:, :, None] * both[1][:, None, :]).reshape(chain.num_boards, -1)
    steps = env.horizon - (env.last_step == "restart")
    visits = visits_of(chain, joint, jnp.float32(1), steps)
    return np.einsum("s,sj,sjpc->pc", visits, joint, chain.pickups)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_million_steps_agree_with_the_chain_within_four_standard_errors(dialect):
    env = envs.make("coin_game", dialect=dialect)
    streams = STEPS // env.horizon
    for names in PAIRS:
        players = [getattr(coin_game_players, name)(env, seat) for seat, name in enumerate(names)]
        run = jax.jit(lambda key, players=players: play(env, players, ((), ()), key, env.horizon, streams))
        simulated = np.asarray(run(jax.random.key(0)).counts.pickups, float)
        error = simulated.std(0) / np.sqrt(streams)
        exact = exact_pickups(env, players)
        # What is certain, such as never to take a coin, has no spread.
        assert np.all(np.abs(simulated.mean(0) - exact) <= 4 * error + 1e-4), (names, simulated.mean(0), exact, error)
