"""Exact values of the Coin Game: published ones, play, finite differences and folded against unfolded.

All of it is about the chain of one game, which makes this file longer than others.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.coin_game.chain import board_number, board_of, coin_chain, num_boards
from shaping.rules import named_rules


@functools.partial(jax.jit, static_argnames="form")
def returns(form, params, thetas):
    return form.objective(params)(thetas)[0]


@functools.partial(jax.jit, static_argnames="form")
def taken(form, params, thetas):
    return form.pickups(params, thetas)


CERTAIN = 60.0
"""A logit that makes an action certain to every digit."""


def game(dialect="pola", **settings):
    return envs.make("coin_game", dialect=dialect, **settings)


def exact(env, memory=False, folded=True, **settings):
    policies = tuple(shaping.coin_table(env, player, memory, folded) for player in range(env.num_players))
    return shaping.exact_coin_game(env, policies, memory=memory, folded=folded, **settings)


def drawn(form, seed=0, scale=1.0):
    shapes = [policy.shapes.shape for policy in form.policies]
    numbers = np.random.default_rng(seed)
    return [jnp.asarray(scale * numbers.normal(size=shape), dtype=float) for shape in shapes]


def shortest(player, coin, side=3):
    """POLA's `get_moves_shortest_path`: left or right along the shorter way, unless up or down is also needed."""
    down, right = (coin // side - player // side) % side, (coin % side - player % side) % side
    move = 0
    if right:
        move = 0 if right < side - right else 1
    if down:
        move = 2 if down < side - down else 3
    return move


def tables(env, flees):
    """Logits of who goes for any coin, or flees from the coin of the other (the move opposite to the way there)."""
    boards = board_of(env, np.arange(num_boards(env, True)), True)
    theta = np.zeros((len(boards.colour), 4))
    for state, (players, coins, colour) in enumerate(zip(boards.players, boards.coins, boards.colour, strict=True)):
        move = shortest(players[0], coins[0])
        if flees and colour == 1:
            move = [1, 0, 3, 2][move]
        theta[state, move] = CERTAIN
    return jnp.asarray(theta, dtype=float)


PUBLISHED = [
    # dialect, policies, reward per step of each, pickups [player, colour] per episode
    ("pola", "random", "random", (0, 0), [[2.8281, 2.8281], [2.8281, 2.8281]]),
    ("pola", "any", "any", (0, 0), [[16.4841, 16.4841], [16.4841, 16.4841]]),
    ("pola", "own", "own", (0.332242, 0.332242), [[16.6121, 0], [0, 16.6121]]),
    ("pola", "own", "any", (-0.259509, 0.621775), [[12.9754, 0], [12.9754, 18.1133]]),
    ("pola", "random", "any", (-0.531121, 0.531121), None),
    ("pola", "random", "own", (0.112507, 0.060182), None),
    ("lola_dice", "random", "random", (0, 0), [[8.4732, 8.4732], [8.4732, 8.4732]]),
    ("lola_dice", "own", "own", (0.332970, 0.332970), None),
    ("lola_dice", "own", "any", (-0.259627, 0.622905), None),
    ("lola2018", "random", "random", (0.012548, None), None),
    ("lola2018", "any", "any", (0.659577, None), None),
    ("mfos", "random", "random", (0, 0), [[1.691142, 1.691142], [1.691142, 1.691142]]),
]


@functools.cache
def measured(dialect):
    """A compiled `thetas -> (mean reward per step [players], pickups [players, colours])` of an episode."""
    env = game(dialect)
    form, params = exact(env, discount=1.0)
    steps = env.horizon - (env.last_step == "restart")
    return env, jax.jit(lambda *thetas: (returns(form, params, thetas) / steps, taken(form, params, thetas)))


@pytest.mark.parametrize(("dialect", "first", "second", "rewards", "pickups"), PUBLISHED)
def test_values_of_scripted_policies_are_those_of_the_published_programs(dialect, first, second, rewards, pickups):
    """Against the exact Markov chain of each published program: POLA `coin_game_jax.py`, LOLA-DiCE and LOLA
    `lola/envs`, M-FOS `coin_game_envs.py` (15 steps, the 16th is a reset)."""
    env, of = measured(dialect)
    known = {"random": jnp.zeros((num_boards(env, True), 4))}
    if env.coins == "alternating":
        known |= {"any": tables(env, flees=False), "own": tables(env, flees=True)}
    found, counts = of(known[first], known[second])
    for player, reward in enumerate(rewards):
        if reward is not None:
            assert float(found[player]) == pytest.approx(reward, abs=1e-5)
    if pickups is not None:
        np.testing.assert_allclose(counts, pickups, atol=1e-4)


def test_the_first_step_of_mfos_picks_up_a_ninth_of_each_coin():
    form, params = exact(game("mfos", horizon=2))
    thetas = [jnp.zeros((num_boards(form.env, True), 4))] * 2
    np.testing.assert_allclose(taken(form, params, thetas), np.full((2, 2), 1 / 9), rtol=1e-6)


def test_values_are_rewards_times_what_is_picked_up():
    form, params = exact(game(horizon=7), discount=1.0)
    thetas = drawn(form, 1)
    (rr, rb), (br, bb) = np.asarray(taken(form, params, thetas))
    found = returns(form, params, thetas)
    np.testing.assert_allclose(found, [rr + rb - 2 * br, br + bb - 2 * rb], rtol=1e-4, atol=1e-6)
    other = params.replace(rewards=jnp.array([[2.0, 0.5, -1.0], [0.0, -3.0, 7.0]]))
    found = returns(form, other, thetas)
    np.testing.assert_allclose(found, [2 * rr + 0.5 * rb - br, -3 * br + 7 * rb], rtol=1e-4, atol=1e-6)


def test_a_coin_that_several_take_is_paid_for_once_or_by_each_taker():
    each, once = (exact(game(num_players=3, grid=2, penalty=p), discount=0.5) for p in ("per_taker", "per_coin"))
    thetas = [jnp.zeros((num_boards(each[0].env, True), 4))] * 3
    per_taker, per_coin = (returns(form, params, thetas) for form, params in (each, once))
    assert np.all(per_coin > per_taker + 1e-3)
    np.testing.assert_allclose(taken(*each, thetas), taken(*once, thetas), rtol=1e-6)


def played(env, form, thetas, batch, discount, key=0):
    """Discounted rewards [batch, players] and pickups [batch, players, colours] of episodes in the environment."""

    def episode(key):
        start, run = jax.random.split(key)
        seen, state = env.reset(start, env.default_params)
        memories = [policy.start(()) for policy in form.policies]

        def step(carry, key):
            seen, state, memories = carry
            actions, later = [], []
            for player, policy in enumerate(form.policies):
                distribution, memory = policy.apply(thetas[player], seen[player], memories[player])
                actions.append(distribution.sample(seed=jax.random.fold_in(key, 1 + player)))
                later.append(memory)
            seen, state, rewards, _, _, info = env.step(key, state, jnp.stack(actions), env.default_params)
            return (seen, state, later), (rewards, info["pickups"])

        _, (rewards, pickups) = jax.lax.scan(step, (seen, state, memories), jax.random.split(run, env.horizon))
        weights = discount ** jnp.arange(env.horizon)
        return jnp.sum(rewards * weights[:, None], axis=0), jnp.sum(pickups, axis=0)

    return jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(key), batch))


