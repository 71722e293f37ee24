"""Our environments as JaxMARL's and gymnax's: the way there and back, conventions, refusals."""

import inspect
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs import adapters
from shaping.envs.adapters.peers import require
from tests.compiling import quickly

# name -> settings of `envs.make`, for any environment of discrete actions. Episodes of HORIZON steps, so that they end.
HORIZON = 3
GAMES = {
    "ipd": {"noise": 0.3, "horizon": HORIZON},
    "contribution": {"num_players": 3, "contribution_factor": 1.8, "horizon": HORIZON},
}
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        yield


@pytest.fixture(scope="module", params=GAMES)
def env(request):
    return envs.make(request.param, **GAMES[request.param])


@pytest.fixture(scope="module")
def marl(env):
    pytest.importorskip("jaxmarl", reason="needs JaxMARL: pip install 'shaping[peers]'")
    return adapters.to_jaxmarl(env)


@pytest.fixture(scope="module")
def gym(env):
    pytest.importorskip("gymnax", reason="needs gymnax: pip install 'shaping[peers]'")
    return adapters.to_gymnax(env)


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def actions_of(env, key):
    return env.action_space.sample(key, (env.num_players,))


def by_agent(marl, array):
    return {agent: array[seat] for seat, agent in enumerate(marl.agents)}


def test_there_and_back_is_the_same_play(env, marl):
    back = adapters.from_jaxmarl(marl)
    params = env.default_params
    assert (back.name, back.num_players) == (env.name, env.num_players)
    assert (back.action_space, back.observation_space) == (env.action_space, env.observation_space)
    obs, state = env.reset(KEY, params)
    obs_back, state_back = back.reset(KEY, ())
    assert_equal((obs, state), (obs_back, state_back.env.env))
    step, step_back = quickly(env.step), quickly(back.step)
    for time in range(8):
        key = jax.random.fold_in(KEY, time)
        actions = actions_of(env, jax.random.fold_in(key, 7))
        obs, state, rewards, terminated, truncated, _ = step(key, state, actions, params)
        obs_back, state_back, rewards_back, ended, _, info = step_back(key, state_back, actions, ())
        assert_equal((obs, state, rewards), (obs_back, state_back.env.env, rewards_back))
        assert obs.dtype == obs_back.dtype
        assert bool(ended) == bool(terminated | truncated) == bool(state_back.env.done) == (time >= HORIZON - 1)
        assert (bool(info["terminated"]), bool(info["truncated"])) == (bool(terminated), bool(truncated))
        assert int(state_back.env.step) == time + 1


def test_numbers_given_to_jaxmarl_are_those_that_are_played():
    pytest.importorskip("jaxmarl", reason="needs JaxMARL: pip install 'shaping[peers]'")
    env = envs.make("ipd")
    params = env.default_params
    rewards = []
    for marl in (adapters.to_jaxmarl(env), adapters.to_jaxmarl(env, params.replace(payoffs=params.payoffs * 2))):
        _, state = marl.reset(KEY)
        rewards.append(marl.step(KEY, state, {"agent_1": jnp.int32(1), "agent_0": jnp.int32(0)})[2])
    assert [list(map(float, reward.values())) for reward in rewards] == [[-3, 0], [-6, 0]]


def test_jaxmarls_conventions_hold(env, marl):
    from jaxmarl.environments.multi_agent_env import MultiAgentEnv, State
    from jaxmarl.environments.spaces import Space

    assert isinstance(marl, MultiAgentEnv)
    agents = [f"agent_{seat}" for seat in range(env.num_players)]
    assert marl.agents == agents and marl.num_agents == env.num_players and marl.name == env.name
    assert sum(marl.agent_classes.values(), []) == agents
    for spaces, space in (
        (marl.observation_spaces, marl.observation_space),
        (marl.action_spaces, marl.action_space),
    ):
        assert list(spaces) == agents
        assert all(isinstance(spaces[agent], Space) and spaces[agent] == space(agent) for agent in agents)
    obs, state = marl.reset(KEY)
    assert isinstance(state, State) and not state.done and int(state.step) == 0
    available = marl.get_avail_actions(state)
    assert all(available[agent].tolist() == [True] * marl.action_space(agent).n for agent in agents)
    actions = {agent: marl.action_space(agent).sample(jax.random.fold_in(KEY, 1)) for agent in agents}
    after, state, rewards, dones, info = marl.step(KEY, state, actions)
    for seen in (obs, after, marl.get_obs(state)):
        assert list(seen) == agents
        for agent in agents:
            assert marl.observation_space(agent).contains(seen[agent])
            assert seen[agent].shape == marl.observation_space(agent).shape
            assert seen[agent].dtype == marl.observation_space(agent).dtype
    assert list(rewards) == agents and all(reward.shape == () for reward in rewards.values())
    assert set(dones) == {*agents, "__all__"} and all(done.dtype == bool for done in dones.values())
    assert isinstance(info, dict)


