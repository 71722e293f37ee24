"""Plans that no machine can hold: told in one line, in seconds, with what they need."""

import re
import time

import pytest

from shaping.config.errors import ConfigError
from shaping.prepared_run import prepare
from shaping.runtime import memory_limits
from shaping.runtime.memory_limits import check_memory, memory_bytes


@pytest.mark.parametrize("counts", [{"matches": 10**9}, {"updates": 10**9}, {"matches": 10**9, "updates": 10**9}])
def test_a_billion_is_planned_at_once_and_refused_with_what_it_needs(counts, tmp_path, monkeypatch):
    monkeypatch.setattr(memory_limits, "memory_bytes", lambda: 8 * 2**30)
    began = time.process_time()
    prepared = prepare(counts)
    (*_, needs) = prepared.lines()
    assert re.fullmatch(r"  at most [\d.]+ GiB of memory and [\d.]+ [GTPEi]+B on disk", needs)
    with pytest.raises(ConfigError, match=r"the (memory|disk) is too small: .* in all|free, the run"):
        prepared.check_fits(tmp_path / "new" / "folder")
    assert time.process_time() - began < 10
    assert not (tmp_path / "new").exists()


def test_a_few_recorded_updates_of_a_billion_fit(tmp_path):
    prepare({"updates": 10**9, "record_every": 10**8, "matches": 2}).check_fits(tmp_path)


def test_what_is_needed_is_compared_with_what_there_is(monkeypatch, tmp_path):
    check_memory({"this": 10, "that": 20}, 30)
    with pytest.raises(ConfigError, match=r"29 B in all, the run needs 30 B \(this 10 B, that 20 B\)"):
        check_memory({"this": 10, "that": 20}, 29)
    limit = tmp_path / "memory.max"
    limit.write_text("4096\n")
    monkeypatch.setattr(memory_limits, "_LIMITS", (tmp_path / "none", limit))
    assert memory_bytes() == 4096
    limit.write_text("max\n")
    assert (memory_bytes() or 0) > 2**20
