"""Functions that only high precision has, each with its derivative, and rounding, whose derivative is 0."""

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


def _with_slope(name: str, slope: Callable[[Number], Number]) -> Any:
    return _row(lambda x: applied(x, name, slope))


def _trigamma(x: Number) -> Number:
    _, context = _context(x)
    return Number(x.world, _boxed(context.psi(1, x.plain()[()])))


def _digamma(x: Number) -> Number:
    return applied(x, "digamma", _trigamma)


def _angle(y: Any, x: Any) -> Any:
    """atan2, through the half angle: 2 atan(y / (r + x))."""
    y, x = lift(y), lift(x)
    r = (x * x + y * y).sqrt()
    half = y / (r + x)
    return 2 * applied(half, "atan", lambda t: 1 / (1 + t * t))


ADDED: Final[dict[str, Any]] = {
    "arctan": _with_slope("atan", lambda x: 1 / (1 + x * x)),
    "arcsin": _with_slope("asin", lambda x: 1 / (1 - x * x).sqrt()),
    "arccos": _with_slope("acos", lambda x: -1 / (1 - x * x).sqrt()),
    "arcsinh": _with_slope("asinh", lambda x: 1 / (1 + x * x).sqrt()),
    "arccosh": _with_slope("acosh", lambda x: 1 / (x * x - 1).sqrt()),
    "arctanh": _with_slope("atanh", lambda x: 1 / (1 - x * x)),
    "gammaln": _with_slope("loggamma", _digamma),
    "digamma": _row(_digamma),
    "psi": _row(_digamma),
    "arctan2": np.frompyfunc(_angle, 2, 1),
    "rint": _row(rounded("nint")),
    "floor": _row(rounded("floor")),
    "ceil": _row(rounded("ceil")),
    "trunc": _row(rounded("trunc")),
}
FUNCTIONS.update(ADDED)
