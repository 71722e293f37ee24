"""LOLA-DiCE of OpenSpiel: its agent and its environment with the settings of its own example, in a separate process.

    python benchmarks/reference_dice_openspiel.py --seconds 20

Prints one line of JSON: `updates` of both players, the `seconds` they took, `versions`. It imports nothing from this
package, so that it can run in a separate virtual environment: pip install open_spiel==2.0.2 dm-haiku==0.0.17
rlax==0.1.9 distrax==0.1.9 optax==0.2.8 jax==0.10.2

The example's settings are kept except where others are faster and do not change the rule: nobody models the opponent,
each agent receives the other's parameters after every update; critics are compiled; an observation, which is one-hot,
multiplies the table of logits. The time is that of an epoch of the example (`--part epoch`: a batch of play, critics,
one update of both policies) or only of the update of both policies (`--part policy`). OpenSpiel plays step by step in
Python and compiles DiCE's objective again at every update; both times include that.
"""

import argparse
import importlib.metadata
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

PACKAGES = ("open_spiel", "jax", "jaxlib", "dm-haiku", "distrax", "optax", "numpy")


def networks(states: int, actions: int) -> tuple[Any, Any]:
    """Policy and critic as haiku functions of a one-hot observation: a table of logits, a table of values."""
    import distrax
    import haiku as hk
    import jax.numpy as jnp

    def policy(observation: Any) -> Any:
        table = hk.get_parameter("theta", (states, actions), init=jnp.zeros)
        return distrax.Categorical(logits=observation @ table)

    def critic(observation: Any) -> Any:
        return observation @ hk.get_parameter("w", (states, 1), init=jnp.zeros)

    return tuple(hk.without_apply_rng(hk.transform(function)) for function in (policy, critic))


def make_agents(batch: int, horizon: int, lookaheads: int) -> tuple[Any, list[Any]]:
    """The environment and both agents."""
    import jax
    from open_spiel.python.environments.iterated_matrix_game import IteratedPrisonersDilemma
    from open_spiel.python.jax.opponent_shaping import OpponentShapingAgent

    env = IteratedPrisonersDilemma(iterations=horizon, batch_size=batch)
    states, actions = env.observation_spec()["info_state"], env.action_spec()["num_actions"]
    agents = []
    for player in range(2):
        policy, critic = networks(states[player][0], actions[player])
        agent = OpponentShapingAgent(
            player_id=player,
            opponent_ids=[1 - player],
            info_state_size=states[player],
            num_actions=actions[player],
            policy=policy,
            critic=critic,
            batch_size=batch,
            critic_learning_rate=0.1,
            pi_learning_rate=0.2,
            opp_policy_learning_rate=0.3,
            clip_grad_norm=None,
            policy_update_interval=1,
            discount=0.96,
            critic_discount=0,
            seed=jax.random.PRNGKey(player),
            fit_opponent_model=False,
            correction_type="dice",
            use_jit=True,
            n_lookaheads=lookaheads,
            env=env,
        )
        agents.append(agent)
    return env, agents


def make(batch: int, horizon: int, lookaheads: int, part: str = "epoch") -> Callable[[], Any]:
    """A function that does one update of both players, as part of an epoch of the example or alone, and returns their
    train states."""
    import jax
    import numpy as np

    env, agents = make_agents(batch, horizon, lookaheads)

    def epoch() -> None:
        moment = env.reset()
        while not moment.last():
            actions = [agent.step(moment).action for agent in agents]
            moment = env.step(np.stack(actions, axis=1))
            moment.observations["actions"] = actions
        for agent in agents:
            agent.step(moment)

    def policies() -> None:
        for agent in agents:
            # What an agent does when an epoch ends, without updating its critic; DiCE uses only its own batch.
            agent._update_policy(None)

    def update() -> Any:
        epoch() if part == "epoch" else policies()
        states = [agent.train_state for agent in agents]
        for player, agent in enumerate(agents):
            agent.update_params(states[1 - player], 1 - player)
        return jax.block_until_ready([state.policy_params[player] for player, state in enumerate(states)])

    return update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="updates are repeated for so long, at least one")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--horizon", type=int, default=150)
    parser.add_argument("--lookaheads", type=int, default=1)
    parser.add_argument("--part", choices=("epoch", "policy"), default="epoch")
    setup = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        update = make(setup.batch, setup.horizon, setup.lookaheads, setup.part)
    except ModuleNotFoundError as error:
        raise SystemExit(f"OpenSpiel's LOLA-DiCE needs {error.name}: see the top of {__file__}") from error
    for _ in range(2):
        update()
    updates, began = 0, time.perf_counter()
    while updates == 0 or time.perf_counter() - began < setup.seconds:
        update()
        updates += 1
    seconds = time.perf_counter() - began
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    print(json.dumps({"updates": updates, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
