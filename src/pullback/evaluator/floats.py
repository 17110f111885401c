"""Float64: the domain of plain NumPy, with numerically stable forms."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pullback.evaluator.domain import Array, BoolArray, Domain, IntArray, stacked
from pullback.evaluator.gamma import polygamma
from pullback.expression import compare

Floats = npt.NDArray[np.float64]
LETTERS: Final = string.ascii_letters
_erf = np.vectorize(math.erf, otypes=[np.float64])


def array(x: Any) -> Floats:
    return np.asarray(x, dtype=np.float64)


class Float64(Domain[Floats]):
    """float64 arrays. Two results differ where they are more than `tolerance` apart, relatively."""

    name = "float64"
    exact = False
    fuses = True

    def __init__(self, tolerance: float = 1e-9, draws: int | None = None) -> None:
        """With `draws`, values may have a leading axis of so many independent draws."""
        self.tolerance: Final = tolerance
        self.lead, self.batch = (0, 1) if draws is None else (1, draws)

    def restructure(self, v: Floats, f: Callable[[Array], Array]) -> Floats:
        return array(f(v))

    def shape(self, v: Floats) -> tuple[int, ...]:
        return v.shape

    def total(self, v: Floats, count: int) -> Floats:
        return array(v.sum(axis=tuple(range(-count, 0)))) if count else v

    def stack(self, entries: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
        return stacked(entries, shape)

    def select(self, mask: BoolArray, a: Floats, b: Floats) -> Floats:
        return np.where(mask, a, b)

    def number(self, x: Fraction) -> Floats:
        return array(float(x))

    def integers(self, a: IntArray) -> Floats:
        return a.astype(np.float64)

    def add(self, a: Floats, b: Floats) -> Floats:
        return array(a + b)

    def mul(self, a: Floats, b: Floats) -> Floats:
        return array(a * b)

    def product_total(self, a: Floats, b: Floats, count: int) -> Floats:
        letters = LETTERS[: max(a.ndim, b.ndim)]
        left, right = letters[len(letters) - a.ndim :], letters[len(letters) - b.ndim :]
        return array(np.einsum(f"{left},{right}->{letters[: len(letters) - count]}", a, b))

    def power(self, a: Floats, r: Fraction) -> Floats:
        if r == Fraction(1, 2):
            return array(np.sqrt(a))
        return array(np.power(a, float(r)))

    def raised(self, x: Floats, y: Floats) -> Floats:
        return array(np.power(x, y))

    def exp(self, a: Floats) -> Floats:
        return array(np.exp(a))

    def log(self, a: Floats) -> Floats:
        return array(np.log(a))

    def log1p(self, a: Floats) -> Floats:
        return array(np.log1p(a))

    def expm1(self, a: Floats) -> Floats:
        return array(np.expm1(a))

    def logaddexp(self, a: Floats, b: Floats) -> Floats:
        return array(np.logaddexp(a, b))

    def hypot(self, a: Floats, b: Floats) -> Floats:
        return array(np.hypot(a, b))

    def sin(self, a: Floats) -> Floats:
        return array(np.sin(a))

    def cos(self, a: Floats) -> Floats:
        return array(np.cos(a))

    def tanh(self, a: Floats) -> Floats:
        return array(np.tanh(a))

    def softplus(self, a: Floats) -> Floats:
        return array(np.logaddexp(0.0, a))

    def erf(self, a: Floats) -> Floats:
        return array(_erf(a)) if a.size else a

    def arctan(self, a: Floats) -> Floats:
        return array(np.arctan(a))

    def arcsin(self, a: Floats) -> Floats:
        return array(np.arcsin(a))

    def arccos(self, a: Floats) -> Floats:
        return array(np.arccos(a))

    def arctan2(self, a: Floats, b: Floats) -> Floats:
        return array(np.arctan2(a, b))

    def polygamma(self, a: Floats, order: int) -> Floats:
        return polygamma(order, a)

    def pi(self) -> Floats:
        return array(math.pi)

    def sign(self, a: Floats) -> Floats:
        return array(np.sign(a))

    def compare(self, relation: str, a: Floats, b: Floats) -> BoolArray:
        return np.asarray(compare(relation, a, b), dtype=bool)

    def shift(self, a: Floats, count: int) -> Floats:
        return self.extreme(a, count, ">")

    def extreme(self, a: Floats, count: int, relation: str) -> Floats:
        axes = tuple(range(-count, 0))
        return array(a.max(axis=axes) if relation == ">" else a.min(axis=axes)) if count else a

    def prod(self, a: Floats, count: int) -> Floats:
        return array(a.prod(axis=tuple(range(-count, 0)))) if count else a

    def matmul(self, a: Floats, b: Floats) -> Floats:
        return array(a @ b)

    def det(self, a: Floats) -> Floats:
        return array(np.linalg.det(a))

    def inv(self, a: Floats) -> Floats:
        try:
            return array(np.linalg.inv(a))
        except np.linalg.LinAlgError:
            # One of many draws may be singular: it alone has no inverse.
            flat = a.reshape(-1, *a.shape[-2:])
            single = [_inverse(x) for x in flat] if len(flat) > 1 else [np.full_like(flat[0], np.nan)]
            return array(single).reshape(a.shape)

    def logdet(self, a: Floats) -> Floats:
        return array(np.linalg.slogdet(a)[1])

    def difference(self, a: Floats, b: Floats) -> tuple[BoolArray, BoolArray]:
        a, b = np.broadcast_arrays(a, b)
        known = np.isfinite(a) & np.isfinite(b)
        # Relative to the largest entry, of each draw by itself.
        axes = tuple(range(min(self.lead, a.ndim), a.ndim))
        largest = np.max(np.abs(np.where(known, a, 0.0)), axis=axes, keepdims=True, initial=1.0)
        with np.errstate(all="ignore"):
            return known & ~(np.abs(a - b) <= self.tolerance * largest), known


def _inverse(a: Floats) -> Floats:
    try:
        return array(np.linalg.inv(a))
    except np.linalg.LinAlgError:
        return np.full_like(a, np.nan)
