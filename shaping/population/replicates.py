"""What a run has many of, side by side: independent matches, or populations of learners that meet. The loop, the
planner and the record know them by this description alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shaping.variables import Variable


@dataclass(frozen=True)
class Cost:
    """What one of them takes.

    Attributes:
      row: numbers recorded of it in every row.
      working_bytes: memory needed besides settings and state while it is updated.
      largest_block: how many are updated together, at most, on a device whose cores have caches of their own; None for
        all there are.
      work: of an update or generation, in updates of a two-player game of small tables.
    """

    row: int
    working_bytes: int
    largest_block: Callable[[float, int], int] | None
    work: int


@dataclass(frozen=True)
class Replicate:
    """One kind of what a run trains many of. Settings and states have leaves [replicates, ...].

    Attributes:
      step: "update" or "generation"; also the name of the dimension of what is recorded along it.
      counted: what progress and speed are told in, "match-updates" or "generations".
      start: `(mesh, dtype) -> program`, which turns settings into states.
      segment: `(mesh, timetable, block) -> program`, `(settings, states, segment) -> (states, rows)`.
      finish: `(mesh, timetable, block) -> program`, `(settings, states) -> variables`, among them the last row.
      initial: `(settings, states, fetched) -> {name: array}`, recorded before the first step; `fetched` turns an array
        on devices into this process's rows of it.
      shapes: `(settings, dtype) -> states` of one, to be traced.
      cost: `(settings, states, extras) -> Cost`, from shapes alone.
      variables: `(settings, extras) -> {name: declaration}`.
      labels: `(settings) -> {dimension: labels}`.
      parameters: `(settings) -> int`, the largest number of parameters of a policy.
      about: `(settings) -> attributes` of the record.
      prepares: `(settings) -> bool`, whether learners learn something before they start.
      over: `(settings, states, steps) -> bool`, whether nothing can change any more after so many steps.
      sharding: `(mesh, settings) -> shardings` of states, as a prefix of their tree.
      spread: whether every device has replicates of its own, so that their number is padded to a multiple of the
        devices.
      split: the same kind with every replicate divided among all devices, for fewer replicates than devices; None where
        they cannot be divided.
    """

    step: str
    counted: str
    start: Callable[..., Any]
    segment: Callable[..., Any]
    finish: Callable[..., Any]
    initial: Callable[[Any, Any, Callable[[Any], Any]], dict[str, Any]]
    shapes: Callable[[Any, Any], Any]
    cost: Callable[[Any, Any, Sequence[str]], Cost]
    variables: Callable[[Any, Sequence[str]], dict[str, Variable]]
    labels: Callable[[Any], Mapping[str, Sequence[Any]]]
    parameters: Callable[[Any], int]
    about: Callable[[Any], Mapping[str, Any]]
    prepares: Callable[[Any], bool]
    over: Callable[[Any, Any, int], bool] = lambda settings, states, steps: False
    sharding: Callable[[Mesh, Any], Any] = lambda mesh, settings: NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    spread: bool = True
    split: "Replicate | None" = None