@pytest.mark.parametrize(
    ("settings", "memory", "folded"),
    [
        ({"dialect": "pola", "noise": (0.3, 0.05)}, True, True),
        pytest.param({"dialect": "jaxmarl", "grid": (2, 3)}, False, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "mfos"}, False, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "lola2018"}, False, False, marks=pytest.mark.slow),
        pytest.param({"dialect": "loqa", "noise": 0.2}, False, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "pax"}, False, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "reciprocator", "grid": (2, 3)}, True, True, marks=pytest.mark.slow),
        pytest.param({"num_players": 3, "grid": 2, "view": "cyclic"}, True, True, marks=pytest.mark.slow),
    ],
)
def test_play_agrees_with_exact_values_and_pickups_within_four_standard_errors(settings, memory, folded):
    env = game(**settings, horizon=10)
    form, params = exact(env, memory, folded, discount=0.9)
    # Far from indifferent: a state taken for another would show.
    thetas = drawn(form, 3, scale=3.0)
    sums = played(env, form, thetas, 20_000, 0.9)
    for found, expected in zip(sums, (returns(form, params, thetas), taken(form, params, thetas)), strict=True):
        found, expected = np.asarray(found, float), np.asarray(expected)
        assert np.all(np.abs(found.mean(0) - expected) < 4 * found.std(0) / np.sqrt(len(found)) + 1e-6)


