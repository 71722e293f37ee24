"""Digests depend on every change of the content, and not on how the work is divided."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from shaping.runtime import digests as module
from shaping.runtime.digests import differing, digests

STATE = {
    "table": np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32),
    "steps": np.arange(12, dtype=np.int32),
    "wide": np.random.default_rng(1).normal(size=(12, 2, 3)),
    "flag": np.arange(12) % 3 == 0,
    "byte": np.arange(12, dtype=np.uint8)[:, None] + np.zeros(3, np.uint8),
    "scalars": np.random.default_rng(2).normal(size=12).astype(np.float32),
}


def mesh(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("population",), axis_types=(AxisType.Auto,))


def of(state, matches=10, devices=1):
    placed = jax.device_put(state, NamedSharding(mesh(devices), PartitionSpec("population")))
    return digests(placed, matches, mesh(devices))


def reference(array, matches, block):
    """Written down independently, in integers of any length."""

    def mix(x):
        x = ((x ^ (x >> 16)) * 0x85EBCA6B) % 2**32
        x = ((x ^ (x >> 13)) * 0xC2B2AE35) % 2**32
        return x ^ (x >> 16)

    if array.dtype.itemsize < 4:
        words = array.reshape(len(array), -1).astype(np.uint32)
    else:
        words = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint32)
    found = [0] * -(-matches // block)
    for row in range(matches):
        for column in range(words.shape[1]):
            place = row * words.shape[1] + column
            found[row // block] += mix(int(words[row, column]) ^ mix(place))
    return [x % 2**32 for x in found]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("block", [4096, 4])
def test_digests_are_sums_of_mixed_words(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    module._program.cache_clear()
    found = of(STATE)
    assert found == {f"['{name}']": reference(array, 10, block) for name, array in STATE.items()}
    module._program.cache_clear()


@pytest.mark.usefixtures("x64")
def test_devices_and_padding_do_not_show():
    more = {name: np.concatenate([x, x[-2:]]) for name, x in STATE.items()}
    assert of(STATE) == of(STATE, devices=2) == of(more, devices=2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", STATE)
def test_every_flipped_bit_shows_and_is_located(name):
    before = of(STATE)
    rng = np.random.default_rng(3)
    for _ in range(8):
        raw = STATE[name].copy()
        if raw.dtype == bool:
            place = (int(rng.integers(10)),)
            raw[place] ^= True
        else:
            # One bit of one byte of a match that is no padding.
            own = raw[:10].view(np.uint8).reshape(-1)
            own[rng.integers(own.size)] ^= np.uint8(1 << rng.integers(8))
        after = of(STATE | {name: raw})
        assert f"['{name}'] differs in matches 0 to" in differing(after, before)


def test_what_is_missing_is_named():
    assert differing({"a": [1]}, {"a": [1]}) is None
    assert "b is missing" in differing({"a": [1]}, {"a": [1], "b": [2]})
    assert "a is missing or has another size" in differing({"a": [1, 2]}, {"a": [1]})


def test_exchanged_matches_show():
    table = jnp.asarray(STATE["table"])
    assert of({"x": table}) != of({"x": table[jnp.array([1, 0, *range(2, 12)])]})