def test_jaxmarls_signatures_are_kept(marl):
    from jaxmarl.environments.multi_agent_env import MultiAgentEnv

    for method in ("reset", "step", "step_env", "get_obs", "observation_space", "action_space", "get_avail_actions"):
        theirs = inspect.signature(getattr(MultiAgentEnv, method)).parameters
        assert list(inspect.signature(getattr(type(marl), method)).parameters) == list(theirs), method


def test_jaxmarls_step_resets_at_the_end_for_every_agent_and_step_env_does_not(env, marl):
    _, state = marl.reset(KEY)
    actions = by_agent(marl, jnp.ones((env.num_players,), jnp.int32))
    for time in range(HORIZON):
        before, key = state, jax.random.fold_in(KEY, time)
        obs, state, _, dones, _ = marl.step(key, state, actions)
        assert {bool(done) for done in dones.values()} == {time == HORIZON - 1}
    key_step, key_reset = jax.random.split(key)  # as JaxMARL's step splits it
    assert_equal((obs, state), marl.reset(key_reset))
    assert_equal(state.env, env.reset(key_reset, env.default_params)[1])
    _, state, *_ = marl.step_env(key_step, before, actions)
    assert int(state.step) == HORIZON and state.done
    given = marl.reset(jax.random.key(9))[1].replace(step=jnp.int32(1))
    obs, state, *_ = marl.step(KEY, before, actions, reset_state=given)
    assert_equal(state, given)
    assert_equal(obs, marl.get_obs(given))


def test_jaxmarls_log_wrapper_sums_the_rewards_of_an_episode(env, marl):
    from jaxmarl.wrappers.baselines import LogWrapper

    wrapped = LogWrapper(marl)
    _, state = wrapped.reset(KEY)
    total = np.zeros(env.num_players)
    for time in range(HORIZON):
        actions = by_agent(marl, actions_of(env, jax.random.fold_in(KEY, time)))
        with jax.numpy_dtype_promotion("standard"):  # the wrapper subtracts booleans
            _, state, rewards, _, info = wrapped.step(jax.random.fold_in(KEY, 10 + time), state, actions)
        total += np.array([float(rewards[agent]) for agent in marl.agents])
    np.testing.assert_allclose(info["returned_episode_returns"], total, rtol=1e-6)
    assert np.asarray(info["returned_episode"]).all()


def test_jaxmarls_step_under_vmap_and_scan_is_a_loop(env, marl):
    def play(key):
        def step(state, time):
            now = jax.random.fold_in(key, time)
            actions = by_agent(marl, actions_of(env, jax.random.fold_in(now, 1)))
            obs, state, rewards, dones, _ = marl.step(now, state, actions)
            return state, (obs, rewards, dones)

        return jax.lax.scan(step, marl.reset(key)[1], jnp.arange(7))[1]

    keys = jax.random.split(KEY, 3)
    together, one = quickly(jax.vmap(play))(keys), quickly(play)
    for number, key in enumerate(keys):
        assert_equal(jax.tree.map(lambda leaf, number=number: leaf[number], together), one(key))
    assert np.asarray(together[2]["__all__"])[0].tolist() == [False, False, True, False, False, True, False]


def test_keys_as_pairs_of_integers_are_the_typed_ones(env, marl):
    actions = by_agent(marl, jnp.zeros((env.num_players,), jnp.int32))
    with jax.legacy_prng_key("allow"):
        for number in range(4):
            key = jax.random.key(number)
            raw = jax.random.key_data(key)
            assert_equal(marl.reset(raw), marl.reset(key))
            state = marl.reset(key)[1]
            assert_equal(marl.step(raw, state, actions), marl.step(key, state, actions))