@pytest.mark.parametrize("settings", [{"folded": False, "memory": True}, pytest.param({}, marks=pytest.mark.slow)])
def test_an_endless_game_agrees_with_a_long_one(x64, settings):
    endless, numbers = exact(game(grid=(1, 3)), infinite=True, discount=0.8, **settings)
    long, _ = exact(game(grid=(1, 3), horizon=200), discount=0.8, **settings)
    thetas = drawn(endless)
    np.testing.assert_allclose(returns(endless, numbers, thetas), returns(long, numbers, thetas), rtol=1e-12)


def test_at_discount_1_the_reported_value_is_the_mean_per_step():
    form, params = exact(game(horizon=9), discount=1.0)
    thetas = [tables(form.env, flees=True)] * 2
    values = returns(form, params, thetas) * form.value_scale(params)
    assert np.all(np.isfinite(values))
    np.testing.assert_allclose(values, np.trace(taken(form, params, thetas)) / 2 / 9, rtol=1e-5)


@pytest.mark.parametrize(
    ("infinite", "memory"),
    [
        (False, False),
        pytest.param(True, False, marks=pytest.mark.slow),
        pytest.param(False, True, marks=pytest.mark.slow),
        pytest.param(True, True, marks=pytest.mark.slow),
    ],
)
def test_folded_and_unfolded_games_agree_and_so_do_their_gradients(x64, infinite, memory):
    """3 x 3: the folded board alone goes through dense products, the rest through sparse ones."""
    env = game(horizon=8)
    folded, params = exact(env, memory, True, infinite=infinite, discount=0.7)
    whole, _ = exact(env, memory, False, infinite=infinite, discount=0.7)
    boards = board_of(env, np.arange(num_boards(env, False)), False)
    fold = board_number(env, boards, True)
    memories = 9 if memory else 1
    embed = (np.arange(memories)[:, None] * num_boards(env, True) + fold).reshape(-1)

    def spread(form, embedded):
        def value(thetas):
            return form.objective(params)([theta[embedded] for theta in thetas])[0]

        return jax.jit(
            lambda thetas: (value(thetas), jax.grad(lambda thetas: value(thetas) @ jnp.array([1.0, 0.3]))(thetas))
        )

    thetas = drawn(folded, 5)
    short = spread(folded, slice(None))(thetas)
    long = spread(whole, embed)(thetas)
    np.testing.assert_allclose(short[0], long[0], rtol=1e-10)
    for one, other in zip(short[1], long[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-14)


def tiny(**settings):
    """1 x 3 cells, where up and down stay in place: 18 folded states, of which transitions are kept dense, or with the
    memory on unfolded boards 486, whose are sparse."""
    return exact(game(grid=(1, 3), horizon=6), discount=settings.pop("discount", 0.8), **settings)


TINY = [(False, True), (True, False)] + [
    pytest.param(sparse, sparse, marks=pytest.mark.slow) for sparse in (False, True)
]
"""Sparse or dense, infinite or not."""


@pytest.mark.parametrize(("sparse", "infinite"), TINY)
def test_derivatives_equal_central_differences(x64, infinite, sparse):
    form, params = tiny(infinite=infinite, memory=sparse, folded=not sparse)
    thetas, direction = drawn(form, 7), drawn(form, 8)
    # Unequal weights, or the game's symmetry would hide an exchange of players.
    total = jax.jit(lambda thetas: returns(form, params, thetas) @ jnp.array([1.0, -0.4]))
    slope = jax.jit(jax.grad(total))
    curve = jax.jit(lambda thetas, tangent: jax.jvp(slope, (thetas,), (tangent,))[1])

    def at(step, function):
        return function([theta + step * d for theta, d in zip(thetas, direction, strict=True)])

    step = 1e-5
    along = sum(jnp.vdot(g, d) for g, d in zip(slope(thetas), direction, strict=True))
    assert abs(float(along)) > 1e-3
    np.testing.assert_allclose(along, (at(step, total) - at(-step, total)) / (2 * step), rtol=1e-7)
    ahead, behind, curved = at(step, slope), at(-step, slope), curve(thetas, direction)
    for player in range(2):
        assert np.abs(curved[player]).max() > 1e-3
        np.testing.assert_allclose(curved[player], (ahead[player] - behind[player]) / (2 * step), rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_a_gradient_on_three_by_three_cells_equals_central_differences(x64):
    form, params = exact(game(), infinite=True, folded=False, discount=0.9)
    thetas, step = drawn(form, 9), 1e-5
    value = jax.jit(lambda thetas: form.objective(params)(thetas)[0][0])
    found = jax.jit(jax.grad(value))(thetas)
    for player in range(2):
        state, action = np.unravel_index(np.abs(found[player]).argmax(), found[player].shape)
        there = [
            [theta.at[state, action].add(s) if i == player else theta for i, theta in enumerate(thetas)]
            for s in (step, -step)
        ]
        expected = (value(there[0]) - value(there[1])) / (2 * step)
        np.testing.assert_allclose(found[player][state, action], expected, rtol=1e-6)


@pytest.mark.parametrize(("sparse", "infinite"), TINY)
def test_numbers_are_data_and_a_batch_equals_one_at_a_time(x64, infinite, sparse):
    form, params = tiny(infinite=infinite, memory=sparse, folded=not sparse)
    numbers = np.random.default_rng(0)
    several = params.replace(
        rewards=jnp.asarray(numbers.normal(size=(5, 2, 3))),
        discount=jnp.array([0.0, 0.5, 0.9, 0.96, 0.3]),
        noise=jnp.asarray(numbers.uniform(size=(5, 2))),
    )
    thetas = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[drawn(form, seed) for seed in range(5)])

    def value(params, thetas):
        return returns(form, params, thetas), jax.grad(lambda thetas: returns(form, params, thetas)[1])(thetas)

    together = jax.jit(jax.vmap(value))(several, thetas)
    alone = jax.jit(value)
    for row in range(5):
        found = jax.tree.map(lambda leaf, row=row: leaf[row], together)
        expected = alone(*jax.tree.map(lambda leaf, row=row: leaf[row], (several, thetas)))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), found, expected)


