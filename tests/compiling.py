"""Compilation in tests: it often takes longer than the compiled code runs, and half of it is optimisation."""

import importlib.metadata
import threading
from functools import cache

import jax
from jax._src import compiler
from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir

_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quickly(function, **options):
    """jax.jit, compiled with little optimisation."""
    return jax.jit(function, compiler_options=_QUICK, **options)


class _Optimised:
    """Whether programs are compiled well, although XLA_FLAGS says otherwise."""

    now = False


def optimise_on_demand():
    """Makes `optimised` decide how JAX compiles. XLA_FLAGS cannot: XLA reads them once per process."""
    options_of = compiler.get_compile_options

    def options(*arguments, **keywords):
        found = options_of(*arguments, **keywords)
        if _Optimised.now:
            debug = found.executable_build_options.debug_options
            debug.xla_backend_optimization_level, debug.xla_llvm_disable_expensive_passes = 3, False
        return found

    compiler.get_compile_options = options


def optimised(now):
    """From now on programs are compiled well, or as XLA_FLAGS says."""
    _Optimised.now = now


@cache
def initialiser(policy):
    """`init` of a policy or critic, compiled once whichever tests draw its parameters."""
    return quickly(policy.init)


class _Contexts(threading.local):
    """Of one thread: the MLIR context in use and how many programs it has been used for."""

    context = None
    used = 0


def reuse_contexts(programs=50):
    """Makes JAX 0.10 write this many programs into one MLIR context, as later versions do of their own accord.

    It would make a new one for every program, which takes half as long as to compile the program of one operation.
    """
    if not importlib.metadata.version("jaxlib").startswith("0.10."):
        return
    make, ours = mlir.make_ir_context, _Contexts()

    def make_or_reuse():
        # Writing one program may require writing another on the way, which then gets a context of its own.
        if ir.Context.current is not None:
            return make()
        if ours.context is None or ours.used == programs:
            ours.context, ours.used = make(), 0
        ours.used += 1
        return ours.context

    mlir.make_ir_context = make_or_reuse
