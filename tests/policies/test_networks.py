"""Neural policies: their equations, their initial parameters, and play in any environment and precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs.spaces import Box, Discrete
from shaping.policies import network, tabular
from shaping.policies.fan_in import fan_in_init
from tests.compiling import initialiser, quickly

BOARD = Box((4, 3, 3))
KINDS = {
    "states": (Discrete(5), 2, {}),
    "linear": (Discrete(5), 2, {"hidden": ()}),
    "states, GRU": (Discrete(5), 2, {"hidden": (3,), "recurrent": "gru", "units": 4}),
    "numbers, LSTM": (Box((2,)), 3, {"hidden": (), "recurrent": "lstm", "units": 4, "critic": True}),
    "boards": (Box((4, 3, 3), dtype="int8"), 4, {"encoder": "dense", "hidden": (3, 2), "critic": True}),
    "boards, conv": (BOARD, 4, {"encoder": "conv", "channels": (3, 2), "hidden": (), "critic": True}),
    "boards, conv, GRU": (
        Box((2, 3, 4)),
        5,
        {"encoder": "conv", "channels": (2,), "recurrent": "gru", "layout": "channels_last"},
    ),
}


def made(kind):
    space, actions, settings = KINDS[kind]
    return space, actions, network(space, Discrete(actions), **settings)


def parameters(policy, scale=1.0, seed=0):
    return initialiser(policy)(jax.random.key(seed), jnp.float32(scale))


def plain(theta):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), theta)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(layer, x):
    return x @ layer["kernel"] + layer.get("bias", 0)


def log_softmax(x):
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def leaves_equal(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(
    ("kind", "x64"),
    [("boards, conv, GRU", True), ("numbers, LSTM", False)]
    + [pytest.param(kind, True, marks=pytest.mark.slow) for kind in KINDS if kind != "boards, conv, GRU"]
    + [pytest.param(kind, False, marks=pytest.mark.slow) for kind in ("states", "boards")],
)
def test_a_network_answers_any_leading_axes_in_the_precision_of_its_parameters(kind, x64):
    with jax.enable_x64(x64):
        space, actions, policy = made(kind)
        dtype = jnp.float64 if x64 else jnp.float32
        theta = parameters(policy)
        assert {leaf.dtype for leaf in jax.tree.leaves(theta)} == {jnp.dtype(jnp.float32)}
        theta = jax.tree.map(lambda leaf: leaf.astype(dtype), theta)

        def answer(theta, seen, memory):
            distribution, after = policy.apply(theta, seen, memory)
            if policy.evaluate is None:
                return distribution.logits, after, (), ()
            again, value, remembered = policy.evaluate(theta, seen, memory)
            return distribution.logits, after, (again.logits, remembered), value

        answer = quickly(answer)
        for lead in ((), (2, 3)):
            seen, memory = space.sample(jax.random.key(1), lead), policy.start(lead)
            logits, after, again, value = answer(theta, seen, memory)
            assert logits.shape == (*lead, actions) and logits.dtype == dtype
            same = jax.tree.map(lambda new, old: (new.shape, new.dtype) == (old.shape, old.dtype), after, memory)
            assert all(jax.tree.leaves(same))
            if policy.evaluate is not None:
                assert value.shape == lead and value.dtype == dtype
                leaves_equal(again, (logits, after), rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["linear", "numbers, LSTM", "boards, conv, GRU"]
    + [pytest.param(kind, marks=pytest.mark.slow) for kind in ("states", "boards", "states, GRU", "boards, conv")],
)
def test_a_batch_is_answered_as_its_members_one_at_a_time(kind):
    space, _, policy = made(kind)
    theta = parameters(policy, 2)
    seen = space.sample(jax.random.key(1), (3, 2))
    memory = jax.tree.map(lambda x: jax.random.normal(jax.random.key(2), x.shape), policy.start((3, 2)))

    def answer(seen, memory):
        distribution, memory = policy.apply(theta, seen, memory)
        return distribution.logits, memory

    together, alone = quickly(answer)(seen, memory), quickly(answer)
    leaves_equal(quickly(jax.vmap(jax.vmap(answer)))(seen, memory), together, rtol=1e-5, atol=1e-6)
    assert np.ptp(together[0], axis=(0, 1)).min() > 0
    for i, j in np.ndindex(3, 2):
        one, own = jax.tree.map(lambda x, at=(i, j): x[at], (together, memory))
        leaves_equal(alone(seen[i, j], own), one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layout", "torus"), [("channels_first", True), ("channels_last", False)])
def test_convolutions_wrap_around_a_torus_alone_and_come_before_the_dense_layers(layout, torus):
    """Every cell of a torus has eight neighbours, those at the edge of another board fewer; ReLU, tanh and two linear
    heads by hand."""
    rows, columns, planes, wide = 3, 4, 2, 3
    shape = (planes, rows, columns) if layout == "channels_first" else (rows, columns, planes)
    policy = network(Box(shape, torus=torus), Discrete(4), "conv", (5,), (wide,), critic=True, layout=layout)
    theta = parameters(policy)
    assert set(theta) == {"conv_0", "hidden_0", "logits", "value"}
    seen = jax.random.normal(jax.random.key(1), shape)
    board = np.asarray(seen, np.float64)
    if layout == "channels_first":
        board = board.transpose(1, 2, 0)
    layers = plain(theta)
    found = np.zeros((rows, columns, wide))
    for row, column, i, j in np.ndindex(rows, columns, 3, 3):
        if not torus and not (1 <= row + i <= rows and 1 <= column + j <= columns):
            continue
        neighbour = board[(row + i - 1) % rows, (column + j - 1) % columns]
        found[row, column] += neighbour @ layers["conv_0"]["kernel"][i, j]
    x = np.maximum(found + layers["conv_0"]["bias"], 0).reshape(-1)
    x = np.tanh(linear(layers["hidden_0"], x))
    distribution, value, _ = policy.evaluate(theta, seen, None)
    np.testing.assert_allclose(distribution.logits, log_softmax(linear(layers["logits"], x)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, linear(layers["value"], x)[0], rtol=1e-4, atol=1e-5)


def test_a_gru_is_the_equations_that_flax_gives():
    policy = network(Discrete(5), Discrete(2), hidden=(3,), recurrent="gru", units=4)
    theta, h = parameters(policy, 2), np.array([0.3, -0.8, 0.5, 0.1])
    w = plain(theta)
    for state in range(5):
        x = np.tanh(linear(w["hidden_0"], np.eye(5)[state]))
        cell = w["recurrent"]
        r = sigmoid(linear(cell["ir"], x) + linear(cell["hr"], h))
        z = sigmoid(linear(cell["iz"], x) + linear(cell["hz"], h))
        n = np.tanh(linear(cell["in"], x) + r * linear(cell["hn"], h))
        expected = (1 - z) * n + z * h
        distribution, after = policy.apply(theta, jnp.asarray(state), jnp.asarray(h, jnp.float32))
        np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)
        logits = log_softmax(linear(w["logits"], expected))
        np.testing.assert_allclose(distribution.logits, logits, rtol=1e-4, atol=1e-6)
        h = expected


def test_an_lstm_is_the_equations_that_flax_gives():
    policy = network(Box((2,)), Discrete(3), hidden=(), recurrent="lstm", units=4)
    theta, c, h = parameters(policy, 2), np.array([0.3, -0.8, 0.5, 0.1]), np.array([0.2, 0.4, -0.3, -0.1])
    w, cell = plain(theta), plain(theta)["recurrent"]
    for seed in range(4):
        seen = jax.random.normal(jax.random.key(seed), (2,))
        x = np.asarray(seen, np.float64)
        i, f, g, o = (linear(cell[f"i{gate}"], x) + linear(cell[f"h{gate}"], h) for gate in "ifgo")
        expected = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        output = sigmoid(o) * np.tanh(expected)
        memory = (jnp.asarray(c, jnp.float32), jnp.asarray(h, jnp.float32))
        distribution, after = policy.apply(theta, seen, memory)
        leaves_equal(after, (expected, output), rtol=1e-4, atol=1e-6)
        logits = log_softmax(linear(w["logits"], output))
        np.testing.assert_allclose(distribution.logits, logits, rtol=1e-4, atol=1e-6)
        c, h = expected, output


def test_memory_starts_at_zero_and_keeps_its_dtype_whatever_that_of_the_parameters():
    policy = network(Discrete(5), Discrete(2), recurrent="lstm", units=4)

    def logits_and_memory(*given):
        distribution, after = policy.apply(*given)
        return distribution.logits, after

    assert network(Discrete(5), Discrete(2)).start((2,)) is None
    for memory in policy.start((2, 3)):
        assert memory.shape == (2, 3, 4) and memory.dtype == jnp.float32 and not memory.any()
    with jax.enable_x64(True):
        wide, narrow = policy.start(()), jax.tree.map(lambda x: x.astype(jnp.float32), policy.start(()))
        assert wide[0].dtype == jnp.float64
        theta = parameters(policy)
        for dtype in (jnp.float32, jnp.float64):
            cast = jax.tree.map(lambda x, dtype=dtype: x.astype(dtype), theta)
            for memory in (wide, narrow):
                logits, after = jax.eval_shape(logits_and_memory, cast, jnp.asarray(1), memory)
                assert logits.dtype == dtype
                assert [x.dtype for x in after] == [x.dtype for x in memory]


def test_a_start_is_uniform_between_plus_and_minus_scale_over_root_inputs_of_each_layer():
    space = Box((3, 3, 2))
    policy = network(space, Discrete(4), "conv", (6,), (5,), "gru", 7, critic=True, layout="channels_last")
    inputs = {"conv_0": 9 * 2, "hidden_0": 9 * 5, "logits": 7, "value": 7}
    inputs |= {f"i{gate}": 6 for gate in "rzn"} | {f"h{gate}": 7 for gate in "rzn"}
    keys = jax.random.split(jax.random.key(3), 300)
    drawn = quickly(jax.vmap(policy.init, (0, None)))(keys, jnp.float32(3))
    layers = {name: layer for name, layer in drawn.items() if name != "recurrent"} | drawn["recurrent"]
    assert set(layers) == set(inputs)
    everything = []
    for name, layer in layers.items():
        assert "bias" in layer or name in ("hr", "hz")
        for leaf in layer.values():
            bound = 3 / np.sqrt(inputs[name])
            unit = np.asarray(leaf).reshape(300, -1) / bound
            assert leaf.dtype == jnp.float32 and 0.95 < np.abs(unit).max() <= 1.000001
            np.testing.assert_allclose(unit.std(), 1 / np.sqrt(3), rtol=0.08)
            assert abs(unit.mean()) < 0.1
            everything.append(unit[:, 0])
    between = np.corrcoef(everything) - np.eye(len(everything))
    assert np.abs(between).max() < 0.3  # each leaf draws numbers of its own


def test_a_start_is_the_same_numbers_in_either_precision_and_zero_at_scale_zero():
    policy = network(Discrete(5), Discrete(2), recurrent="gru", critic=True)
    theta = parameters(policy, 0.7)
    with jax.enable_x64(True):
        leaves_equal(parameters(policy, 0.7), theta, rtol=0)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(parameters(policy, 0)))
    assert all(np.all(leaf) for leaf in jax.tree.leaves(theta))


def test_a_critic_beside_leaves_the_policy_of_a_key_as_it_is():
    alone, beside = (network(Discrete(5), Discrete(2), recurrent="gru", critic=critic) for critic in (False, True))
    theta, more = parameters(alone), parameters(beside)
    assert set(more) - set(theta) == {"value"}
    leaves_equal(theta, {name: more[name] for name in theta}, rtol=0)
    assert alone.evaluate is None and tabular(5).evaluate is None
    assert beside.num_parameters == alone.num_parameters + 16 + 1


def test_a_network_says_that_it_has_no_table():
    policy = network(Discrete(5), Discrete(2))
    assert policy.tabulated is False and policy.scalars is False and tabular(5).tabulated is True
    with pytest.raises(TypeError, match="no table of logits"):
        policy.table(parameters(policy))


def test_networks_of_the_same_shape_compile_to_the_same_program():
    first = network(BOARD, Discrete(4), "conv", [16], [8])
    assert first == network(Box((4, 3, 3)), Discrete(4), "conv", (16,), (8,))
    assert hash(first) == hash(network(BOARD, Discrete(4), "conv", (16,), (8,)))
    others = [
        network(Box((4, 2, 3)), Discrete(4), "conv", (16,), (8,), layout="channels_first"),
        network(Box((4, 3, 3), torus=True), Discrete(4), "conv", (16,), (8,)),
        network(BOARD, Discrete(5), "conv", (16,), (8,)),
        network(BOARD, Discrete(4), "dense", (16,)),
        network(BOARD, Discrete(4), "conv", (8,), (8,)),
        network(BOARD, Discrete(4), "conv", (16,), (9,)),
        network(BOARD, Discrete(4), "conv", (16,), (8,), "gru"),
        network(BOARD, Discrete(4), "conv", (16,), (8,), "lstm"),
        network(BOARD, Discrete(4), "conv", (16,), (8,), "lstm", 8),
        network(BOARD, Discrete(4), "conv", (16,), (8,), critic=True),
        network(BOARD, Discrete(4), "conv", (16,), (8,), layout="channels_last"),
    ]
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"encoder": "mlp"}, "encoder is 'mlp'; allowed: dense, conv"),
        ({"recurrent": "rnn"}, "recurrent is 'rnn'; allowed: None, gru, lstm"),
        ({"layout": "first"}, "layout is 'first'; allowed: channels_first, channels_last"),
        ({"action_space": 4}, "action_space is 4; allowed: Discrete, or a Box of floats with finite bounds"),
        (
            {"action_space": Box((1,), -np.inf, np.inf)},
            r"action_space is Box\(.*\); allowed: a Box of floats with finite bounds, low below high",
        ),
        ({"hidden": (0,)}, "hidden is 0; allowed: an integer of 1 or more"),
        ({"units": 0}, "units is 0; allowed: an integer of 1 or more"),
        ({"encoder": "dense", "channels": (8,)}, r"channels is \(8,\); allowed: \(\) with encoder dense"),
        ({"encoder": "conv", "channels": ()}, r"channels is \(\); allowed: one or more with encoder conv"),
        (
            {"encoder": "conv", "channels": (8,), "observation_space": Discrete(5)},
            r"encoder is 'conv'; allowed: only with boxes of 3 axes, not \[\]",
        ),
        (
            {"observation_space": Box((4, 4, 4))},
            r"layout is None; allowed: channels_first or channels_last, as boxes of \[4, 4, 4\] may be either",
        ),
    ],
)
def test_a_network_refuses_what_it_cannot_be_in_one_line(settings, reason):
    with pytest.raises(ValueError, match=reason):
        network(**({"observation_space": BOARD, "action_space": Discrete(4)} | settings))


@pytest.mark.parametrize(
    "recurrent", ["lstm", *(pytest.param(recurrent, marks=pytest.mark.slow) for recurrent in (None, "gru"))]
)
def test_saturated_parameters_have_finite_log_probabilities_and_gradients(recurrent):
    policy = network(BOARD, Discrete(4), "conv", (4,), (2,), recurrent, 3, critic=True)
    theta = parameters(policy, 1e3)
    seen = BOARD.sample(jax.random.key(1), (6,))

    def log_probabilities(theta):
        distribution, value, _ = policy.evaluate(theta, seen, policy.start((6,)))
        found = jnp.stack([distribution.log_prob(jnp.full(6, action)) for action in range(4)])
        return jnp.sum(found), (found, distribution.entropy(), value)

    gradient, (found, *others) = quickly(jax.grad(log_probabilities, has_aux=True))(theta)
    assert all(np.all(np.isfinite(each)) for each in (found, *others))
    assert found.min() < -100  # saturated indeed
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_every_leaf_draws_what_its_own_position_says_whichever_leaves_share_its_shape():
    layers = {"kernel": (3, 4), "bias": (4,)}
    like = {name: {part: jax.ShapeDtypeStruct(shape, jnp.float32) for part, shape in layers.items()} for name in "abc"}
    like["wide"] = {"kernel": jax.ShapeDtypeStruct((2, 3, 4), jnp.float32)}
    key = jax.random.key(5)
    drawn = fan_in_init(like, key, jnp.float32(0.5))
    for i, (leaf, kernel) in enumerate(zip(jax.tree.leaves(drawn), [(3, 4)] * 6 + [(2, 3, 4)], strict=True)):
        alone = jax.random.uniform(jax.random.fold_in(key, i), leaf.shape, jnp.float32, -1, 1)
        np.testing.assert_array_equal(leaf, jnp.float32(0.5) / math.sqrt(math.prod(kernel[:-1])) * alone)
