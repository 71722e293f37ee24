"""Fruit market: its numbers and maps, the order of a step, barter, conservation of goods, and what is measured."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.fruit_market import rules, trading
from shaping.envs.fruit_market.game import CANCEL, EAT_OTHER, EAT_OWN, OFFERS
from shaping.envs.fruit_market.maps import read_map
from shaping.envs.fruit_market.measures import gain_of_resale
from tests.compiling import quickly

STAY, UP, RIGHT, DOWN, LEFT = range(5)
APPLES, BANANAS = 0, 1
FIVE = envs.make("fruit_market", num_players=5, apple_farmers=3)


@functools.cache
def step_of(env):
    return quickly(env.step)


def state_of(env, places, **given):
    """A state without trees in which players stand apart, rested and with empty hands, except as given."""
    _, start = env.reset(jax.random.key(0), env.default_params)
    plain = start.replace(places=jnp.array(places, jnp.int32), trees=jnp.zeros_like(start.trees))
    return plain.replace(**{what: jnp.array(value, jnp.int32) for what, value in given.items()})


def offer(env, gives, asks, own=True):
    """The action that gives up to so much of the own fruit, or else of the other, for so much."""
    kind = ("own", "other") if own else ("other", "own")
    return env.actions.index(f"give up to {gives} {kind[0]} for {asks} {kind[1]}")


CORNERS = [[0, 0], [0, 2], [0, 4], [2, 0], [2, 2]]


def played(state, actions, key=0, env=FIVE, **numbers):
    params = env.default_params.replace(**{k: jnp.asarray(v, jnp.int32) for k, v in numbers.items()})
    _, after, rewards, _, _, info = step_of(env)(jax.random.key(key), state, jnp.array(actions, jnp.int32), params)
    return after, rewards, info


def test_the_numbers_are_those_of_melting_pot():
    """meltingpot/configs/substrates/fruit_market.py: specialities, tastes, hunger, water, trees and offers."""
    env = envs.make("fruit_market", num_players=16, layout="rivers", apple_trees=0.05, banana_trees=0.05)
    params = env.default_params
    assert (params.own_tree_chance, params.other_tree_chance, params.harvest) == (1, np.float32(0.04), 2)
    assert (params.own_fruit_reward, params.other_fruit_reward, params.regrowth) == (1, 8, 50)
    assert (params.radius, params.hunger_delay, params.water_cost, params.horizon) == (4, 50, 1, 1000)
    assert env.kinds.tolist() == [APPLES] * 8 + [BANANAS] * 8 and rules.FULL == 18
    gives, asks = 3, 2
    assert env.action_space.num_values == OFFERS + 2 * gives * asks


def test_regions_are_what_rivers_keep_apart():
    banks, rivers = read_map("banks"), read_map("rivers")
    assert (banks.regions, rivers.regions, read_map("small").regions) == (2, 4, 1)
    assert banks.region[0].tolist() == [0] * 4 + [2] + [1] * 4
    # From the outside in, because regions are numbered in reading order.
    assert rivers.region[13, :14].tolist() == [0, 0, 0, 4, 1, 1, 4, 2, 2, 4, 3, 3, 3, 3]


def test_trees_stand_where_they_may_as_often_as_their_regions_say():
    env = envs.make(
        "fruit_market",
        layout=("PPT ~TTWT",) * 2,
        num_players=2,
        apple_trees=(0.5, 0.0, 1.0),
        banana_trees=0.3,
    )
    assert env.apple_trees == (0.5, 0.0, 1.0) and env.banana_trees == (0.3, 0.3, 0.3)
    trials = 2000
    _, start = quickly(jax.vmap(lambda key: env.reset(key, env.default_params)))(
        jax.random.split(jax.random.key(0), trials)
    )
    share = [np.mean(np.asarray(start.trees).reshape(trials, 2, 9) == kind, axis=(0, 1)) for kind in (1, 2)]
    # Two cells for each column, and four standard errors.
    error = 4 * np.sqrt(0.25 / (2 * trials))
    np.testing.assert_allclose(share[0], [0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 1], atol=error)
    np.testing.assert_allclose(share[1], [0.3, 0.3, 0.3, 0, 0, 0.3, 0.3, 0, 0], atol=error)
    assert set(np.unique(start.trees[:, [3, 4, 7]])) == {0}


def test_own_trees_give_two_fruit_at_once_other_trees_rarely_and_both_rest_fifty_steps():
    trees = np.zeros((5, 5), int)
    trees[0, 0], trees[0, 2] = 1, 2  # seats 0 and 1 grow apples
    trials = 1000
    state = state_of(FIVE, CORNERS, trees=trees.reshape(-1))
    step = quickly(jax.vmap(lambda key: FIVE.step(key, state, jnp.zeros(5, jnp.int32), FIVE.default_params)))
    _, after, _, _, _, info = step(jax.random.split(jax.random.key(0), trials))
    assert (np.asarray(info["harvested"])[:, 0] == [2, 0]).all() and (after.ripe_in[:, 0] == 50).all()
    banana = np.asarray(info["harvested"][:, 1, BANANAS])
    assert set(banana) == {0, 2}
    assert abs(np.mean(banana == 2) - 0.04) < 4 * np.sqrt(0.04 * 0.96 / trials)
    np.testing.assert_array_equal(after.ripe_in[:, 2], np.where(banana == 2, 50, 0))
    later, _, info = played(jax.tree.map(lambda leaf: leaf[0], after), [STAY] * 5)
    assert later.ripe_in[0] == 49 and info["harvested"][0].sum() == 0


def test_what_a_fruit_is_worth_depends_on_who_eats_it_and_nobody_eats_what_it_does_not_hold():
    state = state_of(FIVE, CORNERS, held=[[1, 1], [1, 1], [0, 0], [1, 1], [1, 1]], hunger=[9] * 5)
    after, rewards, info = played(state, [EAT_OWN, EAT_OTHER, EAT_OWN, EAT_OWN, EAT_OTHER])
    assert rewards.tolist() == [1, 8, 0, 1, 8]
    assert after.held.tolist() == [[0, 1], [1, 0], [0, 0], [1, 0], [0, 1]]
    assert after.hunger.tolist() == [0, 0, 10, 0, 0] and info["eaten"].sum() == 4


def test_a_trade_moves_what_was_asked_for_and_takes_both_offers_away():
    """Seat 0 gives up to 3 apples for 1 banana, seat 3 up to 2 bananas for 2 apples."""
    state = state_of(FIVE, CORNERS, held=[[3, 0], [0, 0], [0, 0], [0, 2], [0, 0]])
    after, _, info = played(state, [offer(FIVE, 3, 1), STAY, STAY, offer(FIVE, 2, 2), STAY])
    assert info["traded"].tolist() == [[-2, 1], [0, 0], [0, 0], [2, -1], [0, 0]]
    assert info["partner"].tolist() == [3, -1, -1, 0, -1]
    assert after.held.tolist() == [[1, 1], [0, 0], [0, 0], [2, 1], [0, 0]] and not after.offers.any()


def test_no_trade_beyond_the_radius_beyond_ones_means_or_where_offers_do_not_fit():
    far = state_of(FIVE, [[0, 0], [0, 2], [0, 4], [4, 4], [2, 2]], held=[[3, 0], [0, 0], [0, 0], [0, 2], [0, 0]])
    fitting = [offer(FIVE, 3, 1), STAY, STAY, offer(FIVE, 2, 2), STAY]
    after, _, info = played(far, fitting)
    assert not info["traded"].any() and after.offers[0].tolist() == [-3, 1], "an offer stands until it is carried out"
    assert played(far, fitting, radius=6)[2]["traded"].any()
    near = state_of(FIVE, CORNERS, held=[[2, 0], [0, 0], [0, 0], [0, 2], [0, 0]])
    assert not played(near, fitting)[2]["traded"].any(), "who holds 2 apples cannot give up to 3"
    near = near.replace(held=near.held * 2)
    assert not played(near, [offer(FIVE, 1, 1), STAY, STAY, offer(FIVE, 2, 2), STAY])[2]["traded"].any()
    same_side = [offer(FIVE, 3, 1), offer(FIVE, 3, 1), STAY, STAY, STAY]
    assert not played(near.replace(held=near.held + 3), same_side)[2]["traded"].any()
    after, *_ = played(far.replace(offers=after.offers), [CANCEL, STAY, STAY, CANCEL, STAY])
    assert not after.offers.any()


def test_dominated_offers_are_dropped_for_either_side():
    """Seats 0 and 1 sell apples to seat 3: 0 gives less for the same. It is never 0, in any order of turns."""
    state = state_of(FIVE, CORNERS, held=[[3, 0], [3, 0], [0, 0], [0, 2], [0, 2]])
    buys = offer(FIVE, 2, 1)
    chosen = [offer(FIVE, 2, 1), offer(FIVE, 3, 1), STAY, buys, STAY]
    for key in range(12):
        assert played(state, chosen, key)[2]["partner"].tolist() == [-1, 3, -1, 1, -1]
    # With a second buyer, the dominated seller finds it once the better offer is gone.
    for key in range(6):
        assert min(played(state, [*chosen[:4], buys], key)[2]["partner"].tolist()[:2]) >= 3
    # Equal offers are not dominated: each of the two sellers finds the buyer in some order.
    alike = [offer(FIVE, 3, 1)] * 2 + [STAY, buys, STAY]
    assert {played(state, alike, key)[2]["partner"].tolist()[3] for key in range(12)} == {0, 1}


def slow_partners(offers, near, ranks):
    """The same as `trading.partners`, written as the loop that its docstring describes."""
    players = sorted(range(len(offers)), key=lambda i: ranks[i])
    offers, found = [list(offer) for offer in offers], [-1] * len(offers)

    def fitting(i):
        return [
            j
            for j in players
            if near[i][j]
            and any(x > 0 for x in offers[i])
            and any(x > 0 for x in offers[j])
            and all(x <= 0 or -y >= x for x, y in zip(offers[i], offers[j], strict=True))
            and all(x <= 0 or -y >= x for x, y in zip(offers[j], offers[i], strict=True))
        ]

    def kept(i):
        some = fitting(i)
        better = {
            (a, b): offers[a] != offers[b] and all(x <= y for x, y in zip(offers[a], offers[b], strict=True))
            for a in some
            for b in some
        }
        return [b for b in some if not any(better[a, b] for a in some)]

    for i in players:
        partner = next((j for j in kept(i) if i in kept(j)), None)
        if partner is not None:
            found[i], found[partner] = partner, i
            offers[i] = offers[partner] = [0, 0]
    return found


def test_partners_are_found_as_by_a_loop_over_players_with_a_turn_each():
    rng, n, trials = np.random.default_rng(0), 9, 400
    sizes = rng.integers(1, 4, (trials, n, 2)) * np.where(rng.random((trials, n, 1)) < 0.5, [-1, 1], [1, -1])
    offers = np.where(rng.random((trials, n, 1)) < 0.9, sizes, 0).astype(np.int32)
    near = rng.random((trials, n, n)) < 0.8
    near &= near.transpose(0, 2, 1)
    ranks = np.argsort(rng.random((trials, n))).astype(np.int32)

    def find(offers, near, ranks):
        return trading.partners(trading.fit(offers, near), trading.better(offers), ranks)

    found = np.asarray(quickly(jax.vmap(find))(offers, near, ranks))
    expected = [slow_partners(*one) for one in zip(offers.tolist(), near.tolist(), ranks.tolist(), strict=True)]
    np.testing.assert_array_equal(found, expected)
    assert np.mean(found >= 0) > 0.3


def test_under_random_play_goods_are_conserved_and_every_trade_is_feasible():
    """Every fruit that was harvested is held or was eaten; what one gets in a trade another gives; nobody gives more
    than it holds or has offered, and everybody gets what it asked for."""
    env = envs.make(
        "fruit_market", num_players=6, layout="banks", regrowth=5, apple_trees=(0.5, 0.1), other_tree_chance=0.3
    )
    steps, batch = 300, 16
    params = env.default_params

    def play(key):
        def step(state, time):
            now = jax.random.fold_in(key, time)
            actions = env.action_space.sample(jax.random.fold_in(now, 1), (6,))
            _, after, rewards, _, _, info = env.step(now, state, actions, params)
            return after, (state, after, actions, rewards, info)

        return jax.lax.scan(step, env.reset(key, params)[1], jnp.arange(steps))[1]

    keys = jax.random.split(jax.random.key(3), batch)
    before, after, actions, rewards, info = jax.tree.map(np.asarray, quickly(jax.vmap(play))(keys))
    harvested, eaten, traded, partner = (info[what] for what in ("harvested", "eaten", "traded", "partner"))
    for goods in (harvested, eaten, after.held):
        assert (goods >= 0).all()
    np.testing.assert_array_equal(after.held - before.held, harvested + traded - eaten)
    np.testing.assert_array_equal(after.held[:, -1], (harvested + traded - eaten).sum(1))
    np.testing.assert_array_equal(traded.sum(2), np.zeros((batch, steps, 2)))
    seats = np.arange(6)
    trades = partner >= 0
    assert trades.sum() > 100, "the test sees trades"
    theirs = np.take_along_axis(partner, np.maximum(partner, 0), 2)
    assert (theirs[trades] == np.broadcast_to(seats, partner.shape)[trades]).all()
    np.testing.assert_array_equal(
        traded, -np.where(trades[..., None], np.take_along_axis(traded, np.maximum(partner, 0)[..., None], 2), 0)
    )
    # The offers with which they went into the trades: those made in this step, or those that stood.
    made = env._offers()[seats, np.maximum(actions - OFFERS, 0)]
    stood = np.where((actions >= OFFERS)[..., None], made, np.where((actions == CANCEL)[..., None], 0, before.offers))
    np.testing.assert_array_equal(np.maximum(traded, 0)[trades], np.maximum(stood, 0)[trades])
    assert (traded >= stood)[trades].all(), "nobody gives more than it offers"
    assert (after.held - traded + np.minimum(stood, 0) >= 0)[trades].all(), "everybody held all that it offered"
    apart = after.places - np.take_along_axis(after.places, np.maximum(partner, 0)[..., None], 2)
    assert (np.sum(apart**2, -1)[trades] <= env.radius**2).all()
    np.testing.assert_array_equal(
        rewards, np.sum(eaten * np.where(np.stack([env.kinds, 1 - env.kinds], 1) == 0, 1.0, 8.0), -1)
    )


def test_moves_and_hunger_and_water_tire_and_rest_restores():
    env = envs.make("fruit_market", layout=("PP ", "~~ "), num_players=2)
    state = state_of(env, [[0, 0], [0, 1]], stamina=[18, 10])
    after, *_ = played(state, [STAY, RIGHT], env=env)
    assert after.stamina.tolist() == [18, 10] and after.moves.tolist() == [0, 1]
    after, *_ = played(after, [STAY, LEFT], env=env)
    assert after.stamina.tolist() == [18, 9] and after.moves.tolist() == [0, 0]
    after, *_ = played(after, [STAY, STAY], env=env)
    assert after.stamina.tolist() == [18, 10]
    after, *_ = played(after, [STAY, DOWN], env=env)
    assert after.places.tolist() == [[0, 0], [1, 1]] and after.stamina.tolist() == [18, 9]
    hungry = state_of(env, [[0, 0], [0, 1]], stamina=[18, 0], hunger=[48, 49])
    after, *_ = played(hungry, [STAY, STAY], env=env)
    assert after.stamina.tolist() == [18, 0] and after.hunger.tolist() == [49, 50]
    after, *_ = played(after, [STAY, STAY], env=env)
    assert after.stamina.tolist() == [17, 0]


@pytest.mark.parametrize(("stamina", "steps"), [(7, 0), (6, 2), (1, 2), (0, 6)])
def test_a_tired_player_rests_after_each_move(stamina, steps):
    others = [STAY] * 4
    state = state_of(FIVE, CORNERS, stamina=[stamina, 18, 18, 18, 18])
    after, *_ = played(state, [DOWN, *others])
    assert after.places[0].tolist() == [1, 0] and after.weary.tolist() == [steps, 0, 0, 0, 0]
    for _ in range(steps):
        assert after.places[0].tolist() == [1, 0]
        after, *_ = played(after, [UP, *others])
    after, *_ = played(after, [UP, *others])
    assert after.places[0].tolist() == [0, 0]


def test_own_and_other_are_what_a_player_grows():
    """An apple farmer and a banana farmer in mirrored positions see the same."""
    env = envs.make("fruit_market", layout=("PTTTP",), num_players=2)
    state = state_of(env, [[0, 0], [0, 4]], trees=[0, 1, 0, 2, 0], held=[[2, 1], [1, 2]], offers=[[-2, 1], [1, -2]])
    seen = np.asarray(env.observe(state, env.default_params))
    windows = seen[:, :200].reshape(2, 5, 5, 8)
    np.testing.assert_array_equal(windows[0], windows[1][:, ::-1])
    np.testing.assert_array_equal(seen[0, 200:], seen[1, 200:])
    assert windows[0, 2, 3].tolist() == [1, 0, 0, 0, 0, 0, 0, 0], "a ripe tree of the own fruit"
    assert windows[0, 2, 2].tolist() == [0, 0, 0, 0, 1, 0, 0, 0], "itself"
    np.testing.assert_allclose(seen[0, 200:], [2 / 7, 1 / 6, -2 / 3, 1 / 3, 0, 1, 0, 0, 1, 1 / 3, -2 / 3], rtol=1e-6)


def test_prices_by_region_arbitrage_and_scarcity_are_what_trades_say():
    env = envs.make("fruit_market", layout="banks", num_players=2)
    counts = env.start_counts()
    trades = [  # apples that seat 0 gets, bananas that it gets, regions of both seats
        ([1, -1], (0, 0)),
        ([1, -2], (0, 0)),
        ([-2, 6], (1, 1)),
        ([-1, 1], (1, 2)),
    ]
    for number, (got, where) in enumerate(trades):
        info = {
            "harvested": jnp.array([[2, 0], [0, 3]], jnp.int32),
            "eaten": jnp.array([[1, 0], [1, 0]], jnp.int32),
            "traded": jnp.array([got, [-x for x in got]], jnp.int32),
            "partner": jnp.array([1, 0], jnp.int32),
            "region": jnp.array(where, jnp.int32),
        }
        counts = env.count(counts, None, None, None, jnp.asarray(number == 3), info)
    found = {name: np.asarray(value) for name, value in env.metrics(counts).items()}
    np.testing.assert_allclose(found["price"], 10 / 5)
    np.testing.assert_allclose(found["price_by_region"], [[3 / 2, 7 / 3], [3 / 2, 6 / 2]], rtol=1e-6)
    np.testing.assert_allclose(found["scarcity"], 12 / 8)
    # Seat 0 bought 2 apples for 3 bananas and sold 3 for 7; seat 1 did the opposite.
    np.testing.assert_allclose(found["arbitrage"], [2 * (7 / 3 - 3 / 2), 2 * (3 / 2 - 7 / 3)], rtol=1e-6)
    assert found["harvested"].tolist() == [[8, 0], [0, 12]] and found["production"].tolist() == [8, 12]
    assert found["consumption"].tolist() == [4, 4] and found["trades"].tolist() == [4, 4]
    assert not any(np.asarray(counts[what]).any() for what in ("bought", "sold")), "an episode's end closes the books"
    assert gain_of_resale(jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), jnp.int32)).tolist() == [0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_players": 14}, "num_players is 14; allowed: 2 to 9 .the layout has 9 starts."),
        ({"num_players": 1}, "num_players is 1; allowed: an integer of 2 or more"),
        ({"apple_farmers": 5}, "apple_farmers is 5; allowed: an integer from 0 to 4"),
        ({"apple_trees": (0.1, 0.2)}, "apple_trees is .*; allowed: a number, or one for each of 1 regions"),
        ({"banana_trees": 2.0}, "banana_trees is 2.0; allowed: a finite number from 0 to 1"),
        ({"layout": "desert"}, "layout is 'desert'; allowed: small, banks, rivers, or a tuple of rows of text"),
        ({"layout": ("PX",)}, "layout has the row 'PX'; allowed: rows of equal length of the letters .*"),
        ({"layout": ("TT",)}, r"layout has the letters \['T'\]; allowed: at least a start .P."),
        ({"max_ask": 0}, "max_ask is 0; allowed: an integer from 1 to 9"),
        ({"regrowth": 0}, "regrowth is 0; allowed: an integer from 1 to 1000000"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        envs.make("fruit_market", **settings)
