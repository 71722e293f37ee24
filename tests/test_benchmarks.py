"""The benchmarks run, and their references compute what the product computes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from jax import lax

from benchmarks import accelerator, evolution, sampled_rules
from benchmarks.interruptions import KINDS, differences
from shaping.experiment import prepare

ROOT = Path(__file__).parents[1]
TORCH = ["torch"] if importlib.util.find_spec("torch") else []


def benchmark(name, *arguments):
    """Standard output of one benchmark in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_the_references_compute_the_same_direction_as_the_product(tmp_path, precision, tolerance):
    size = ["--pairs", "64", "--updates", "2", "--rounds", "1", "--seconds", "0", "--patience", "0"]
    path = tmp_path / "result.json"
    printed = benchmark(
        "exact_rules", "--contenders", "product:exact", "jax", *TORCH, "--precision", precision, *size, "--json", path
    )
    product, *references = json.loads(path.read_text())["results"]
    assert product["match_updates_per_s"]["median"] > 0 and "| product:exact |" in printed
    assert [row["contender"] for row in references] == ["jax", *TORCH]
    for row in references:
        assert row["hung"] == 0
        assert row["direction_difference"] < tolerance
        assert row["product_over_this"]["median"] > 0
        assert row["final_mean"] == pytest.approx(product["final_mean"], rel=10 * tolerance)


@pytest.mark.slow
def test_a_rule_on_plain_returns_goes_where_the_product_goes(tmp_path):
    path = tmp_path / "result.json"
    size = ["--pairs", "64", "--updates", "2", "--rounds", "1", "--seconds", "0", "--patience", "0"]
    rules = ["sos", "cgd"]
    arguments = ["--contenders", "--rules", *rules, "--plain", "--precision", "float64", *size, "--json", path]
    benchmark("exact_rules", *arguments)
    rows = json.loads(path.read_text())["results"]
    assert [row["contender"] for row in rows] == [f"{kind}:{rule}" for rule in rules for kind in ("product", "jax")]
    for row in rows[1::2]:
        assert row["hung"] == 0 and row["direction_difference"] < 1e-9
        assert row["product_over_this"]["median"] > 0


@pytest.mark.slow
def test_scaling_measures_the_command(tmp_path):
    path = tmp_path / "result.json"
    benchmark("scaling", "--matches", "8", "--updates", "2", "--players", "2", "--variants", "original", "--json", path)
    result = json.loads(path.read_text())
    for row in (*result["matches"], *result["players"]):
        assert row["wall_s"] > row["compile_s"] > 0
        assert 0 < row["peak_gib"] < 8


def test_operations_are_counted_as_often_as_loops_repeat_them():
    x = jnp.ones((3, 4))
    assert accelerator.operations(lambda x: x @ x.T + 1, x) == 2 * 3 * 3 * 4 + 9
    looped = lax.scan(lambda c, row: (c + jnp.tanh(row), None), jnp.zeros(4), x)[0]
    assert np.isfinite(looped).all()
    assert accelerator.operations(lambda x: lax.scan(lambda c, r: (c + jnp.tanh(r), None), jnp.zeros(4), x)[0], x) == 24
    assert accelerator.operations(lambda x: lax.cond(True, jnp.exp, lambda x: x * x + x, x), x) == 24
    assert accelerator.operations(jax.jit(jax.vmap(lambda row: row.sum() / 2)), x) == 12 + 3


def test_the_script_for_an_accelerator_measures_a_population_and_states_its_ceilings():
    row = accelerator.population("naive", {"players": {"rule": "naive"}}, 8, 3, 0)
    assert row.rate > 0 and row.operations > 500 and row.bytes > 8 * 10 / 3
    (*_, last) = accelerator.table([row], {"operations_per_s": row.rate * row.operations * 2, "bytes_per_s": 1e30})
    assert last.startswith("| naive | 8 | ") and "| 50 % | " in last


@pytest.mark.slow
def test_the_script_for_an_accelerator_runs_small_on_a_processor(tmp_path):
    path = tmp_path / "result.json"
    printed = benchmark("accelerator", "--small", "--seconds", "0", "--json", path)
    found = json.loads(path.read_text())
    assert len(found["rows"]) == 5 and all(row["rate"] > 0 and row["operations"] > 0 for row in found["rows"])
    assert set(found["checks"].values()) == {""} and "| LOLA exact, a million | " in printed


