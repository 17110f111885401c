"""∂ of / ∂ by, as dual numbers on the forward definitions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pullback.evaluator.domain import Array
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.elements import pick
from pullback.evaluator.named import Named
from pullback.expression import Definition, Expr, Partial, tensors

if TYPE_CHECKING:
    from pullback.evaluator.interpret import Interpreter

V = TypeVar("V")


def partial(interpreter: Interpreter[V], e: Partial) -> Named[V]:
    """The derivative of `e.of` by one entry of a tensor, through every definition that is known.

    A tensor that has a value but no definition does not depend on anything.
    """
    by = e.by
    domain = interpreter.domain
    found = interpreter.duals.get(by.tensor.name)
    if found is None:
        value = interpreter.tensor(by.tensor.name)
        shape = domain.trailing(value, by.tensor.rank)
        directions = int(np.prod(shape, dtype=np.int64))
        dual: Dual[V] = Dual(domain, directions)
        seeds = {by.tensor.name: dual.seeded(value, by.tensor.rank)}
        found = interpreter.duals[by.tensor.name] = (interpreter.beside(dual, seeds), shape)
    inner, shape = found
    of = inner.field(e.of)
    if of.data.tangent is None:
        return Named((), domain.integers(np.zeros((), dtype=np.int64)), of.outside)
    data = domain.restructure(of.data.tangent, last_direction(shape))
    result = pick(interpreter, data, of.axes, by.slots)
    return Named(result.axes, result.data, of.outside or result.outside)


def last_direction(shape: tuple[int, ...]) -> Any:
    """The axis of directions brought last, and given the shape of the tensor it runs over."""

    def move(x: Array) -> Array:
        return np.moveaxis(x, 0, -1).reshape(x.shape[1:] + shape)

    return move


def dependents(definitions: Mapping[str, Definition], sources: set[str]) -> set[str]:
    """The names of the definitions that read one of the sources, directly or not."""
    found: set[str] = set()
    growing = True
    while growing:  # once more than the order of the definitions needs: they may stand in any order
        growing = False
        for name, definition in definitions.items():
            if name in found or name in sources:
                continue
            if any(read in sources or read in found for read in _reads(definition.body)):
                found.add(name)
                growing = True
    return found


@lru_cache(maxsize=4096)
def _reads(body: Expr) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in tensors(body))


def lifted(value: Any) -> Any:
    """A value of the base domain as a dual constant; integer tensors stay as they are."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return value
    return DualValue(value)
