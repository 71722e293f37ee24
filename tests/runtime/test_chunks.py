"""How matches are cut into chunks and updates into segments."""

import jax
import numpy as np
import pytest

from shaping.config.build import matches_of
from shaping.config.plan import plan
from shaping.experiment import prepare
from shaping.population.compiled_programs import Timetable
from shaping.population.independent_matches import without_learned_starts
from shaping.population.match import start


@pytest.mark.parametrize("updates", [0, 1, 7, 40])
@pytest.mark.parametrize("record_every", [1, 3, 7, 100])
@pytest.mark.parametrize("intervals_per_row", [1, 2, 3, 7])
def test_intervals_cover_all_updates_once_and_recorded_ones_begin_rows(updates, record_every, intervals_per_row):
    record_every = min(record_every, max(updates, 1))
    table = Timetable(updates, record_every, 1, (), intervals_per_row)
    begins = [table.begins(interval) for interval in range(table.segments + 1)]
    assert begins[0] == 0 and begins[-1] == updates and begins == sorted(begins)
    assert begins == [int(table.begins(np.int32(interval))) for interval in range(table.segments + 1)]
    recorded = [begin for interval, begin in enumerate(begins[:-1]) if interval % intervals_per_row == 0]
    assert [*recorded, updates][: len(table.recorded)] == list(table.recorded) or updates == 0
    counted = [table.rows_before(interval) for interval in range(table.segments + 1)]
    assert counted == [
        sum(1 for s in range(interval) if s % intervals_per_row == 0 and begins[s] < updates)
        for interval in range(table.segments + 1)
    ]


def table_of(**raw):
    (table,) = prepare({"game": "ipd", "matches": 10, **raw}).timetables
    return table


def test_segments_are_no_longer_than_saving_asks_for():
    table = table_of(updates=1000, record_every=10, checkpoint={"every_updates": 70})
    assert table.segment == 7 and table.intervals_per_row == 1
    table = table_of(updates=1000, record_every=1000, checkpoint={"every_updates": 70})
    longest = max(table.begins(s + 1) - table.begins(s) for s in range(table.segments))
    assert table.segment == 1 and longest <= 70


def test_a_run_that_records_its_ends_alone_has_segments_all_the_same():
    table = table_of(updates=10**8, record_every=10**9, matches=1000)
    assert table.segments > 100 and table.rows == 1


def test_costly_rules_have_shorter_segments():
    cheap = table_of(updates=10**6, record_every=1)
    costly = table_of(updates=10**6, record_every=1, players={"rule": "pola"})
    assert costly.segment * 1000 < cheap.segment


def test_chunks_are_what_the_configuration_says():
    (chunks,) = prepare({"matches": 100, "chunk_matches": 30}).chunks
    assert (chunks.count, chunks.size) == (4, 30)
    (chunks,) = prepare({"matches": 100, "chunk_matches": 1000}).chunks
    assert (chunks.count, chunks.size) == (1, 100)
    several = {"matches": 100, "sweep": {"players.*.rule": ["naive", "lola"]}}
    assert [c.size for c in prepare(several | {"chunk_matches": [50, 20]}).chunks] == [50, 20]
    prepared = prepare(several | {"memory_gib": 1e-4})
    again = prepare(prepared.config())
    assert again.config() == prepared.config() and again.chunks == prepared.chunks


def test_a_plan_learns_nothing_beforehand(monkeypatch):
    def learned(*_):
        raise AssertionError("a plan computes nothing, and does not look at how it would be computed")

    monkeypatch.setattr("shaping.learners.initial_parameters.meta_learned", learned)
    plain, meta = (
        prepare({"game": "ipd", "matches": 8, "policy": {"init": init}}) for init in ({"zeros": True}, {"m_maml": {}})
    )
    # Beside the learning's own settings there is as much to keep.
    assert meta.chunks[0].state_bytes == plain.chunks[0].state_bytes


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(
            {"rule": "meva", "width": 2, "quantiles": 2, "episodes": 1, "steps": 1, "stride": 1, "batch": 1},
            marks=pytest.mark.slow,
        ),
        {"rule": "cola", "width": 2, "depth": 1, "training_steps": 1, "training_batch": 1},
    ],
)
def test_a_plan_trains_no_networks_and_knows_their_shapes(rule):
    experiment = plan({"game": "ipd", "matches": 1, "players": rule})
    match = matches_of(experiment, experiment.blocks, np.arange(1))

    def shapes(match):
        return jax.eval_shape(jax.vmap(lambda one: start(one, np.float32)), match)

    planned = jax.make_jaxpr(jax.vmap(lambda one: start(one, np.float32)))(without_learned_starts(match))
    assert "scan" not in str(planned)
    assert jax.tree.map(str, shapes(without_learned_starts(match))) == jax.tree.map(str, shapes(match))