@pytest.mark.slow
def test_machine_describes_itself_and_its_arithmetic_peak():
    described = json.loads(benchmark("machine", "--seconds", "0.05"))
    assert described["cores"] >= 1 and described["versions"]["jax"]
    assert all(peak > 0 for peak in described["gflops_float32"].values())


@pytest.mark.slow
def test_the_arithmetic_limit_counts_operations_and_measures_both_rates():
    size = ["--pairs", "64", "--updates", "2", "--rounds", "1", "--seconds", "0.01"]
    result = json.loads(benchmark("arithmetic_limit", *size))["exact"]
    # A sigmoid for each of ten logits, before the lookahead and after it: nothing is computed twice.
    assert result["operations"]["exponential"] == 20
    assert result["counted_a_match_update"] > 1000
    assert 0 < result["achieved_gflops"] < result["peak_gflops"]


@pytest.mark.slow
def test_the_cost_of_a_costly_rule_is_stated_beside_naive_learning(tmp_path):
    path = tmp_path / "result.json"
    rules = ["naive", "outer POLA", "COLA"]
    printed = benchmark("costly_rules", "--matches", "4", "--rounds", "1", "--rules", *rules, "--json", path)
    rows = json.loads(path.read_text())["rows"]
    assert list(rows) == rules and all(row["updates_per_s"] > 0 for row in rows.values())
    assert rows["COLA"]["training_ms"] > 0 and rows["naive"]["training_ms"] is None and "| COLA |" in printed


@pytest.mark.slow
def test_environments_are_measured_beside_what_is_installed(tmp_path):
    path = tmp_path / "result.json"
    names = [
        "empty",
        "coin:pola",
        "coin:jaxmarl+reset+statistics",
        "matrix:storm_2p+reset+flat",
        "scripted",
        "scripted:play",
    ]
    names += ["jaxmarl:coin_game", "axelrod"]
    benchmark("environments", "--contenders", *names, "--batches", "16", "--rounds", "1", "--json", path)
    (row,) = json.loads(path.read_text())["results"]
    assert set(names[:6]) <= set(row["steps_per_s"]) and row["ratios"]["coin:pola / empty"] > 0
    if importlib.util.find_spec("jaxmarl"):
        assert row["ratios"]["coin:jaxmarl+reset+statistics / jaxmarl:coin_game"] > 0


@pytest.mark.slow
def test_sampled_rules_are_measured_beside_what_is_installed_with_the_memory_they_take(tmp_path):
    path = tmp_path / "result.json"
    size = ["--batch", "8", "--horizon", "10", "--pairs", "3", "--lookaheads", "1"]
    short = ["--rounds", "1", "--seconds", "0", "--patience", "0"]
    parts = ["--parts", "A", "B", "D", "--contenders", "jax", "torch:1"]
    printed = benchmark("sampled_rules", *parts, *size, *short, "--json", path)
    result = json.loads(path.read_text())
    sets = {part: result[part] for part in "ABD"}
    rows = {part: [row for found in sets[part] for row in found["rows"]] for part in sets}
    assert [row["spec"]["kind"] for row in rows["A"]] == ["product", "jax", *(f"{name}:1" for name in TORCH)]
    assert all(rate > 0 for every in rows.values() for row in every for rate in row["rate"])
    assert [row["spec"]["pairs"] for row in rows["B"]] == [1, 3]
    # Three pairs on two devices are four, the last of them twice.
    assert [row["ready"]["padded"] for row in rows["B"]] == [1, 4]
    choices = [(row["spec"]["rematerialise"], row["spec"]["slices"]) for row in rows["D"]]
    assert choices == [(False, 1), (False, 4), (True, 1), (True, 4)]
    assert all(row["ready"]["temporary_bytes"] > 0 and row["ready"]["expected_bytes"] > 0 for row in rows["D"])
    assert "| product |" in printed and "| 3, 2 |" in printed and "| 1 | True | 4 |" in printed
    # Part C is B with D's game and policy.
    assert "| 3, 2 | " in sampled_rules.table("C", result["B"][0])


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_one_that_is_not_and_a_difference_would_show(tmp_path):
    path, kept = tmp_path / "result.json", tmp_path / "runs"
    size = ["--kinds", "exact", "--kills", "1", "--scale", "0.002", "--between", "0", "1"]
    printed = benchmark("interruptions", *size, "--keep", kept, "--json", path)
    found = json.loads(path.read_text())["exact"]
    assert found["kills"] == found["resumes"] == 1 and found["runs"] >= 1 and found["ready_s"] > 0
    assert found["preparing"] + found["computing"] + found["concluding"] == 1
    assert found["differences"] == [] and "| exact | 1 |" in printed

    alone, other = kept / "exact-alone", kept / "exact-0"
    assert differences(alone, other) == []
    values = zarr.open_group(str(other / "record.zarr"), mode="r+")["value"]
    changed = values[:]
    changed.view("uint32")[5, 3, 0] ^= 1
    values[:] = changed
    summary = json.loads((other / "summary.json").read_text())
    (other / "summary.json").write_text(json.dumps(summary | {"timing": None, "failed": "none"}))
    last = max((other / "checkpoint" / "group-1").iterdir())
    last.rename(last.with_name("matches-0-1"))
    (other / "checkpoint" / "damaged" / "7-0").mkdir(parents=True)
    checkpoint, record, text, states = differences(alone, other)
    assert checkpoint == "checkpoint: 7-0 was not whole"
    assert "value differs in 1 of" in record and "first at (5, 3, 0)" in record
    assert text == "summary: failed" and states.startswith("final states: ['group-0/")


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_runs_have_several_chunks_and_save_often(kind):
    prepared = prepare(KINDS[kind][0](1.0))
    for chunks, timetable in zip(prepared.chunks, prepared.timetables, strict=True):
        assert chunks.count > 1 and timetable.segments >= 20