@pytest.mark.parametrize(("sparse", "infinite"), TINY)
def test_values_can_be_differentiated_in_the_numbers_too(x64, infinite, sparse):
    form, params = tiny(infinite=infinite, memory=sparse, folded=not sparse)
    params = params.replace(noise=jnp.array([0.1, 0.3]))
    thetas, step = drawn(form, 2), 1e-6
    value = jax.jit(lambda params: form.objective(params)(thetas)[0][0])
    slope = jax.jit(jax.grad(value))(params)
    up, down = (value(params.replace(discount=params.discount + s)) for s in (step, -step))
    np.testing.assert_allclose(slope.discount, (up - down) / (2 * step), rtol=1e-6)
    up, down = (value(params.replace(noise=params.noise + s)) for s in (jnp.array([step, 0]), jnp.array([-step, 0])))
    np.testing.assert_allclose(slope.noise[0], (up - down) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(jnp.vdot(slope.rewards, params.rewards), value(params), rtol=1e-9)


def test_noise_is_a_mixture_with_the_uniform_policy(x64):
    form, params = tiny()
    thetas = drawn(form, 4)
    noisy = returns(form, params.replace(noise=jnp.array([0.25, 0.6])), thetas)
    mixed = [jnp.log((1 - e) * jax.nn.softmax(t) + e / 4) for e, t in zip((0.25, 0.6), thetas, strict=True)]
    np.testing.assert_allclose(noisy, returns(form, params, mixed), rtol=1e-10)


def test_the_distance_is_the_divergence_of_the_old_policy_from_the_new():
    form, _ = tiny()
    new, old = drawn(form, 1)[0], drawn(form, 2)[0]
    p, q = np.asarray(jax.nn.softmax(old), float), np.asarray(jax.nn.softmax(new), float)
    np.testing.assert_allclose(form.distance(0, new, old, None), np.sum(p * np.log(p / q)), rtol=1e-4)


def test_lola_in_its_variants_follows_from_finite_differences_of_returns(x64):
    """Gradients of all players in all parameters by differences, products by hand; a negative lookahead would show."""
    form, params = tiny(discount=0.9)
    thetas, eta = drawn(form, 6), 0.7
    size, shape = thetas[0].size, thetas[0].shape
    objective = form.objective(params)
    value = jax.jit(lambda flat: objective([flat[:size].reshape(shape), flat[size:].reshape(shape)])[0])
    flat, step = np.concatenate([theta.reshape(-1) for theta in thetas]), 1e-5
    slopes = jax.jit(jax.vmap(jax.jacrev(value)))

    def jacobian(points):
        return np.asarray(slopes(jnp.asarray(points)))

    shifts = step * np.eye(2 * size)
    hessian = (jacobian(flat + shifts[size:]) - jacobian(flat - shifts[size:])) / (2 * step)  # [second's, value, all]
    gradient = jacobian(flat[None])[0]  # [value, all]
    # How player 0's parameters move player 1's gradient, and how player 1's move player 0's own.
    learning, own = hessian[:, 1, :size].T, hessian[:, 0, :size].T
    original = gradient[0, :size] + eta * learning @ gradient[0, size:]
    taylor = original + eta * own @ gradient[1, size:]
    shaping_term = eta * learning @ gradient[0, size:]
    assert np.abs(shaping_term).max() > 1e-3
    for variant, expected in (("original", original), ("taylor", taylor)):
        found = jax.jit(lambda rule: rule.direction(objective, thetas, 0))(shaping.lola(variant, eta))
        np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-4, atol=1e-7)

    def after_their_step(first):
        point = np.concatenate([first, flat[size:]])
        return float(
            value(jnp.asarray(np.concatenate([first, flat[size:] + eta * jacobian(point[None])[0, 1, size:]])))[0]
        )

    found = np.asarray(jax.jit(lambda rule: rule.direction(objective, thetas, 0))(shaping.lola("exact", eta)))
    along = np.random.default_rng(0).normal(size=size)
    expected = (after_their_step(flat[:size] + step * along) - after_their_step(flat[:size] - step * along)) / (
        2 * step
    )
    np.testing.assert_allclose(found.reshape(-1) @ along, expected, rtol=1e-5)
    assert abs(expected - gradient[0, :size] @ along) > 1e-3


