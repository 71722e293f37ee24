"""Distributed runs: several processes run one program, each on its own devices.

Every process must call the functions that communicate (`agree`, `total`, `wait_for_all`, ...) in the same order."""

import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shaping.config.errors import ConfigError, LostError

HEARTBEAT_S = 60
"""Seconds without a heartbeat after which a process counts as dead and the others end."""


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes of a distributed run; must be called before JAX touches a device.

    Without arguments, JAX finds them on SLURM, GKE, Cloud TPU and Open MPI.

    Args:
      coordinator: HOST:PORT of process 0.
      processes: the number of processes.
      process: the number of this one, from 0.

    Raises:
      ConfigError: if the arguments are wrong, or if needed ones are missing.
      LostError: if the other processes do not answer.
    """
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise ConfigError(f"--coordinator {coordinator}: must be HOST:PORT, for example node0:1234")
    # Otherwise JAX would handle stop signals before `StopRequest` sees them.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT_S)
    except ValueError as error:
        raise ConfigError(
            f"--distributed: cannot join the other processes: {' '.join(str(error).split())}; outside SLURM, GKE and "
            "TPU pods give --coordinator HOST:PORT, --processes N and --process I"
        ) from None
    except RuntimeError as error:
        raise LostError(f"--distributed: the other processes do not answer: {' '.join(str(error).split())}") from None


def is_main() -> bool:
    """Whether this is the process that prints and that writes the files of which there is one."""
    return jax.process_index() == 0


def is_lost(error: BaseException) -> bool:
    """Whether an error means that another process has ended."""
    # "unavailable" is not among the signs, because an object store may be unavailable too.
    signs = ("heartbeat", "gloo", "connection reset", "connection closed", "barrier failed", "task is set")
    return isinstance(error, LostError) or several() and any(sign in str(error).lower() for sign in signs)


def several() -> bool:
    """Whether this run is distributed over several processes."""
    return jax.process_count() > 1


def agree(flags: list[bool]) -> list[bool]:
    """For each flag, whether it is set on any process."""
    if not several():
        return flags
    from jax.experimental import multihost_utils

    return np.any(multihost_utils.process_allgather(np.asarray(flags)), axis=0).tolist()


def check_alike(*what: Any) -> None:
    """Checks that all processes are about to do the same, with equal numbers of devices.

    Args:
      *what: plain data that must be equal on all processes.

    Raises:
      ConfigError: on all processes, if anything differs.
    """
    if not several():
        return
    from jax.experimental import multihost_utils

    # Counted first, without communication: collective operations fail if the numbers differ.
    counts = np.bincount([device.process_index for device in jax.devices()], minlength=jax.process_count())
    (others,) = np.nonzero(counts != counts[0])
    if len(others):
        raise ConfigError(
            f"--distributed: process {others[0]} has {counts[others[0]]} devices and process 0 has {counts[0]}; all "
            "must have the same number"
        )
    seal = zlib.crc32(json.dumps(what, sort_keys=True, default=str).encode())
    seals = multihost_utils.process_allgather(np.array([seal], np.uint32)).ravel()
    (others,) = np.nonzero(seals != seals[0])
    if len(others):
        raise ConfigError(
            f"--distributed: process {others[0]} has another command, configuration, folder or versions than process "
            "0; all must have the same"
        )


def total(number: int) -> int:
    """The sum of a number over all processes."""
    if not several():
        return number
    from jax.experimental import multihost_utils

    return int(np.sum(multihost_utils.process_allgather(np.asarray(number))))


def wait_for_all(name: str) -> None:
    """Returns when all processes have called it."""
    if several():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def leave_in_order(barrier: Callable[[str, int], None]) -> None:
    """Makes the main process end last, after waiting at most ten seconds for the others: JAX aborts a process whose
    coordinator is gone.

    Args:
      barrier: `checkpoints.barrier`, which needs no communication between devices, so their numbers may differ.
    """
    if not several():
        return
    try:
        barrier("end", 10_000)
    except RuntimeError:
        # The others have gone, or wait for something else.
        return
    if is_main():
        time.sleep(1)


def on_main(work: Callable[[], Any]) -> Any:
    """Does `work` on the main process only, while the others wait.

    Returns:
      What `work` returns on the main process, None on the others.

    Raises:
      ConfigError: on the others, if `work` failed.
    """
    result, failure = None, None
    if is_main():
        try:
            result = work()
        except BaseException as error:
            failure = error
    (failed,) = agree([failure is not None])
    if failure is not None:
        raise failure
    if failed:
        raise ConfigError("the main process ended with an error; see its message")
    return result


def in_turns(work: Callable[[], Any], together: bool) -> None:
    """Does `work` on all processes: at the same time if `together`, otherwise one after the other."""
    if together or not several():
        work()
        return
    for turn in range(jax.process_count()):
        if turn == jax.process_index():
            work()
        wait_for_all("turn")


def own_rows(array: jax.Array) -> np.ndarray:
    """The rows of a population [population, ...] that are on this process's devices; they are contiguous."""
    if not several():
        return np.asarray(array)
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def own_range(population: int) -> range:
    """Which rows of a population of this size are on this process's devices."""
    each = population // jax.process_count()
    return range(jax.process_index() * each, (jax.process_index() + 1) * each)


def spread_out(tree: Any, population: int, mesh: Mesh) -> Any:
    """Puts this process's own rows on the mesh, with the population axis spread over its devices.

    Args:
      tree: leaves [own rows, ...].
      population: the number of rows on all processes.
      mesh: the mesh of all devices.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    if not several():
        return jax.device_put(tree, sharding)
    first = own_range(population).start

    def put(leaf: Any) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            return leaf[slice(index[0].start - first, index[0].stop - first), *index[1:]]

        return jax.make_array_from_callback((population, *np.shape(leaf)[1:]), sharding, part)

    return jax.tree.map(put, tree)


def copied(tree: Any, mesh: Mesh) -> Any:
    """Puts the same arrays on every device of this process's mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def everywhere(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """A small array, replicated on every device of the mesh."""
    return jax.make_array_from_callback(array.shape, NamedSharding(mesh, PartitionSpec()), lambda index: array[index])
