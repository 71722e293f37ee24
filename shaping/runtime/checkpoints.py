"""States of a population on disk. This is the only module that imports orbax.

Orbax writes atomically and in the background. It does not notice a flipped bit, and it does not fall back to an older
checkpoint when the newest one is damaged. Our checkpoints therefore carry their own digests, which are compared with
those of what is read back.
"""

import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
from jax.sharding import Mesh

from shaping.config.errors import ConfigError
from shaping.runtime.digests import differing, digests
from shaping.runtime.fsync import sync_folder
from shaping.runtime.processes import agree, is_main, on_main, several, wait_for_all
from shaping.runtime.storage import is_local, remove

LAYOUT = 2
"""Version of the checkpoint format. Version 1 had one state per match, version 2 has one per learner."""


class DamagedError(Exception):
    """What is on disk differs from what was saved."""


class RollingCheckpoints:
    """The newest few checkpoints of a run, numbered in ascending order."""

    def __init__(self, folder: Any, keep: int):
        """Opens a folder, new or with checkpoints in it.

        Args:
          folder: a path, local or in a store that orbax knows.
          keep: how many checkpoints to keep, at least 1.
        """
        from orbax.checkpoint import v1 as orbax

        self.folder = folder
        self._keep = keep
        self._pending: Any = None
        # The caller decides when to save. Orbax's own policies do not match its own annotations.
        always: Any = orbax.training.save_decision_policies.FixedIntervalPolicy(1)
        newest: Any = orbax.training.preservation_policies.LatestN(keep)
        self._orbax = orbax.training.Checkpointer(
            _absolute(folder),
            context=_context(),
            save_decision_policy=always,
            preservation_policy=newest,
            cleanup_tmp_directories=True,
        )

    @property
    def numbers(self) -> list[int]:
        """Numbers of the existing checkpoints, ascending."""
        return [checkpoint.step for checkpoint in self._orbax.checkpoints]

    def save(self, number: int, state: Any, matches: int, mesh: Mesh, metadata: dict[str, Any]) -> None:
        """Starts to save, and returns as soon as the buffers of the state may be reused.

        Args:
          number: must be greater than that of every existing checkpoint.
          state: leaves [population, ...] on the mesh.
          matches: how many matches of the population are not padding.
          mesh: the mesh of all devices.
          metadata: plain data to store with the state.

        Raises:
          OSError: if the previous checkpoint could not be written.
        """
        self.wait()
        self._pending = self._orbax.save_async(number, state, custom_metadata=_sealed(state, matches, mesh, metadata))
        if self._pending is None:
            raise OSError(f"checkpoint {number} was not saved; there are {self.numbers}")

    def wait(self) -> None:
        """Returns when the last checkpoint is on disk."""
        # Orbax ends the thread and the event loop of a save only when its result is asked for. Until then they hold
        # three file descriptors, and a long run would fail with too many open files.
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def metadata(self, number: int) -> dict[str, Any]:
        """The metadata that was saved with a checkpoint; see `read_metadata`."""
        return read_metadata(self.folder / str(number))

    def restore(self, number: int, like: Any) -> Any:
        """The state of a checkpoint; `like` has its structure, with the population size of the present devices.

        Each process reads its own part without waiting for the others, so that a process that fails leaves none
        waiting.

        Raises:
          DamagedError: if it cannot be read.
        """
        try:
            return restore(self.folder / str(number), like, alone=several())
        except Exception as error:
            raise DamagedError(_line(error)) from None

    def set_aside(self, number: int, to: Any) -> None:
        """Moves a checkpoint into the folder `to`."""
        self.close()

        def move() -> None:
            to.mkdir(parents=True, exist_ok=True)
            free = next(path for i in itertools.count() if not (path := to / f"{number}-{i}").exists())
            (self.folder / str(number)).rename(free)

        on_main(move)
        self.__init__(self.folder, self._keep)

    def close(self) -> None:
        """Waits for the last checkpoint and closes the folder."""
        self.wait()
        self._orbax.close()


def restore_newest(
    rolling: RollingCheckpoints,
    like: Any,
    matches: int,
    mesh: Mesh,
    wanted: Callable[[dict[str, Any]], bool],
    aside: Any,
    warn: Callable[[str], None],
) -> tuple[Any, dict[str, Any]] | None:
    """The newest intact checkpoint and its metadata; None if there is none, or if the newest is not wanted.

    Args:
      rolling: the checkpoints.
      like, matches, mesh: as above.
      wanted: decides from a checkpoint's metadata whether to restore it; may raise.
      aside: the folder to which damaged checkpoints are moved.
      warn: receives one line for each damaged checkpoint.
    """
    for number in reversed(rolling.numbers):
        metadata, problem = _attempted(lambda number=number: rolling.metadata(number))
        state = None
        if problem is None:
            if not wanted(metadata):
                return None
            state, problem = _attempted(lambda number=number: rolling.restore(number, like))
        if problem is None:
            problem = differing(digests(state, matches, mesh), metadata["digests"])
        if problem is None:
            return state, metadata
        before = [n for n in rolling.numbers if n < number]
        instead = f"trying the one before it, {before[-1]}" if before else "there is none before it"
        warn(f"checkpoint {rolling.folder / str(number)} is damaged ({problem}); {instead}; it was moved to {aside}")
        rolling.set_aside(number, aside)
    return None


