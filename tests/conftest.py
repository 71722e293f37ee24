"""Settings of all tests.

Nearly all of a test's time is compilation, and test files compile many of the same programs. All processes of one run
of the tests, and the commands that they start, therefore share a folder of compiled programs. It is empty at the start
of each run and deleted after it. If the environment sets JAX_COMPILATION_CACHE_DIR, that folder is used and kept.

For the same reason XLA optimises little and does not split programs up to compile their parts in parallel, operations
do not record where in the Python code they come from, and programs are not translated for Shardy, which has nothing to
decide where every device computes its own part. Python collects garbage rarely, since tracing leaves little of it.
Together this halves the time. Only slow tests that compute for a long time, marked as `optimised`, are compiled with
full optimisation. Set XLA_FLAGS for other compiler settings. A separate test (tests/test_cli.py) compiles a run as the
command does.

jax_debug_key_reuse stays off: an objective promises the same batch for the same key, and tests hold it to that.
"""

import atexit
import collections
import gc
import importlib.metadata
import os
import shutil
import tempfile

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Done by the first process; its worker processes inherit the setting.
    _programs = tempfile.mkdtemp(prefix="shaping-tests-")
    atexit.register(shutil.rmtree, _programs, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _programs
    # Storing a program costs a few per cent of what compiling it takes, and most are never needed again.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    # For workers and commands: they hold on to memory that they have freed, because they soon need it again.
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))
    os.environ.setdefault("MALLOC_TOP_PAD_", str(2**26))
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
    # Large pages save a few per cent of the time.
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

import jax
import pytest

from tests import compiling
from tests.runs import undrawn

QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
QUICK += " --xla_cpu_parallel_codegen_split_count=1"
# An unknown flag ends the process, and this one is gone since 0.12.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    QUICK += " --xla_cpu_use_fusion_emitters=false"

gc.set_threshold(200_000, 50, 100)
# Before the first use of a device: two devices on any machine, so that sharding over a mesh is always tested.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_legacy_prng_key", "error")
compiling.reuse_contexts()


def pytest_configure(config):
    """Chooses how XLA compiles: quickly if no slow tests run, otherwise test by test."""
    # A worker inherits the flags that the first process has set here.
    config.stash[_by_test] = os.environ.get("XLA_FLAGS", QUICK) == QUICK and config.option.markexpr != "not slow"
    # Of this process alone: commands that tests start keep the defaults.
    jax.config.update("jax_use_shardy_partitioner", False)
    jax.config.update("jax_traceback_in_locations_limit", 0)
    os.environ.setdefault("XLA_FLAGS", QUICK)  # Inherited by workers and commands too.
    if config.stash[_by_test]:
        compiling.optimise_on_demand()
    # XLA reads its flags once, here: not those that the first command called by a test chooses for its own process,
    # which may suit scalars alone (see `shaping.runtime.devices.CPU_FLAG`).
    jax.devices()


def pytest_collection_modifyitems(items):
    """Begins with the whole runs at the top: near the end only short files are left, which two workers share well."""
    items.sort(key=lambda item: len(item.path.parts))


def pytest_collection_finish():
    """Excludes what has been imported by now from garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    """Excludes everything, since the process ends: to go through a whole run's objects takes seconds."""
    gc.freeze()


@pytest.fixture
def x64():
    """float64 for the length of one test; arrays that the test makes outside of it keep float32."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def without_pictures():
    """`undrawn` for the length of this file."""
    with undrawn():
        yield


SUITE_BUDGET_S = 720
"""Processor seconds that the tests selected by default should take together, with nothing compiled before: six minutes
of two cores."""
FILE_BUDGET_S = 20
"""The same for the tests of one file. If every file took this long, the suite would be over its budget, so most have to
stay well below."""

_began = pytest.StashKey[float]()
_by_test = pytest.StashKey[bool]()


def _processor_s():
    """Processor seconds of this process and of the commands it started and waited for: unlike the time on a clock they
    do not depend on what else the machine does."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.stash.setdefault(_began, _processor_s())
    if item.config.stash[_by_test]:
        optimise = item.get_closest_marker("optimised") is not None
        compiling.optimised(optimise)
        # For commands that the test starts.
        if optimise:
            os.environ.pop("XLA_FLAGS", None)
        else:
            os.environ["XLA_FLAGS"] = QUICK


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "teardown" and _began in item.stash:
        report.processor_s = _processor_s() - item.stash[_began]
    return report


def pytest_terminal_summary(terminalreporter):
    """Names the files over their budget, and says what all files take if that is over the suite's. It fails nothing:
    every machine's seconds are different."""
    spent = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "processor_s"):
                spent[report.nodeid.partition("::")[0]] += report.processor_s
    over = [(seconds, file) for file, seconds in spent.most_common() if seconds > FILE_BUDGET_S]
    if spent.total() > SUITE_BUDGET_S:
        over.insert(0, (spent.total(), f"all files, whose budget is {SUITE_BUDGET_S} s"))
    if over:
        terminalreporter.section(f"over a budget of {FILE_BUDGET_S} processor seconds per file")
        for seconds, file in over:
            terminalreporter.line(f"{seconds:6.0f} s  {file}")
