"""Several processes that run one program, each with devices of its own: who is the main one, what all agree on."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shaping.config.errors import ConfigError, LostError

HEARTBEAT_S = 60
"""Seconds without a sign of life after which a process counts as dead, and the others end."""


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes of a job; must run before JAX touches a device.

    Without arguments JAX finds its own way on SLURM, GKE, Cloud TPU and Open MPI.

    Args:
      coordinator: HOST:PORT of process 0.
      processes: how many there are.
      process: the number of this one.

    Raises:
      ConfigError: where it cannot be known how to.
      LostError: where the others do not answer.
    """
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise ConfigError(f"--coordinator {coordinator}: must be HOST:PORT, for example node0:1234")
    # A signal to stop is answered by `stops`: JAX's own answer would come first.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT_S)
    except ValueError as error:
        raise ConfigError(
            f"--distributed: cannot join the other processes: {' '.join(str(error).split())}; outside SLURM, GKE and "
            "TPU pods give --coordinator HOST:PORT, --processes N and --process I"
        ) from None
    except RuntimeError as error:
        raise LostError(f"--distributed: the other processes are not there: {' '.join(str(error).split())}") from None


def is_main() -> bool:
    """Whether this process writes what there is only one of, and talks."""
    return jax.process_index() == 0


def is_lost(error: BaseException) -> bool:
    """Whether an error means that another process is gone."""
    # Not "unavailable": a store may be that, too.
    signs = ("heartbeat", "gloo", "connection reset", "connection closed", "barrier failed", "task is set")
    return isinstance(error, LostError) or several() and any(sign in str(error).lower() for sign in signs)


def several() -> bool:
    """Whether there are others."""
    return jax.process_count() > 1


def agree(flags: list[bool]) -> list[bool]:
    """For each flag, whether any process raised it; all must ask."""
    if not several():
        return flags
    from jax.experimental import multihost_utils

    return np.any(multihost_utils.process_allgather(np.asarray(flags)), axis=0).tolist()


def check_alike(*what: Any) -> None:
    """Refuses to go on where processes are about to do different things, or have not as many devices each.

    Raises:
      ConfigError: on all of them.
    """
    if not several():
        return
    from jax.experimental import multihost_utils

    seal = zlib.crc32(json.dumps(what, sort_keys=True, default=str).encode())
    seen = multihost_utils.process_allgather(np.array([seal, jax.local_device_count()], np.uint32))
    for column, name in enumerate(("command, configuration, folder or versions", "number of devices")):
        others = np.flatnonzero(seen[:, column] != seen[0, column])
        if len(others):
            raise ConfigError(
                f"--distributed: process {others[0]} has another {name} than process 0; all need the same"
            )


def total(number: int) -> int:
    """The sum over all processes; all must ask."""
    if not several():
        return number
    from jax.experimental import multihost_utils

    return int(np.sum(multihost_utils.process_allgather(np.asarray(number))))


def wait_for_all(name: str) -> None:
    """Returns when all processes have got here."""
    if several():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def on_main(work: Callable[[], Any]) -> Any:
    """What `work` returns on the main process, None on the others, which wait for it.

    Raises:
      ConfigError: on the others, if it failed.
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
        raise ConfigError("the main process ended with an error; its message says why")
    return result


def in_turns(work: Callable[[], Any], together: bool) -> None:
    """`work` on all processes: at once where `together`, else one after the other."""
    if together or not several():
        work()
        return
    for turn in range(jax.process_count()):
        if turn == jax.process_index():
            work()
        wait_for_all("turn")


def own_rows(array: jax.Array) -> np.ndarray:
    """The part of a population [population, ...] that lies on this process's devices, one stretch of it."""
    if not several():
        return np.asarray(array)
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def own_range(population: int) -> range:
    """Which rows of a population of that size lie on this process's devices."""
    each = population // jax.process_count()
    return range(jax.process_index() * each, (jax.process_index() + 1) * each)


def spread_out(tree: Any, population: int, mesh: Mesh) -> Any:
    """Arrays on the mesh, the population axis over its devices, of leaves that hold this process's own rows."""
    sharding = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    if not several():
        return jax.device_put(tree, sharding)
    first = own_range(population).start

    def put(leaf: Any) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            return leaf[slice(index[0].start - first, index[0].stop - first), *index[1:]]

        return jax.make_array_from_callback((population, *np.shape(leaf)[1:]), sharding, part)

    return jax.tree.map(put, tree)


def everywhere(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """The same small array on every device of the mesh."""
    return jax.make_array_from_callback(array.shape, NamedSharding(mesh, PartitionSpec()), lambda index: array[index])
