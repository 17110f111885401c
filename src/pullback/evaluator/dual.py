"""Dual numbers over any domain: a value and its derivative along some directions.

These are the evaluator's own derivatives, for primitives only. The tangent has one more leading axis,
that of the directions; None stands for zero. Kinks follow PyTorch: 0 for |x| and relu at 0 (their
definitions by sign and select give that), equal shares among ties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np

from pullback.evaluator.domain import HALF, Array, BoolArray, Domain, IntArray

V = TypeVar("V")
SMALL_MATRIX = 4


@dataclass(frozen=True, slots=True)
class DualValue(Generic[V]):
    value: V
    tangent: V | None = None


class Dual(Domain[DualValue[V]], Generic[V]):
    """Dual numbers with `directions` tangents at once."""

    def __init__(self, base: Domain[V], directions: int) -> None:
        self.base = base
        self.name = f"dual numbers over {base.name}"
        self.exact = base.exact
        self.lead = base.lead + 1
        self.batch = base.batch * directions
        self.directions = directions

    def lift(self, v: V) -> DualValue[V]:
        """A constant."""
        return DualValue(v)

    def seeded(self, v: V, rank: int) -> DualValue[V]:
        """`v` with one direction for each of its entries, in row-major order."""
        shape = self.base.trailing(v, rank)
        unit = np.eye(self.directions, dtype=np.int64)
        return DualValue(v, self.base.integers(unit.reshape(self.directions, *(1,) * self.base.lead, *shape)))

    # ---- structure

    def restructure(self, v: DualValue[V], f: Callable[[Array], Array]) -> DualValue[V]:
        tangent = None if v.tangent is None else self.base.restructure(v.tangent, f)
        return DualValue(self.base.restructure(v.value, f), tangent)

    def shape(self, v: DualValue[V]) -> tuple[int, ...]:
        return self.base.shape(v.value)

    def total(self, v: DualValue[V], count: int) -> DualValue[V]:
        tangent = None if v.tangent is None else self.base.total(v.tangent, count)
        return DualValue(self.base.total(v.value, count), tangent)

    def slices(self, a: DualValue[V], count: int) -> list[DualValue[V]]:
        values = self.base.slices(a.value, count)
        if a.tangent is None:
            return [DualValue(v) for v in values]
        return [DualValue(v, t) for v, t in zip(values, self.base.slices(a.tangent, count), strict=True)]

    def stack(self, entries: Sequence[DualValue[V]], shape: tuple[int, ...]) -> DualValue[V]:
        value = self.base.stack([x.value for x in entries], shape)
        if all(x.tangent is None for x in entries):
            return DualValue(value)
        zero = self.base.number(Fraction(0))
        tangents = [zero if x.tangent is None else x.tangent for x in entries]
        return DualValue(value, self.base.stack(tangents, shape))

    def select(self, mask: BoolArray, a: DualValue[V], b: DualValue[V]) -> DualValue[V]:
        value = self.base.select(mask, a.value, b.value)
        if a.tangent is None and b.tangent is None:
            return DualValue(value)
        zero = self.base.number(Fraction(0))
        left = zero if a.tangent is None else a.tangent
        right = zero if b.tangent is None else b.tangent
        return DualValue(value, self.base.spread(self.base.select(mask, left, right), value))

    # ---- the chain rule

    def _chain(self, y: V, *parts: tuple[V | None, Callable[[], V]]) -> DualValue[V]:
        """y with the tangent Σ tangent * derivative, for those tangents that are not zero."""
        total: V | None = None
        for tangent, derivative in parts:
            if tangent is not None:
                term = self.base.mul(derivative(), tangent)
                total = term if total is None else self.base.add(total, term)
        return DualValue(y, total)

    def number(self, x: Fraction) -> DualValue[V]:
        return DualValue(self.base.number(x))

    def integers(self, a: IntArray) -> DualValue[V]:
        return DualValue(self.base.integers(a))

    def add(self, a: DualValue[V], b: DualValue[V]) -> DualValue[V]:
        value = self.base.add(a.value, b.value)
        if a.tangent is None or b.tangent is None:
            tangent = b.tangent if a.tangent is None else a.tangent
            return DualValue(value, None if tangent is None else self.base.spread(tangent, value))
        return DualValue(value, self.base.add(a.tangent, b.tangent))

    def mul(self, a: DualValue[V], b: DualValue[V]) -> DualValue[V]:
        y = self.base.mul(a.value, b.value)
        return self._chain(y, (a.tangent, lambda: b.value), (b.tangent, lambda: a.value))

    def product_total(self, a: DualValue[V], b: DualValue[V], count: int) -> DualValue[V]:
        value = self.base.product_total(a.value, b.value, count)
        parts = []
        if a.tangent is not None:
            parts.append(self.base.product_total(a.tangent, b.value, count))
        if b.tangent is not None:
            parts.append(self.base.product_total(a.value, b.tangent, count))
        if not parts:
            return DualValue(value)
        return DualValue(value, parts[0] if len(parts) == 1 else self.base.add(*parts))

    def power(self, a: DualValue[V], r: Fraction) -> DualValue[V]:
        base = self.base
        y = base.power(a.value, r)
        return self._chain(y, (a.tangent, lambda: base.mul(base.number(r), base.power(a.value, r - 1))))

    def raised(self, x: DualValue[V], y: DualValue[V]) -> DualValue[V]:
        base = self.base
        z = base.raised(x.value, y.value)

        def by_base() -> V:
            return base.mul(y.value, base.raised(x.value, base.sub(y.value, base.number(Fraction(1)))))

        return self._chain(
            z,
            (x.tangent, by_base),
            (y.tangent, lambda: base.mul(z, base.log(x.value))),
        )

    def exp(self, a: DualValue[V]) -> DualValue[V]:
        y = self.base.exp(a.value)
        return self._chain(y, (a.tangent, lambda: y))

    def log(self, a: DualValue[V]) -> DualValue[V]:
        return self._chain(self.base.log(a.value), (a.tangent, lambda: self.base.reciprocal(a.value)))

    def sin(self, a: DualValue[V]) -> DualValue[V]:
        return self._chain(self.base.sin(a.value), (a.tangent, lambda: self.base.cos(a.value)))

    def cos(self, a: DualValue[V]) -> DualValue[V]:
        y = self.base.cos(a.value)
        return self._chain(y, (a.tangent, lambda: self.base.neg(self.base.sin(a.value))))

    def erf(self, a: DualValue[V]) -> DualValue[V]:
        """d erf(x) = 2 / sqrt(pi) exp(-x²) dx."""
        base = self.base

        def derivative() -> V:
            scale = base.mul(base.number(Fraction(2)), base.power(base.pi(), -HALF))
            return base.mul(scale, base.exp(base.neg(base.mul(a.value, a.value))))

        return self._chain(base.erf(a.value), (a.tangent, derivative))

    def arctan(self, a: DualValue[V]) -> DualValue[V]:
        base = self.base

        def derivative() -> V:
            return base.reciprocal(base.add(base.number(Fraction(1)), base.mul(a.value, a.value)))

        return self._chain(base.arctan(a.value), (a.tangent, derivative))

    def polygamma(self, a: DualValue[V], order: int) -> DualValue[V]:
        y = self.base.polygamma(a.value, order)
        return self._chain(y, (a.tangent, lambda: self.base.polygamma(a.value, order + 1)))

    def pi(self) -> DualValue[V]:
        return DualValue(self.base.pi())

    def sign(self, a: DualValue[V]) -> DualValue[V]:
        return DualValue(self.base.sign(a.value))

    def compare(self, relation: str, a: DualValue[V], b: DualValue[V]) -> BoolArray:
        return self.base.compare(relation, a.value, b.value)

    # ---- operators with a derivative of their own

    def shift(self, a: DualValue[V], count: int) -> DualValue[V] | None:
        shift = self.base.shift(a.value, count)
        return None if shift is None else DualValue(shift)

    def extreme(self, a: DualValue[V], count: int, relation: str) -> DualValue[V]:
        """The tangent is the mean over the ties."""
        base = self.base
        y = base.extreme(a.value, count, relation)
        if a.tangent is None:
            return DualValue(y)
        ties = base.compare("==", a.value, base.widen(y, count))
        number = base.total(base.indicator(ties), count)
        chosen = base.total(base.select(ties, a.tangent, base.number(Fraction(0))), count)
        return DualValue(y, base.mul(chosen, base.reciprocal(number)))

    def matmul(self, a: DualValue[V], b: DualValue[V]) -> DualValue[V]:
        y = self.base.matmul(a.value, b.value)
        parts = []
        if a.tangent is not None:
            parts.append(self.base.matmul(a.tangent, b.value))
        if b.tangent is not None:
            parts.append(self.base.matmul(a.value, b.tangent))
        if not parts:
            return DualValue(y)
        return DualValue(y, parts[0] if len(parts) == 1 else self.base.add(*parts))

    def det(self, a: DualValue[V]) -> DualValue[V]:
        """By expansion, which needs no inverse; large ones by d det(A) = det(A) tr(inv(A) dA)."""
        if self.trailing(a, 2)[0] <= SMALL_MATRIX or a.tangent is None:
            return super().det(a) if a.tangent is not None else DualValue(self.base.det(a.value))
        y = self.base.det(a.value)
        product = self.base.matmul(self.base.inv(a.value), a.tangent)
        return DualValue(y, self.base.mul(y, self.base.total(self.base.restructure(product, _diagonal), 1)))

    def inv(self, a: DualValue[V]) -> DualValue[V]:
        """d inv(A) = -Y dA Y."""
        base = self.base
        y = base.inv(a.value)
        if a.tangent is None:
            return DualValue(y)
        return DualValue(y, base.neg(base.matmul(base.matmul(y, a.tangent), y)))

    def logdet(self, a: DualValue[V]) -> DualValue[V]:
        """d log |det A| = tr(inv(A) dA)."""
        base = self.base
        y = base.logdet(a.value)
        if a.tangent is None:
            return DualValue(y)
        product = base.matmul(base.inv(a.value), a.tangent)
        return DualValue(y, base.total(base.restructure(product, _diagonal), 1))

    def difference(self, a: DualValue[V], b: DualValue[V]) -> tuple[BoolArray, BoolArray]:
        return self.base.difference(self.tangent(a), self.tangent(b))

    def tangent(self, a: DualValue[V]) -> V:
        """The tangent, zeros made explicit."""
        if a.tangent is not None:
            return a.tangent
        shape = self.base.shape(a.value)
        zero = np.zeros((), dtype=np.int64)
        lead = (self.directions,) + (1,) * max(0, self.base.lead - len(shape))
        return self.base.integers(np.broadcast_to(zero, lead + shape))


def _diagonal(x: Array) -> Array:
    return np.diagonal(x, axis1=-2, axis2=-1)
