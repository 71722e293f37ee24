"""Compilation in tests: it often takes longer than the compiled code runs, and half of it is optimisation."""

import threading
from functools import cache

import jax
from jax._src.interpreters import mlir

_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quickly(function, **options):
    """jax.jit, compiled with little optimisation."""
    return jax.jit(function, compiler_options=_QUICK, **options)


@cache
def initialiser(policy):
    """`init` of a policy or critic, compiled once whichever tests draw its parameters."""
    return quickly(policy.init)


class _Contexts(threading.local):
    """Of one thread: the MLIR context in use and how many programs it has been used for."""

    context = None
    used = 0


def reuse_contexts(programs=50):
    """Makes JAX write this many programs into one MLIR context, of which it makes a new one per program up to 0.10.

    Later versions do this themselves. To make a context takes a third as long as to compile the program of a single
    operation.
    """
    make, ours = mlir.make_ir_context, _Contexts()

    def make_or_reuse():
        if ours.context is None or ours.used == programs:
            ours.context, ours.used = make(), 0
        ours.used += 1
        return ours.context

    mlir.make_ir_context = make_or_reuse