def restore_intact(path: Any, like: Any, matches: int, mesh: Mesh) -> tuple[Any, dict[str, Any]] | None:
    """A state and its metadata, or None if they differ from what was saved; the arguments are those of
    `restore_newest`."""

    def read() -> tuple[Any, dict[str, Any]]:
        metadata = read_metadata(path)
        try:
            return restore(path, like, alone=several()), metadata
        except Exception as error:
            raise DamagedError(_line(error)) from None

    found, problem = _attempted(read)
    if problem is not None or differing(digests(found[0], matches, mesh), found[1]["digests"]):
        return None
    return found


def _attempted(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """What `work` returns, and why it failed. It counts as failed on all processes if it failed on one."""
    found, problem = None, None
    try:
        found = work()
    except DamagedError as error:
        problem = str(error)
    (failed,) = agree([problem is not None])
    return found, (problem or "another process cannot read it") if failed else None


def save(path: Any, state: Any, matches: int, mesh: Mesh, metadata: dict[str, Any]) -> None:
    """Writes a state atomically and returns when it is on disk; the arguments are those of
    `RollingCheckpoints.save`."""
    from orbax.checkpoint import v1 as orbax

    if is_main():
        remove(path)
    wait_for_all("save")
    with _context():
        orbax.save(_absolute(path), state, custom_metadata=_sealed(state, matches, mesh, metadata))
    if is_main():
        # Orbax does not sync its smallest files.
        sync_folder(path)


def read_metadata(path: Any) -> dict[str, Any]:
    """The metadata saved with a state: its `digests`, its number of `matches`, and whatever its writer added.

    Raises:
      DamagedError: if it cannot be read or differs from what was written.
      ConfigError: if it was written in another layout.
    """
    from orbax.checkpoint import v1 as orbax

    try:
        content = _opened(orbax.metadata(_absolute(path)).custom_metadata)
    except DamagedError:
        raise
    except Exception as error:
        raise DamagedError(_line(error)) from None
    layout = content.get("layout", 1)
    if layout != LAYOUT:
        raise ConfigError(
            f"{path}: was written in checkpoint layout {layout}, this version of shaping reads layout {LAYOUT}; resume "
            "with the version that wrote it, or run its config.yaml into a new folder"
        )
    return content


def is_saved(path: Any) -> bool:
    """Whether a complete state was written there.

    Raises:
      ConfigError: if it was written in another layout.
    """
    if not path.exists():
        return False
    try:
        read_metadata(path)
    except DamagedError:
        return False
    return True


def restore(path: Any, like: Any, alone: bool = False) -> Any:
    """Reads a pytree.

    Args:
      path: where it was written.
      like: has its structure, shapes and types (arrays, or `jax.ShapeDtypeStruct` with a sharding). If its population
        is longer or shorter than the one on disk, that one is padded or cut.
      alone: whether this process reads without waiting for the others.
    """
    from orbax.checkpoint import v1 as orbax

    context = _context()
    if alone:
        me = jax.process_index()
        context.multiprocessing.active_processes = {me}
        context.multiprocessing.primary_host = me
        context.multiprocessing.barrier_sync_key_prefix = f"alone{me}"
    with context, _precision_of_all_threads():
        return orbax.load(_absolute(path), like)


@contextmanager
def _precision_of_all_threads() -> Iterator[None]:
    """Gives all threads the precision of this thread.

    Orbax reads in its own threads, where this thread's `jax.enable_x64` does not apply: it would read float64 as
    float32.
    """
    with ThreadPoolExecutor(1) as thread:
        before = thread.submit(lambda: jax.config.read("jax_enable_x64")).result()
    jax.config.update("jax_enable_x64", jax.config.read("jax_enable_x64"))
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def _context() -> Any:
    from orbax.checkpoint import v1 as orbax

    context = orbax.Context()
    # How much padding a population needs depends on the number of devices.
    context.array.loading.enable_padding_and_truncation = True
    return context


def _absolute(path: Any) -> str:
    return str(path.resolve() if is_local(path) else path)


def _sealed(state: Any, matches: int, mesh: Mesh, metadata: dict[str, Any]) -> dict[str, Any]:
    content = metadata | {"layout": LAYOUT, "matches": matches, "digests": digests(state, matches, mesh)}
    return {"content": content, "seal": _seal(content)}


def _opened(found: Any) -> dict[str, Any]:
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, dict) or found.get("seal") != _seal(content):
        raise DamagedError("its metadata differs from what was written")
    return content


def _seal(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]


def barrier(name: str, milliseconds: int) -> None:
    """Returns when all processes have called it, without communication between devices.

    Raises:
      RuntimeError: if that takes longer than so many milliseconds.
    """
    import orbax.checkpoint as ocp

    ocp.multihost.get_barrier_sync_fn()(key=name, timeout_ms=milliseconds)
