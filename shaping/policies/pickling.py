"""Pickling of objects made of functions: by the call that made them."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def remakable(factory: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Makes the products of a factory pickle as the factory's name and arguments; the factory must be at module level.

    The products' class must implement `__reduce__` with `remade`.
    """

    @functools.wraps(factory)
    def make(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        made = factory(*args, **kwargs)
        # The products are frozen dataclasses.
        object.__setattr__(made, "recipe", (make, args, kwargs))
        return made

    return make


def remade(product: Any, name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What `__reduce__` returns for the product of a `remakable` factory.

    Raises:
      TypeError: if it was made in another way.
    """
    recipe = getattr(product, "recipe", None)
    if recipe is None:
        raise TypeError(f"{name} does not pickle; allowed: products of a factory that is marked `remakable`")
    return _called, recipe


def _called(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **kwargs)
