"""How much memory there is, and whether a plan fits into it."""

import os
from pathlib import Path

from shaping.config.errors import ConfigError
from shaping.runtime.progress import size_of

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with a container's memory limit."""


def memory_bytes() -> int | None:
    """The memory of this machine, or of its container if that is limited; None if it is unknown."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    for path in _LIMITS:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):
            continue
    return found


def check_memory(parts: dict[str, int], available: int | None = None) -> None:
    """Refuses a plan that needs more memory than there is.

    Args:
      parts: bytes needed at the same time, by what needs them.
      available: bytes there are; None to ask the machine.

    Raises:
      ConfigError: one line with both numbers.
    """
    available = memory_bytes() if available is None else available
    needed = sum(parts.values())
    if available is not None and needed > available:
        detail = ", ".join(f"{name} {size_of(count)}" for name, count in parts.items())
        raise ConfigError(
            f"plan: the memory is too small: {size_of(available)} in all, the run needs {size_of(needed)} ({detail}); "
            "fewer matches, a larger record_every or a smaller chunk_matches needs less"
        )
