"""Operations entry by entry on arrays of numbers: one operation of their domain in the place of one for each entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pullback.evaluator.domain import HALF, Domain
from pullback.tracing.numbers import World, exact_exponent, is_infinite
from pullback.tracing.products import world_of
from pullback.tracing.wholes import Whole, gathered

FEW: Final = 6  # entries: fewer are not worth putting together

Operation = Callable[..., Any]  # of a domain and one or two values

OPERATIONS: Final[dict[str, Operation]] = {
    "add": lambda domain, a, b: domain.add(a, b),
    "subtract": lambda domain, a, b: domain.sub(a, b),
    "multiply": lambda domain, a, b: domain.mul(a, b),
    "divide": lambda domain, a, b: domain.mul(a, domain.reciprocal(b)),
    "negative": lambda domain, a: domain.neg(a),
    "exp": lambda domain, a: domain.exp(a),
    "log": lambda domain, a: domain.log(a),
    "sqrt": lambda domain, a: domain.power(a, HALF),
    "sin": lambda domain, a: domain.sin(a),
    "cos": lambda domain, a: domain.cos(a),
    "tanh": lambda domain, a: domain.tanh(a),
    "erf": lambda domain, a: domain.erf(a),
    "sigmoid": lambda domain, a: domain.sigmoid(a),
}


def at_once(name: str, arrays: Sequence[Any], one: Callable[..., Any]) -> Any:
    """An operation of the table on plain arrays that broadcast; None where it must be done entry by entry.

    one: the same entry by entry, for those that are infinite.
    """
    if name not in OPERATIONS:
        return None
    found = _applied(OPERATIONS[name], arrays)
    return _around_infinite(OPERATIONS[name], arrays, one) if found is None else found


def _around_infinite(operation: Operation, arrays: Sequence[Any], one: Callable[..., Any]) -> Any:
    """The finite entries at once, those where an operand is infinite one by one."""
    given = np.broadcast_arrays(*(np.asarray(a, dtype=object) for a in arrays))
    odd = np.zeros(given[0].shape, dtype=bool)
    for a in given:
        odd |= np.array([is_infinite(x) for x in a.flat], dtype=bool).reshape(a.shape)
    found = _applied(operation, [a[~odd] for a in given]) if odd.any() else None
    if found is None:
        return None
    whole = np.empty(odd.shape, dtype=object)
    whole[~odd] = found
    whole[odd] = one(*(a[odd] for a in given))
    return whole


def raised(array: Any, exponent: Any) -> Any:
    """The power of a plain array to a plain number; None where it must be done entry by entry."""
    if not isinstance(exponent, int | float) or np.size(array) < FEW:
        return None
    r = exact_exponent(exponent)
    return None if r in (0, 1) else _applied(lambda domain, a: domain.power(a, r), [array])


def _applied(operation: Operation, arrays: Sequence[Any]) -> Any:
    given = [np.asarray(a, dtype=object) for a in arrays]
    shape = np.broadcast_shapes(*(a.shape for a in given))
    world = world_of(given) if math.prod(shape) >= FEW else None
    if world is None:
        return None
    values = [_put_together(world, a, len(shape)) for a in given]
    if any(v is None for v in values):
        return None
    return Whole(world, operation(world.domain, *values), shape).numbers()


def summed(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The sums along some axes of a plain array; None where they must be done entry by entry."""
    world = world_of([x]) if x.size >= FEW and axes else None
    kept = [a for a in range(x.ndim) if a not in axes]
    value = None if world is None else _put_together(world, x.transpose([*kept, *axes]), x.ndim)
    if world is None or value is None:
        return None
    shape = tuple(x.shape[a] for a in kept)
    found = Whole(world, world.domain.total(value, len(axes)), shape).numbers()
    return found.reshape([1 if a in axes else n for a, n in enumerate(x.shape)]) if keepdims else found[()]


def _put_together(world: World, array: Any, rank: int) -> Any:
    """The entries as one value with `rank` last axes; None where a sum of logarithms would be lost."""
    domain: Domain[Any] = world.domain
    stacked = gathered(world, array)
    if stacked is None:
        return None
    missing = rank - array.ndim
    if not missing:
        return stacked
    width = array.ndim
    return domain.restructure(
        stacked,
        lambda x: x.reshape((*x.shape[: x.ndim - width], *(1,) * missing, *x.shape[x.ndim - width :])),
    )
