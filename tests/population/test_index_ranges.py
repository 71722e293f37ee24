"""Long sequences of numbers that are not written down."""

import numpy as np
import pytest

from shaping.population.index_ranges import RecordedUpdates, Spans


def test_numbers_in_ranges_are_those_that_were_written_down():
    spans, plain = Spans((range(2, 5), range(8, 9), range(12, 20))), [2, 3, 4, 8, *range(12, 20)]
    assert len(spans) == len(plain) and [n for n in range(25) if n in spans] == plain
    for first in range(13):
        for last in range(first, 14):
            np.testing.assert_array_equal(spans[first:last], plain[first:last])
    assert [spans.place(number) for number in plain] == list(range(len(plain)))
    with pytest.raises(ValueError):
        spans.place(6)


@pytest.mark.parametrize("updates", [0, 1, 9, 10, 11])
@pytest.mark.parametrize("every", [1, 3, 10, 20])
def test_recorded_updates_are_multiples_and_the_last(updates, every):
    found, plain = RecordedUpdates(updates, every), [*range(0, updates, every), updates]
    assert list(found) == plain and len(found) == len(plain) and found[-1] == updates and found[:3] == plain[:3]
    np.testing.assert_array_equal(np.asarray(found, np.int64), plain)


def test_billions_take_no_memory():
    assert len(Spans((range(10**9), range(2 * 10**9, 5 * 10**9)))) == 4 * 10**9
    assert RecordedUpdates(10**12, 1)[5 * 10**11] == 5 * 10**11