# Local symplectic surgery inverts the game's Jacobian, which a logit for every action makes singular.
_EXACT = {name: make() for name, make in named_rules().items() if name != "lss" and not make().needs_information_sets}
RULES = [name for name, rule in _EXACT.items() if rule.prepare is None]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in ("naive", "lookahead") else pytest.mark.slow) for n in RULES]
)
def test_every_rule_has_a_direction_in_it(x64, name):
    form, params = tiny()
    thetas = drawn(form, 1)
    rule = named_rules()[name]()
    found = jax.jit(lambda thetas: rule.direction(form.objective(params), thetas, 1))(thetas)
    assert found.shape == thetas[1].shape and bool(jnp.all(jnp.isfinite(found)))
    assert float(jnp.abs(found).max()) > 1e-4
    ahead = [thetas[0], thetas[1] + 1e-3 * found]
    if name == "naive":
        before, after = (returns(form, params, t)[1] for t in (thetas, ahead))
        np.testing.assert_allclose(after - before, 1e-3 * jnp.sum(found**2), rtol=1e-2)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"discount": 1.0, "infinite": True}, "discount is 1.0; allowed: a number from 0 to below 1"),
        ({"discount": -0.1}, "discount is -0.1; allowed"),
        ({"memory": True}, r"logits of shape \[18, 4\]; allowed: \[162, 4\]"),
        ({"folded": False}, r"logits of shape \[18, 4\]; allowed: \[54, 4\]"),
    ],
)
def test_what_does_not_fit_is_refused(settings, reason):
    env = game(grid=(1, 3))
    with pytest.raises(ValueError, match=reason):
        shaping.exact_coin_game(env, [shaping.coin_table(env, player) for player in range(2)], **settings)


def test_too_few_policies_and_a_horizon_that_pays_nothing_are_refused():
    env = game(grid=(1, 3))
    with pytest.raises(ValueError, match="policies has the length 1; allowed: 2"):
        shaping.exact_coin_game(env, [shaping.coin_table(env)])
    env = game("jaxmarl", grid=(1, 2), horizon=1)
    with pytest.raises(ValueError, match="horizon is 1; allowed: 2 or more with last_step no_reward"):
        exact(env)
    exact(env, infinite=True)


def test_a_chain_is_enumerated_once_however_it_is_asked_for():
    form, _ = tiny()
    assert form.chain is coin_chain(form.env) is coin_chain(form.env, memory=False)
    assert coin_chain(form.env, memory=True).pickups is form.chain.pickups
