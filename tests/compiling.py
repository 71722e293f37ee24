"""Compilation in tests: it often takes longer than the compiled code runs, and half of it is optimisation."""

from functools import cache

import jax

_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quickly(function, **options):
    """jax.jit, compiled with little optimisation."""
    return jax.jit(function, compiler_options=_QUICK, **options)


@cache
def initialiser(policy):
    """`init` of a policy or critic, compiled once whichever tests draw its parameters."""
    return quickly(policy.init)
