"""The environment a command meets: variables of JAX, of notebooks, of shells."""

import os
import subprocess
import sys

import pytest

from shaping.config.errors import ConfigError
from shaping.runtime.environment_variables import check_numeric_settings, import_jax, numeric_settings


@pytest.mark.parametrize("value", ["-3", "0", "-1", "abc", "", "2.5", "9" * 5000, "1025"])
def test_a_number_of_devices_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="JAX_NUM_CPU_DEVICES: .* must be a whole number from 1 to 1024, or unset"):
        import_jax({"JAX_NUM_CPU_DEVICES": value})


def test_without_one_and_with_a_good_one_jax_is_imported():
    import_jax({})
    import_jax({"JAX_NUM_CPU_DEVICES": "4"})


def test_settings_that_change_random_numbers_are_compared_and_the_way_back_is_named():
    now = numeric_settings()
    check_numeric_settings("runs/x", now)
    with pytest.raises(
        ConfigError, match="runs/x: began with jax_default_prng_impl rbg .* set JAX_DEFAULT_PRNG_IMPL=r"
    ):
        check_numeric_settings("runs/x", now | {"jax_default_prng_impl": "rbg"})
    # A record of a version that knew fewer settings.
    check_numeric_settings("runs/x", {})


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "shaping", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "environment",
    [{"JAX_NUM_CPU_DEVICES": "abc"}, {"JAX_PLATFORMS": "nothing"}, {"XLA_FLAGS": "--none"}]
    + [pytest.param({"JAX_ENABLE_X64": "abc"}, marks=pytest.mark.slow)],
)
def test_a_variable_that_jax_cannot_use_is_one_line(environment):
    done = command("run", "lola_table", "--dry-run", **environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("shaping: ")
    ((name, _),) = environment.items()
    assert name in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shaping", "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr == "shaping: standard output: cannot be written: No space left on device\n"


def test_the_backend_of_a_notebook_does_not_matter_and_stays_chosen():
    code = (
        "from shaping.analysis.style import import_matplotlib, new_figure, png; import os; m = import_matplotlib(); "
        "png(new_figure(1)); print(os.environ['MPLBACKEND'], m.rcParams['backend'].lower())"
    )
    for backend, kept in (("module://nowhere.at_all", None), ("svg", "svg")):
        environment = os.environ | {"MPLBACKEND": backend}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        asked, chosen = done.stdout.split()
        assert asked == backend and (kept is None or chosen == kept)


def test_the_doctor_shows_versions_devices_and_what_is_odd():
    done = command("doctor", JAX_NUM_CPU_DEVICES="2", XLA_API_TOKEN="secret")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("shaping ") and "devices: 2 x cpu" in lines and "JAX_NUM_CPU_DEVICES=2" in lines
    assert "secret" not in done.stdout
    (packages,) = [line for line in lines if line.startswith("packages: ")]
    assert all(f"{name} " in packages for name in ("jax", "pydantic", "pyyaml", "orbax-checkpoint", "pillow"))
    odd = command("doctor", JAX_PLATFORMS="nothing")
    assert odd.returncode == 0 and "odd: JAX_PLATFORMS=nothing" in odd.stdout
