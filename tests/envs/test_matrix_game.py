"""MatrixGame as an environment: states and views, transformations, noise, horizon, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs import MatrixGame, MatrixGameParams, MatrixGameState, make
from shaping.envs.matrix.game import own_view


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        yield


C, D = 0, 1
KEY = jax.random.key(0)
# joint action: what each player sees, by hand; the own action first, then the others by ascending seat.
OWN_VIEW_2 = {"CC": ("CC", "CC"), "CD": ("CD", "DC"), "DC": ("DC", "CD"), "DD": ("DD", "DD")}
OWN_VIEW_3 = {
    "CCC": ("CCC", "CCC", "CCC"),
    "CCD": ("CCD", "CCD", "DCC"),
    "CDC": ("CDC", "DCC", "CCD"),
    "CDD": ("CDD", "DCD", "DCD"),
    "DCC": ("DCC", "CDC", "CDC"),
    "DCD": ("DCD", "CDD", "DDC"),
    "DDC": ("DDC", "DDC", "CDD"),
    "DDD": ("DDD", "DDD", "DDD"),
}


# One compilation a game for all tests; that this is the same as step without jit is a test of its own.
jitted_step = jax.jit(MatrixGame.step, static_argnums=0)


def vmapped_step(game: MatrixGame):
    """step over a batch of keys, everything else the same."""
    return jax.jit(jax.vmap(game.step, in_axes=(0, None, None, None)))


def chosen(letters: str) -> jax.Array:
    return jnp.array(["CD".index(letter) for letter in letters], jnp.int32)


def games(n: int, **settings) -> MatrixGame:
    return make("contribution", num_players=n, contribution_factor=1.8, **settings)


@pytest.mark.parametrize("table", [OWN_VIEW_2, OWN_VIEW_3])
def test_own_view_shows_the_own_action_first_then_the_others_by_ascending_seat(table):
    n = len(next(iter(table)))
    game = games(n)
    assert game.state_labels == ("start", *table)
    assert game.joint_action_labels == tuple(table)
    for index, (joint, seen) in enumerate(table.items()):
        _, start = game.reset(KEY, game.default_params)
        obs, state, *_ = jitted_step(game, KEY, start, chosen(joint), game.default_params)
        assert tuple(game.state_labels[i] for i in obs) == seen
        assert int(state.joint) == 1 + index
        for player in range(n):
            assert own_view(n)[player][int(obs[player])] == 1 + index


def test_own_view_permutations_are_the_hand_written_ones():
    assert own_view(2) == ((0, 1, 2, 3, 4), (0, 1, 3, 2, 4))
    assert own_view(3) == (
        (0, 1, 2, 3, 4, 5, 6, 7, 8),
        (0, 1, 2, 5, 6, 3, 4, 7, 8),
        (0, 1, 3, 5, 7, 2, 4, 6, 8),
    )


@pytest.mark.parametrize("n", range(2, 7))
def test_own_view_is_a_permutation_that_fixes_start_all_cooperate_and_all_defect(n):
    for row in own_view(n):
        assert sorted(row) == list(range(1 + 2**n))
        assert (row[0], row[1], row[-1]) == (0, 1, 2**n)
    assert own_view(n)[0] == tuple(range(1 + 2**n))


@pytest.mark.parametrize("joint", OWN_VIEW_3)
def test_shared_view_shows_every_player_the_joint_action_in_seat_order(joint):
    game = games(3, state_view="shared")
    _, start = game.reset(KEY, game.default_params)
    obs, *_ = jitted_step(game, KEY, start, chosen(joint), game.default_params)
    assert [game.state_labels[i] for i in obs] == [joint] * 3


def test_reset_shows_the_start_and_counters_are_int32():
    game = make("ipd")
    obs, state = game.reset(KEY, game.default_params)
    obs_after, after, rewards, terminated, truncated, info = game.step(KEY, state, chosen("CD"), game.default_params)
    assert obs.tolist() == [0, 0] and int(state.joint) == 0 and int(state.step) == 0
    assert int(after.step) == 1 and int(after.joint) == 2
    for integer in (obs, state.joint, state.step, obs_after, after.joint, after.step, info["executed"]):
        assert integer.dtype == jnp.int32
    assert rewards.shape == (2,) and rewards.dtype == jnp.float32
    assert (terminated.shape, terminated.dtype, truncated.shape, truncated.dtype) == (
        (),
        jnp.bool_,
        (),
        jnp.bool_,
    )


def test_rewards_are_each_players_payoff_of_the_joint_action():
    payoffs = np.arange(24.0).reshape(3, 2, 2, 2) ** 2
    game = make("matrix_game", payoffs=payoffs)
    _, start = game.reset(KEY, game.default_params)
    for joint in np.ndindex(2, 2, 2):
        _, _, rewards, *_ = jitted_step(game, KEY, start, jnp.array(joint, jnp.int32), game.default_params)
        np.testing.assert_array_equal(rewards, payoffs[(slice(None), *joint)])


def test_spaces_are_the_states_a_player_sees_and_two_actions():
    assert make("ipd").observation_space.num_values == make("ipd").num_states == 5
    assert games(6).observation_space.num_values == 65
    assert make("ipd").action_space.num_values == 2
    draws = make("ipd").action_space.sample(KEY, (1000, 2))
    assert draws.dtype == make("ipd").action_space.dtype and set(np.unique(draws)) == {0, 1}


def test_step_under_jit_equals_step_without_and_the_game_is_a_static_argument():
    game = make("ipd", noise=0.3)
    for seed in range(10):
        key = jax.random.key(seed)
        state = MatrixGameState(joint=jnp.int32(seed % 5), step=jnp.int32(seed))
        arguments = key, state, chosen("CD"), game.default_params
        jax.tree.map(np.testing.assert_array_equal, jitted_step(game, *arguments), game.step(*arguments))


def test_step_leaks_no_tracers():
    game = make("ipd", noise=0.3, horizon=3)
    with jax.checking_leaks():
        jax.jit(game.step)(KEY, game.reset(KEY, game.default_params)[1], chosen("CD"), game.default_params)


def test_vmap_over_params_equals_a_loop_over_games():
    all_games = [make("ipd", temptation=0.5 * i, noise=(0.1 * i, 0.5), discount=0.9 - 0.1 * i) for i in range(5)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[game.default_params for game in all_games])
    keys = jax.random.split(KEY, 5)
    actions = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 0]], jnp.int32)
    game = all_games[0]
    _, states = jax.vmap(game.reset)(keys, stacked)
    together = jax.jit(jax.vmap(game.step))(keys, states, actions, stacked)
    for i, alone in enumerate(all_games):
        _, start = alone.reset(keys[i], alone.default_params)
        one = alone.step(keys[i], start, actions[i], alone.default_params)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf, i=i: leaf[i], together), one)


def test_scan_of_ten_thousand_steps_equals_the_game_played_in_numpy():
    game = make("ipd")
    actions = jax.random.randint(KEY, (10_000, 2), 0, 2, dtype=jnp.int32)

    def body(state, chosen_now):
        obs, state, rewards, *_ = game.step(KEY, state, chosen_now, game.default_params)
        return state, (obs, rewards)

    start = game.reset(KEY, game.default_params)[1]
    last, (obs, rewards) = jax.jit(lambda start: jax.lax.scan(body, start, actions))(start)
    first, second = np.asarray(actions).T
    np.testing.assert_array_equal(obs, np.stack([1 + 2 * first + second, 1 + 2 * second + first], axis=1))
    np.testing.assert_array_equal(rewards, np.asarray(game.payoffs)[:, first, second].T)
    assert int(last.step) == 10_000


def test_executed_actions_differ_from_chosen_ones_with_the_probability_of_each_players_noise():
    noise = np.array([0.05, 0.5, 0.9])
    game = games(3, noise=noise)
    count = 40_000
    _, start = game.reset(KEY, game.default_params)
    step = vmapped_step(game)
    flipped = step(jax.random.split(KEY, count), start, chosen("CDD"), game.default_params)[5]["executed"]
    frequency = np.mean(np.asarray(flipped) != [C, D, D], axis=0)
    assert np.all(np.abs(frequency - noise) < 4 * np.sqrt(noise * (1 - noise) / count))
    correlation = np.corrcoef((np.asarray(flipped) != [C, D, D]).T)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlation) < 4 / np.sqrt(count))


def test_rewards_states_and_views_follow_the_executed_action():
    game = make("ipd", noise=0.5)
    keys = jax.random.split(KEY, 200)
    _, start = game.reset(KEY, game.default_params)
    step = vmapped_step(game)
    obs, state, rewards, _, _, info = step(keys, start, chosen("CC"), game.default_params)
    first, second = np.asarray(info["executed"]).T
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(C, C), (C, D), (D, C), (D, D)}
    np.testing.assert_array_equal(state.joint, 1 + 2 * first + second)
    np.testing.assert_array_equal(obs, np.stack([1 + 2 * first + second, 1 + 2 * second + first], axis=1))
    np.testing.assert_array_equal(rewards, np.asarray(game.payoffs)[:, first, second].T)


def test_noise_of_zero_never_and_of_one_always_changes_the_action():
    game = make("ipd", noise=(0.0, 1.0))
    _, start = game.reset(KEY, game.default_params)
    step = vmapped_step(game)
    for joint, executed in [("CC", [C, D]), ("DD", [D, C])]:
        info = step(jax.random.split(KEY, 1000), start, chosen(joint), game.default_params)[5]
        assert np.all(np.asarray(info["executed"]) == executed)


@pytest.mark.parametrize("horizon", [None, 1, 3])
def test_terminated_says_that_the_finite_horizon_is_reached_and_truncated_never(horizon):
    game = make("ipd", horizon=horizon)
    _, state = game.reset(KEY, game.default_params)
    for step in range(1, 6):
        _, state, _, terminated, truncated, _ = jitted_step(game, KEY, state, chosen("DC"), game.default_params)
        assert bool(terminated) == (horizon is not None and step >= horizon)
        assert not bool(truncated)
        assert int(state.joint) == 3  # no hidden reset


@pytest.mark.parametrize("state_view", ["own", "shared"])
def test_one_shot_game_has_a_single_state(state_view):
    game = make("chicken", horizon=1, state_view=state_view)
    assert game.num_states == 1 and game.state_labels == ("start",)
    obs, state = game.reset(KEY, game.default_params)
    after, _, rewards, *_ = game.step(KEY, state, chosen("DD"), game.default_params)
    assert obs.tolist() == after.tolist() == [0, 0]
    assert rewards.tolist() == [-100.0, -100.0]


def test_rewards_differentiate_to_payoffs():
    game = make("ipd")
    _, start = game.reset(KEY, game.default_params)
    gradient = jax.grad(lambda params: game.step(KEY, start, chosen("DC"), params)[2][1])(game.default_params)
    expected = np.zeros((2, 2, 2))
    expected[1, D, C] = 1
    np.testing.assert_array_equal(gradient.payoffs, expected)


def test_float64_numbers_stay_float64():
    with jax.enable_x64(True):
        game = make("contribution", discount=0.96)
        params = game.default_params
        assert params.payoffs.dtype == params.discount.dtype == params.noise.dtype == jnp.float64
        assert float(params.payoffs[0, 0, 0]) == 1.33 - 1
        obs, state, rewards, *_ = game.step(KEY, game.reset(KEY, params)[1], chosen("CC"), params)
        assert rewards.dtype == jnp.float64
        assert obs.dtype == state.joint.dtype == state.step.dtype == jnp.int32


def test_description_is_normalised_hashable_and_equal_for_equal_numbers():
    nested = (((-1.0, -3.0), (0.0, -2.0)), ((-1.0, 0.0), (-3.0, -2.0)))
    written = [
        MatrixGame(payoffs=payoffs, noise=noise, horizon=horizon)
        for payoffs, noise, horizon in [
            (nested, (0.5, 0.25), 3),
            (np.array(nested, np.float32), np.array([0.5, 0.25]), np.int64(3)),
            (jnp.array(nested), [0.5, 0.25], 3),
            ([[[-1, -3], [0, -2]], [[-1, 0], [-3, -2]]], (0.5, 0.25), 3),
        ]
    ]
    assert len(set(written)) == 1
    assert written[1].payoffs == nested and written[1].noise == (0.5, 0.25)
    assert written[0] != MatrixGame(payoffs=nested)
    assert isinstance(written[0].default_params, MatrixGameParams)


IPD = make("ipd").payoffs


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"payoffs": [[1, 2], [3, 4]]}, ["payoffs", "[2, 2]", "[n, a, ..., a]"]),
        ({"payoffs": [[[1, 2, 3]] * 2] * 2}, ["payoffs", "[2, 2, 3]", "[n, a, ..., a]"]),
        ({"payoffs": [[1, 2]]}, ["payoffs", "[1, 2]", "2 to 6"]),
        ({"payoffs": np.zeros((7,) + (2,) * 7)}, ["payoffs", "[7, 2, 2, 2, 2, 2, 2, 2]", "2 to 6"]),
        ({"payoffs": [[1, 2], [3]]}, ["payoffs", "[[1, 2], [3]]"]),
        ({"payoffs": np.full((2, 2, 2), np.nan)}, ["payoffs", "nan", "finite"]),
        ({"payoffs": "ipd"}, ["payoffs", "'ipd'"]),
        ({"payoffs": 1.0}, ["payoffs", "[]"]),
        ({"payoffs": IPD, "discount": 1}, ["discount", "1", "below 1", "finite horizon"]),
        ({"payoffs": IPD, "discount": 1.5, "horizon": 3}, ["discount", "1.5"]),
        ({"payoffs": IPD, "discount": -0.1}, ["discount", "-0.1"]),
        ({"payoffs": IPD, "discount": "0.9"}, ["discount", "'0.9'"]),
        ({"payoffs": IPD, "discount": [0.9, 0.8]}, ["discount", "[0.9, 0.8]"]),
        ({"payoffs": IPD, "noise": 1.01}, ["noise", "1.01", "0 to 1"]),
        ({"payoffs": IPD, "noise": (0.1, -0.2)}, ["noise", "-0.2"]),
        ({"payoffs": IPD, "noise": (0.1, 0.1, 0.1)}, ["noise", "(0.1, 0.1, 0.1)", "2 players"]),
        ({"payoffs": IPD, "horizon": 0}, ["horizon", "0", "1 or more"]),
        ({"payoffs": IPD, "horizon": 2.0}, ["horizon", "2.0", "integer"]),
        ({"payoffs": IPD, "horizon": True}, ["horizon", "True"]),
        ({"payoffs": IPD, "state_view": "mine"}, ["state_view", "'mine'", "own or shared"]),
    ],
)
def test_bad_description_is_refused_in_one_line_with_field_value_and_what_is_allowed(settings, said):
    with pytest.raises(ValueError) as refusal:
        MatrixGame(**settings)
    message = str(refusal.value)
    assert "\n" not in message and "allowed" in message
    for text in said:
        assert text in message


def test_discount_of_one_is_allowed_with_a_finite_horizon():
    assert MatrixGame(payoffs=IPD, discount=1, horizon=10).discount == 1.0


def test_batched_arguments_without_vmap_are_refused():
    game = make("ipd")
    _, start = game.reset(KEY, game.default_params)
    with pytest.raises(ValueError, match=r"actions has the shape \[3, 2\]; allowed: \[2\] \(vmap"):
        game.step(KEY, start, jnp.zeros((3, 2), jnp.int32), game.default_params)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), game.default_params)
    with pytest.raises(ValueError, match=r"params.payoffs has the shape \[2, 2, 2, 2\]"):
        game.step(KEY, start, chosen("CC"), stacked)


def test_games_of_different_lengths_run_in_one_program():
    game = make("ipd", horizon=5)
    horizons = jnp.array([1, 3, 7], jnp.int32)
    params = jax.vmap(lambda horizon: game.default_params.replace(horizon=horizon))(horizons)

    def ends(params):
        _, start = game.reset(KEY, params)

        def step(state, _):
            _, state, _, terminated, *_ = game.step(KEY, state, chosen("CC"), params)
            return state, terminated

        return jax.lax.scan(step, start, None, length=8)[1]

    over = jax.jit(jax.vmap(ends))(params)
    assert [int(np.argmax(row)) + 1 for row in over] == [1, 3, 7]
    assert int(np.argmax(ends(game.default_params))) + 1 == 5
