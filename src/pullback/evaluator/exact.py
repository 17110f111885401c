"""Object arrays: exact rationals, and real numbers to 50 digits."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, Final

import numpy as np

from pullback.evaluator.domain import Array, BoolArray, Domain, IntArray, Unrepresentable, stacked
from pullback.expression import compare

PLACES: Final = 50
WIDEST_SCALE: Final = 2000  # bits between the last digits of the numbers of one exact sum


def boxed(x: Any) -> Array:
    """An object array, also for a single number."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return x
    result = np.empty((), dtype=object)
    result[()] = x
    return result


class ObjectDomain(Domain[Array]):
    """What arrays of Python numbers share; `nothing` marks an entry without a value."""

    nothing: Any

    @abstractmethod
    def scalar(self, x: Fraction) -> Any: ...

    def each(self, f: Callable[[Any], Any], a: Array) -> Array:
        """`f` of each entry; an entry that has no value keeps none."""
        result = np.empty(a.shape, dtype=object)
        for at, x in np.ndenumerate(a):
            result[at] = x if self.is_missing(x) else f(x)
        return result

    def pairwise(self, f: Callable[[Any, Any], Any], a: Array, b: Array) -> Array:
        """`f` of each pair of entries; no value where either has none."""
        a, b = np.broadcast_arrays(a, b)
        result = np.empty(a.shape, dtype=object)
        for at in np.ndindex(*a.shape):
            missing = self.is_missing(a[at]) or self.is_missing(b[at])
            result[at] = self.nothing if missing else f(a[at], b[at])
        return result

    def is_missing(self, x: Any) -> bool:
        return bool(x != x)

    def restructure(self, v: Array, f: Callable[[Array], Array]) -> Array:
        return boxed(f(v))

    def shape(self, v: Array) -> tuple[int, ...]:
        return v.shape

    def total(self, v: Array, count: int) -> Array:
        if not count:
            return v
        flat = v.reshape((*v.shape[: v.ndim - count], -1))
        if not flat.shape[-1]:
            return np.broadcast_to(self.number(Fraction(0)), flat.shape[:-1])
        return boxed(flat.sum(axis=-1))

    def stack(self, entries: Sequence[Array], shape: tuple[int, ...]) -> Array:
        return stacked(entries, shape)

    def slices(self, a: Array, count: int) -> list[Array]:
        if a.ndim == count:
            return [boxed(x) for x in a.flat]
        flat = a.reshape((*a.shape[: a.ndim - count], -1))
        return [flat[..., k] for k in range(flat.shape[-1])]

    def select(self, mask: BoolArray, a: Array, b: Array) -> Array:
        return boxed(np.where(mask, a, b))

    def number(self, x: Fraction) -> Array:
        return boxed(self.scalar(x))

    def integers(self, a: IntArray) -> Array:
        result = np.empty(a.shape, dtype=object)
        for at, x in np.ndenumerate(a):
            result[at] = self.scalar(Fraction(int(x)))
        return result

    def add(self, a: Array, b: Array) -> Array:
        return boxed(a + b)

    def mul(self, a: Array, b: Array) -> Array:
        return boxed(a * b)

    def compare(self, relation: str, a: Array, b: Array) -> BoolArray:
        return np.asarray(compare(relation, a, b), dtype=bool)

    def sign(self, a: Array) -> Array:
        return self.each(lambda x: self.scalar(Fraction((x > 0) - (x < 0))), a)


class Rational(ObjectDomain):
    """Arrays of `fractions.Fraction`. Where a value is irrational, `Unrepresentable` is raised.

    An entry without a value (1/0) is a float NaN, which arithmetic passes on.
    """

    name = "rationals"
    exact = True
    nothing = math.nan

    def scalar(self, x: Fraction) -> Fraction:
        return x

    def power(self, a: Array, r: Fraction) -> Array:
        return self.each(lambda x: self._power(x, r), a)

    def _power(self, x: Fraction, r: Fraction) -> Any:
        if x == 0:
            return math.nan if r < 0 else Fraction(int(r == 0))
        if r.denominator == 1:
            return x**r.numerator
        if x < 0:
            return math.nan
        return _root(x, r.denominator) ** r.numerator

    def raised(self, x: Array, y: Array) -> Array:
        return self.pairwise(self._power, x, y)

    def exp(self, a: Array) -> Array:
        return self._only(a, "exp", {0: 1})

    def log(self, a: Array) -> Array:
        return self.each(lambda x: math.nan if x <= 0 else self._known("log", x, {1: 0}), a)

    def sin(self, a: Array) -> Array:
        return self._only(a, "sin", {0: 0})

    def cos(self, a: Array) -> Array:
        return self._only(a, "cos", {0: 1})

    def erf(self, a: Array) -> Array:
        return self._only(a, "erf", {0: 0})

    def tanh(self, a: Array) -> Array:
        return self._only(a, "tanh", {0: 0})

    def arctan(self, a: Array) -> Array:
        return self._only(a, "arctan", {0: 0})

    def polygamma(self, a: Array, order: int) -> Array:
        return self._only(a, f"polygamma of order {order}", {1: 0, 2: 0} if order < 0 else {})

    def pi(self) -> Array:
        raise Unrepresentable("pi is not rational")

    def _only(self, a: Array, name: str, known: dict[int, int]) -> Array:
        return self.each(lambda x: self._known(name, x, known), a)

    def _known(self, name: str, x: Fraction, known: dict[int, int]) -> Fraction:
        if x in known:
            return Fraction(known[int(x)])
        raise Unrepresentable(f"{name}({x}) is not rational")

    def difference(self, a: Array, b: Array) -> tuple[BoolArray, BoolArray]:
        a, b = np.broadcast_arrays(a, b)
        known = np.asarray((a == a) & (b == b), dtype=bool)
        return np.asarray(a != b, dtype=bool) & known, known