def test_gymnax_signatures_are_kept(gym):
    from gymnax.environments.environment import Environment

    assert isinstance(gym, Environment)
    state_by_state = ("observe", "get_obs", "is_terminated", "is_truncated", "is_terminal", "discount")
    for method in ("reset", "step", "reset_env", "step_env", *state_by_state, "action_space", "observation_space"):
        theirs = inspect.signature(getattr(Environment, method)).parameters
        ours = inspect.signature(getattr(type(gym), method)).parameters
        assert list(ours) == list(theirs), method
    # The one that callers of gymnax rely on, written out.
    assert list(inspect.signature(gym.step).parameters) == ["key", "state", "action", "params"]


def test_gymnax_step_resets_and_step_env_is_ours(env, gym):
    params = env.default_params
    assert gym.name == env.name and gym.num_actions == env.action_space.num_values
    assert_equal(gym.default_params, params)
    obs, state = gym.reset(KEY)
    assert_equal((obs, state.env), env.reset(KEY, params))
    actions = jnp.ones((env.num_players,), jnp.int32)
    for time in range(HORIZON):
        key = jax.random.fold_in(KEY, time)
        key_step, key_reset = jax.random.split(key)  # as gymnax's step splits it
        inner = gym.step_env(key_step, state, actions, params)
        expected = env.step(key_step, state.env, actions, params)
        assert_equal((inner[0], inner[1].env, *inner[2:4]), expected[:4])
        assert bool(gym.is_terminated(inner[1], params)) == bool(expected[3])
        assert bool(gym.is_truncated(inner[1], params)) == bool(expected[4])
        obs, state, rewards, terminated, truncated, info = gym.step(key, state, actions)
        assert_equal((rewards, terminated, truncated), expected[2:5])
        assert_equal(info["final_observation"], expected[0])
        assert bool(terminated | truncated) == (time == HORIZON - 1)
    assert_equal((obs, state), gym.reset(key_reset))
    assert int(state.time) == 0


def test_gymnax_params_are_data_under_vmap_and_scan():
    pytest.importorskip("gymnax", reason="needs gymnax: pip install 'shaping[peers]'")
    env = envs.make("ipd", noise=0.3, horizon=HORIZON)
    gym = adapters.to_gymnax(env)

    def play(key, params):
        def step(state, time):
            now = jax.random.fold_in(key, time)
            _, state, *returned = gym.step(now, state, gym.action_space(params).sample(now), params)
            return state, returned[:3]

        return jax.lax.scan(step, gym.reset(key, params)[1], jnp.arange(2 * HORIZON))[1]

    params = env.default_params
    scaled = jax.vmap(lambda factor: params.replace(payoffs=params.payoffs * factor))(jnp.array([1.0, 2.0]))
    rewards, terminated, truncated = quickly(jax.vmap(partial(play, KEY)))(scaled)
    np.testing.assert_array_equal(rewards[1], 2 * rewards[0])
    np.testing.assert_array_equal(rewards[0], play(KEY, params)[0])
    assert np.asarray(terminated).tolist() == [[False, False, True] * 2] * 2 and not np.any(truncated)


def test_gymnax_spaces_have_a_player_axis_and_their_draws_are_of_every_action(env, gym):
    params = env.default_params
    space = gym.action_space(params)
    draws = jax.vmap(space.sample)(jax.random.split(KEY, 50))
    assert draws.shape == (50, *space.shape) == (50, env.num_players) and draws.dtype == space.dtype
    assert set(np.unique(draws)) == set(range(env.action_space.num_values))
    assert np.all(jax.vmap(space.contains)(draws))
    n = env.action_space.num_values
    assert not space.contains(draws[0] + n) and not space.contains(draws[0] - n)
    assert gym.observation_space(params).contains(gym.reset(KEY)[0])