@pytest.mark.slow
def test_the_overhead_of_saving_and_recording_is_measured(tmp_path):
    path = tmp_path / "result.json"
    saving = ["--updates", "20000", "--every-s", "0.1", "--save-updates", "20000", "--saves", "3"]
    rest = ["--record-updates", "50", "--record-every", "5", "--segments", "40"]
    printed = benchmark("overhead", "--rounds", "1", "--most", "1", "--matches", "64", *saving, *rest, "--json", path)
    result = json.loads(path.read_text())
    (direct,) = result["saving"]["direct"]
    assert len(direct["still_s"]) == 3
    assert all(0 < still < written for still, written in zip(direct["still_s"], direct["written_s"], strict=True))
    assert len(result["saving"]["ratio"]) == 1 and result["saving"]["ratio"][0] > 0
    (seldom,), (often,) = result["recording"]["50"], result["recording"]["5"]
    assert often["record_bytes"] > seldom["record_bytes"] and seldom["run_s"] > 0
    assert result["growth"]["segments"] == 40 and result["growth"]["memory_mib"]["100%"] > 100
    assert "| 40 segments |" in printed and "| 5 |" in printed


@pytest.mark.slow
def test_devices_are_measured_against_what_processes_side_by_side_do(tmp_path):
    path = tmp_path / "result.json"
    size = ["--matches", "8", "--updates", "50", "--rounds", "2", "--most", "1"]
    printed = benchmark("devices", "--devices", "1", "2", *size, "--json", path)
    result = json.loads(path.read_text())
    assert len(result["rounds"]) == 2
    one, two = result["rows"]
    assert one["devices"] == 1 and one["efficiency"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    ratios = [
        (found["shared"]["2"]["rate"] / found["shared"]["1"]["rate"])
        / (found["apart"]["2"]["rate"] / found["apart"]["1"]["rate"])
        for found in result["rounds"]
    ]
    assert sorted(ratios) == pytest.approx([two["efficiency"]["low"], two["efficiency"]["high"]])
    assert "| 2 |" in printed


@pytest.mark.slow
def test_evolution_is_measured_with_and_without_its_references(tmp_path):
    path = tmp_path / "result.json"
    benchmark("evolution", "--rounds", "1", "--scale", "0.01", "--threads", "1", "--json", path)
    rows = json.loads(path.read_text())["results"]
    assert [row["task"] for row in rows] == list(evolution.TASKS)
    assert all(row["this package"]["processor_s"] > 0 for row in rows)
    assert (rows[0]["reference"] is not None) == bool(importlib.util.find_spec("open_spiel"))