def _root(x: Fraction, n: int) -> Fraction:
    top, bottom = _integer_root(x.numerator, n), _integer_root(x.denominator, n)
    if top is None or bottom is None:
        raise Unrepresentable(f"the root of order {n} of {x} is not rational")
    return Fraction(top, bottom)


def _integer_root(x: int, n: int) -> int | None:
    """The exact root of order n of x >= 0, or None."""
    low, high = 0, 1 << (x.bit_length() // n + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**n <= x else (low, middle - 1)
    return low if low**n == x else None


class HighPrecision(ObjectDomain):
    """Arrays of `mpmath.mpf` with 50 digits: every function, for what the exact domains cannot hold."""

    name = f"real numbers to {PLACES} digits"
    exact = False

    def __init__(self) -> None:
        self.context: Final = _context()
        self.nothing = self.context.nan
        self.tolerance: Final = self.context.mpf(10) ** -30

    def scalar(self, x: Fraction) -> Any:
        return self.context.mpf(x.numerator) / x.denominator

    def floats(self, a: Array) -> Array:
        """The exact values of float64 numbers."""
        result = np.empty(a.shape, dtype=object)
        for at, x in np.ndenumerate(a):
            result[at] = self.context.mpf(float(x))
        return result

    def product_total(self, a: Array, b: Array, count: int) -> Array:
        """Σ a * b, exactly in integers of one scale and then rounded once."""
        left, right = self._scaled(a), self._scaled(b)
        if left is None or right is None or not count:
            return super().product_total(a, b, count)
        product = left[0] * right[0]
        flat = product.reshape((*product.shape[: product.ndim - count], -1))
        exponent = left[1] + right[1]
        made = self.context.mpf
        return self.each(lambda n: made((n, exponent)), boxed(flat.sum(axis=-1)))

    def _scaled(self, a: Array) -> tuple[Array, int] | None:
        """(n, e) with a = n * 2**e; None where an entry has no value, or sizes differ too much."""
        parts = [x._mpf_ for x in a.flat]
        if any(not man and exp for _, man, exp, _ in parts):  # infinite, or no number: mpmath's own marks
            return None
        exponents = [exp for _, man, exp, _ in parts if man]
        low = min(exponents, default=0)
        if max(exponents, default=0) - low > WIDEST_SCALE:
            return None
        found = np.empty(a.shape, dtype=object)
        found.reshape(-1)[:] = [
            (-int(man) if sign else int(man)) << (exp - low) if man else 0 for sign, man, exp, _ in parts
        ]
        return found, low

    def power(self, a: Array, r: Fraction) -> Array:
        if r.denominator == 1:
            return self.each(lambda x: self.nothing if x == 0 and r < 0 else x**r.numerator, a)
        exponent = self.scalar(r)
        return self.each(lambda x: self._power(x, exponent), a)

    def _power(self, x: Any, y: Any) -> Any:
        if x < 0 and y != int(y):
            return self.nothing
        if x == 0 and y < 0:
            return self.nothing
        return x**y

    def raised(self, x: Array, y: Array) -> Array:
        return self.pairwise(self._power, x, y)

    def exp(self, a: Array) -> Array:
        return self.each(self.context.exp, a)

    def log(self, a: Array) -> Array:
        return self.each(lambda x: self.context.log(x) if x > 0 else self.nothing, a)

    def sin(self, a: Array) -> Array:
        return self.each(self.context.sin, a)

    def cos(self, a: Array) -> Array:
        return self.each(self.context.cos, a)

    def erf(self, a: Array) -> Array:
        return self.each(self.context.erf, a)

    def arctan(self, a: Array) -> Array:
        return self.each(self.context.atan, a)

    def polygamma(self, a: Array, order: int) -> Array:
        def one(x: Any) -> Any:
            if x <= 0 and x == int(x):
                return self.nothing
            return self.context.log(abs(self.context.gamma(x))) if order < 0 else self.context.psi(order, x)

        return self.each(one, a)

    def pi(self) -> Array:
        return boxed(+self.context.pi)

    def difference(self, a: Array, b: Array) -> tuple[BoolArray, BoolArray]:
        a, b = np.broadcast_arrays(a, b)
        differs = np.zeros(a.shape, dtype=bool)
        known = np.zeros(a.shape, dtype=bool)
        largest = max((abs(x) for x in a.flat if not self.is_missing(x)), default=0)
        bound = self.tolerance * max(1, largest)
        for at in np.ndindex(*a.shape):
            known[at] = not (self.is_missing(a[at]) or self.is_missing(b[at]))
            differs[at] = known[at] and abs(a[at] - b[at]) > bound
        return differs, known


@cache
def _context() -> Any:
    """mpmath, imported when it is first needed: most checks are decided without it."""
    import mpmath

    context = mpmath.mp.clone()
    context.dps = PLACES
    return context