def test_other_seats_follow_their_policies_on_their_own_observations():
    pytest.importorskip("gymnax", reason="needs gymnax: pip install 'shaping[peers]'")
    env = envs.make("ipd")  # states of an own view: start, CC, CD, DC, DD
    payoffs = np.asarray(env.payoffs)

    def tit_for_tat(observation, key):
        return jnp.array([0, 0, 1, 0, 1], jnp.int32)[observation]

    for player in (0, 1):
        gym = adapters.to_gymnax(env, player=player, others=tit_for_tat)
        obs, state = gym.reset(KEY)
        assert obs.shape == () and gym.observation_space(None).n == 5 and gym.action_space(None).n == 2
        played = np.array([1, 0, 0, 1, 1, 0])
        answered = np.array([0, *played[:-1]])
        for time, (own, other) in enumerate(zip(played, answered, strict=True)):
            obs, state, reward, *_ = gym.step(jax.random.fold_in(KEY, time), state, jnp.int32(own))
            joint = (own, other) if player == 0 else (other, own)
            assert float(reward) == payoffs[(player, *joint)] and reward.shape == ()
            assert int(obs) == 1 + 2 * own + other


def test_every_other_seat_has_its_own_policy_and_its_own_randomness():
    pytest.importorskip("gymnax", reason="needs gymnax: pip install 'shaping[peers]'")
    env = envs.make("contribution", num_players=4, contribution_factor=1.8)

    def coin(observation, key):
        return jax.random.bernoulli(key).astype(jnp.int32)

    def executed(others):
        gym = adapters.to_gymnax(env, player=1, others=others)
        _, state = gym.reset(KEY)
        step = quickly(jax.vmap(lambda key: gym.step(key, state, 0)[5]["executed"]))
        return np.asarray(step(jax.random.split(KEY, 400)))

    assert np.all(executed([lambda o, k: 1, lambda o, k: 0, lambda o, k: 1]) == [1, 0, 0, 1])
    drawn = executed(coin)
    assert np.all(drawn[:, 1] == 0)
    correlation = np.corrcoef(drawn[:, [0, 2, 3]].T)
    assert np.all(np.abs(drawn[:, [0, 2, 3]].mean(0) - 0.5) < 4 * 0.5 / 20)
    assert np.all(np.abs(correlation[np.triu_indices(3, 1)]) < 4 / 20)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"player": 2}, "player is 2; allowed: an integer from 0 to 1"),
        ({"player": 0}, "others is None; allowed: one function .* or 1 in seat order"),
        ({"player": 0, "others": [max, max]}, "others has 2 policies; allowed: one function .* or 1 in seat order"),
        ({"player": 0, "others": "tft"}, "others is 'tft'; allowed: one function .*"),
        ({"others": max}, "others is given without player; allowed: only together with .*"),
    ],
)
def test_a_view_that_cannot_be_is_refused_in_one_line(arguments, said):
    pytest.importorskip("gymnax", reason="needs gymnax: pip install 'shaping[peers]'")
    with pytest.raises(ValueError, match=f"^{said}$"):
        adapters.to_gymnax(envs.make("ipd"), **arguments)


@pytest.mark.parametrize("adapter", [adapters.to_jaxmarl, adapters.to_gymnax])
def test_an_environment_that_resets_itself_is_refused_in_one_line(adapter):
    pytest.importorskip("jaxmarl", reason="needs JaxMARL: pip install 'shaping[peers]'")
    with pytest.raises(ValueError, match="^env is an AutoReset of ipd; allowed: the environment within, .*resets$"):
        adapter(envs.make("ipd", auto_reset=True))


@pytest.mark.parametrize(
    ("adapter", "package"),
    [(adapters.to_jaxmarl, "jaxmarl"), (adapters.from_jaxmarl, "jaxmarl"), (adapters.to_gymnax, "gymnax")],
)
def test_a_missing_package_is_named_with_its_remedy_in_one_line(adapter, package, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"^\S+ is not installed; remedy: pip install 'shaping\[peers\]'$"):
        adapter(envs.make("ipd"))


def test_what_a_package_prints_while_it_is_imported_is_not_shown(tmp_path, monkeypatch, capsys):
    text = "import sys\nsys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__\nprint(1)\nNAME = 3\n"
    (tmp_path / "talkative.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sys.stdout, sys.stderr, sys.__stdout__
    assert require("talkative").NAME == 3 and capsys.readouterr().out == ""
    assert (sys.stdout, sys.stderr, sys.__stdout__) == before
    sys.modules.pop("talkative")
