"""`shaping doctor`: versions, devices, settings and paths, and anything unusual about them, for a bug report."""

import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import shaping
from shaping.config.errors import ConfigError

_VARIABLES = (
    "JAX_",
    "XLA_",
    "CUDA_VISIBLE_DEVICES",
    "TPU_",
    "SLURM_NTASKS",
    "MPLBACKEND",
    "PYTHONPATH",
    "OMP_NUM_THREADS",
)
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_FEW_FILES = 256
_LITTLE_SPACE = 2**30


def lines(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The findings as text; lines that begin with "odd: " name what may cause trouble."""
    odd: list[str] = []
    text = [f"shaping {shaping.__version__} in {Path(shaping.__file__).parent}"]
    text.append(f"python {platform.python_version()} in {sys.prefix}, {platform.platform()}")
    for section in (_packages, _devices, _system):
        text += section(odd.append, environment)
    text += _settings(environment)
    return text + [f"odd: {line}" for line in odd] + ([] if odd else ["nothing odd"])


def _packages(odd: Callable[[str], None], environment: Mapping[str, str]) -> list[str]:
    del environment
    try:
        needed = [line for line in requires("shaping") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        odd("shaping runs from its source and is not installed")
        needed = []
    # What is installed may be another version than the source that runs.
    needed = _of_source(Path(shaping.__file__).parent.parent / "pyproject.toml") or needed
    found = []
    for line in needed:
        name = _name_of(line)
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            odd(f"{name} is not installed")
            continue
        if not _fulfilled(line, version(name)):
            odd(f"{name} {version(name)} is installed, shaping needs {line}")
    return ["packages: " + ", ".join(found)]


def _of_source(project: Path) -> list[str]:
    """The requirements that a source tree declares; none if it has no such file."""
    try:
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    except (OSError, ValueError, LookupError):
        return []


def _name_of(requirement: str) -> str:
    return next((requirement[:i] for i, letter in enumerate(requirement) if letter in "<>=!~ ;["), requirement)


def _fulfilled(requirement: str, installed: str) -> bool:
    """Whether a version is at least the lower bound of a requirement."""
    _, separator, bound = requirement.partition(">=")
    if not separator:
        return True
    return _numbers(installed) >= _numbers(bound.split(",")[0].split(";")[0])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in text.strip().split(".")[:3])


def _devices(odd: Callable[[str], None], environment: Mapping[str, str]) -> list[str]:
    from shaping.runtime.environment_variables import import_jax

    try:
        import_jax(environment)
        from shaping.runtime.devices import check_devices, describe_devices

        check_devices()
        return [f"devices: {describe_devices()}"]
    except ConfigError as error:
        odd(str(error))
        return ["devices: none"]


def _system(odd: Callable[[str], None], environment: Mapping[str, str]) -> list[str]:
    text = []
    cache = environment.get("JAX_COMPILATION_CACHE_DIR")
    if cache is None:
        base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cache = str(Path(base) / "shaping" / "jax")
    for name, place in (
        ("compilation cache", cache),
        ("temporary files", tempfile.gettempdir()),
        ("here", os.getcwd()),
    ):
        existing = next(path for path in (Path(place), *Path(place).absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        text.append(f"{name}: {place}, {free / 2**30:.1f} GiB free")
        if not os.access(existing, os.W_OK):
            odd(f"{place} ({name}) cannot be written")
        if free < _LITTLE_SPACE:
            odd(f"{place} ({name}) has less than 1 GiB free")
    text.append(f"cores: {os.cpu_count()}")
    try:
        import resource
    except ImportError:
        return text
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    text.append(f"open files: at most {files}")
    if 0 <= files < _FEW_FILES:
        odd(f"a process may open only {files} files; `ulimit -n 1024` allows more")
    return text


def _settings(environment: Mapping[str, str]) -> list[str]:
    """Environment variables that matter; values that look secret are not shown."""
    names = sorted(name for name in environment if name.startswith(_VARIABLES))
    hidden = {name for name in names if any(word in name for word in _SECRETS)}
    return [f"{name}={'(hidden)' if name in hidden else environment[name]}" for name in names]
