"""Pickling of what is made of functions: by the call that made it."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def remakable(factory: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """A factory at the top of a module whose products pickle, as the factory's name and its arguments.

    Its products' class has to answer `__reduce__` with `remade`.
    """

    @functools.wraps(factory)
    def make(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        made = factory(*args, **kwargs)
        # Products are frozen for users.
        object.__setattr__(made, "recipe", (make, args, kwargs))
        return made

    return make


def remade(product: Any, name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What `__reduce__` returns for the product of a `remakable` factory.

    Raises:
      TypeError: it was made in another way.
    """
    recipe = getattr(product, "recipe", None)
    if recipe is None:
        raise TypeError(f"{name} does not pickle; allowed: what a factory makes that is marked `remakable`")
    return _called, recipe


def _called(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **kwargs)
