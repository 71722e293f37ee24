"""States of a population on disk; the only module that imports orbax.

Orbax writes in the background, and atomically. It neither notices a flipped bit nor looks further where the newest
checkpoint is damaged; so a checkpoint carries digests of its own, which are compared with what is read back.
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

from shaping.runtime.digests import differing, digests
from shaping.runtime.folders import is_local, remove
from shaping.runtime.fsync import force_all
from shaping.runtime.processes import agree, is_main, on_main, several, wait_for_all


class DamagedError(Exception):
    """What is on disk is not what was saved."""


class Rolling:
    """The newest few checkpoints of a run that goes on, by ascending number."""

    def __init__(self, folder: Any, keep: int):
        """Opens a folder, new or with checkpoints in it.

        Args:
          folder: a path, local or of a store that orbax knows.
          keep: how many checkpoints, at least 1.
        """
        from orbax.checkpoint import v1 as orbax

        self.folder = folder
        self._keep = keep
        # When to save is decided by the caller. Orbax's own policies do not fit its own annotations.
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
        """Of the checkpoints there are, ascending."""
        return [checkpoint.step for checkpoint in self._orbax.checkpoints]

    def save(self, number: int, state: Any, matches: int, mesh: Mesh, about: dict[str, Any]) -> None:
        """Begins to save; returns when the state's buffers may be reused.

        Args:
          number: above all there are.
          state: leaves [population, ...] on the mesh.
          matches: how many of the population are no padding.
          mesh: of all devices.
          about: what else is to be known, plain data.
        """
        if not self._orbax.save_async(number, state, custom_metadata=_sealed(state, matches, mesh, about)):
            raise OSError(f"checkpoint {number} was not saved; there are {self.numbers}")

    def wait(self) -> None:
        """Returns when what was begun is on disk."""
        self._orbax.wait()

    def about(self, number: int) -> dict[str, Any]:
        """What was saved along with a checkpoint; see `about`."""
        return about(self.folder / str(number))

    def restore(self, number: int, like: Any) -> Any:
        """The state of a checkpoint; `like` has its structure, with the population of today's devices.

        Each process reads its own part and waits for nobody, so that one which cannot leaves none waiting.

        Raises:
          DamagedError: if it cannot be read.
        """
        try:
            return restore(self.folder / str(number), like, alone=several())
        except Exception as error:
            raise DamagedError(_line(error)) from None

    def set_aside(self, number: int, to: Any) -> None:
        """Moves a damaged checkpoint out of the way, into the folder `to`."""
        self._orbax.close()

        def move() -> None:
            to.mkdir(parents=True, exist_ok=True)
            free = next(path for i in itertools.count() if not (path := to / f"{number}-{i}").exists())
            (self.folder / str(number)).rename(free)

        on_main(move)
        self.__init__(self.folder, self._keep)

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self._orbax.close()


def restore_newest(
    rolling: Rolling,
    like: Any,
    matches: int,
    mesh: Mesh,
    wanted: Callable[[dict[str, Any]], bool],
    aside: Any,
    warn: Callable[[str], None],
) -> tuple[Any, dict[str, Any]] | None:
    """The newest checkpoint that is whole and wanted, or None.

    Args:
      rolling, like, matches, mesh: as above.
      wanted: says from what was saved along whether a checkpoint is of interest; may raise.
      aside: folder for damaged ones.
      warn: receives a line for each damaged one.
    """
    for number in reversed(rolling.numbers):
        about, problem = _attempted(lambda number=number: rolling.about(number))
        state = None
        if problem is None:
            if not wanted(about):
                return None
            state, problem = _attempted(lambda number=number: rolling.restore(number, like))
        if problem is None:
            problem = differing(digests(state, matches, mesh), about["digests"])
        if problem is None:
            return state, about
        before = [n for n in rolling.numbers if n < number]
        instead = f"looking at the one before, {before[-1]}" if before else "there is none before it"
        warn(f"checkpoint {rolling.folder / str(number)} is damaged ({problem}); {instead}; it is kept in {aside}")
        rolling.set_aside(number, aside)
    return None


def _attempted(work: Callable[[], Any]) -> tuple[Any, str | None]:
    """What `work` returns, and why it failed: on any process, if several try together."""
    found, problem = None, None
    try:
        found = work()
    except DamagedError as error:
        problem = str(error)
    (failed,) = agree([problem is not None])
    return found, (problem or "another process cannot read it") if failed else None


def save(path: Any, state: Any, matches: int, mesh: Mesh, about: dict[str, Any]) -> None:
    """Writes a state once and for all, atomically and before it returns; the arguments are those of `Rolling.save`."""
    from orbax.checkpoint import v1 as orbax

    if is_main():
        remove(path)
    wait_for_all("save")
    with _context():
        orbax.save(_absolute(path), state, custom_metadata=_sealed(state, matches, mesh, about))
    if is_main():
        # Of the smallest files orbax leaves that to the system.
        force_all(path)


def about(path: Any) -> dict[str, Any]:
    """What was saved along with a state: its `digests`, of how many `matches`, and what its writer told of it.

    Raises:
      DamagedError: if it cannot be read or is not what was written.
    """
    from orbax.checkpoint import v1 as orbax

    try:
        return _opened(orbax.metadata(_absolute(path)).custom_metadata)
    except DamagedError:
        raise
    except Exception as error:
        raise DamagedError(_line(error)) from None


def is_saved(path: Any) -> bool:
    """Whether a state was written there to its end."""
    if not path.exists():
        return False
    try:
        about(path)
    except DamagedError:
        return False
    return True


def restore(path: Any, like: Any, alone: bool = False) -> Any:
    """Reads a pytree back; `like` has its structure, shapes and types (arrays, or `jax.ShapeDtypeStruct` with a
    sharding). Where its population is longer or shorter than what was written, that is padded or cut off. A process
    that reads `alone` does not wait for the others."""
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
    """Orbax reads in threads of its own, where `jax.enable_x64` of this thread does not hold: it would read float64 as
    float32."""
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
    # How far a population is padded depends on the devices.
    context.array.loading.enable_padding_and_truncation = True
    return context


def _absolute(path: Any) -> str:
    return str(path.resolve() if is_local(path) else path)


def _sealed(state: Any, matches: int, mesh: Mesh, about: dict[str, Any]) -> dict[str, Any]:
    content = about | {"matches": matches, "digests": digests(state, matches, mesh)}
    return {"content": content, "seal": _seal(content)}


def _opened(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or "content" not in found or found.get("seal") != _seal(found["content"]):
        raise DamagedError("what is said of it is not what was written")
    return found["content"]


def _seal(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]
