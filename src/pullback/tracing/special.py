"""Inverse functions, derivatives of log Γ, and rounding, whose derivative is 0 and which only high precision has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pullback.evaluator import HighPrecision, Unrepresentable
from pullback.evaluator.dual import Dual, DualValue
from pullback.tracing.arrays import FUNCTIONS
from pullback.tracing.numbers import Number, World, is_infinite, lift


def _context(x: Number) -> tuple[HighPrecision, Any]:
    """The domain beneath, and its numbers' library; the others hold none of these functions."""
    domain = x.world.domain
    base = domain.base if isinstance(domain, Dual) else domain
    if not isinstance(base, HighPrecision):
        raise Unrepresentable("this function is known to 50 digits, not exactly")
    return base, base.context


def _boxed(value: Any) -> Any:
    found = np.empty((), dtype=object)
    found[()] = value
    return found


def applied(x: Number, name: str, slope: Callable[[Number], Number] | None) -> Number:
    """f(x) with the tangent f'(x) dx; without a slope the tangent is 0."""
    base, context = _context(x)
    try:
        value = getattr(context, name)(x.plain()[()])
    except ValueError:
        value = base.nothing
    boxed = _boxed(base.nothing if isinstance(value, context.mpc) else value)
    if not isinstance(x.world.domain, Dual):
        return Number(x.world, boxed)
    tangent = x.value.tangent
    if tangent is not None and slope is not None:
        tangent = base.mul(slope(Number(World(base), x.plain())).value, tangent)
    return Number(x.world, DualValue(boxed, tangent if slope is not None else None))


def rounded(name: str) -> Callable[[Number], Number]:
    """Rounding to a whole number; a place where it jumps is a tie."""

    def row(x: Number) -> Number:
        _, context = _context(x)
        value = x.plain()[()]
        x.world.has_kinks = True
        twice = 2 * value
        if twice == context.floor(twice):
            x.world.ties.add("compare")
        if name == "trunc":
            return applied(x, "floor" if value > 0 else "ceil", None)
        return applied(x, name, None)

    return row


def _row(f: Callable[[Number], Number]) -> Any:
    return np.frompyfunc(lambda x: x if is_infinite(x) else f(lift(x)), 1, 1)


def _own(function: Callable[[Any, Any], Any]) -> Any:
    """A function that every domain has."""
    return _row(lambda x: Number(x.world, function(x.world.domain, x.value)))


def _angle(y: Any, x: Any) -> Any:
    y, x = lift(y), lift(x)
    return Number(y.world, y.world.domain.arctan2(y.value, x.value))


def _polygamma(order: Any, x: Any) -> Any:
    return _own(lambda domain, value: domain.polygamma(value, int(order)))(x)


ADDED: Final[dict[str, Any]] = {
    "arctan": _own(lambda domain, x: domain.arctan(x)),
    "arcsin": _own(lambda domain, x: domain.arcsin(x)),
    "arccos": _own(lambda domain, x: domain.arccos(x)),
    "arcsinh": _row(lambda x: (x + (x * x + 1).sqrt()).log()),
    "arccosh": _row(lambda x: (x + (x * x - 1).sqrt()).log()),
    "arctanh": _row(lambda x: ((1 + x) / (1 - x)).log() / 2),
    "gammaln": _own(lambda domain, x: domain.lgamma(x)),
    "digamma": _own(lambda domain, x: domain.digamma(x)),
    "psi": _own(lambda domain, x: domain.digamma(x)),
    "polygamma": _polygamma,
    "arctan2": np.frompyfunc(_angle, 2, 1),
    "rint": _row(rounded("nint")),
    "floor": _row(rounded("floor")),
    "ceil": _row(rounded("ceil")),
    "trunc": _row(rounded("trunc")),
}
FUNCTIONS.update(ADDED)
