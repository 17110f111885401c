"""What a field of values must offer, and the functions that reduce to it.

A value is an array whose *last* axes are named by the interpreter; up to `lead` axes before them hold
trials or directions, and broadcast. A domain states the primitives: + * powers exp log sin cos erf,
sign and order. Everything else is defined here once, for every domain, and for dual numbers too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pullback.errors import DomainProblem
from pullback.limits import demand

V = TypeVar("V")
Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

HALF = Fraction(1, 2)
MAX_MATRIX = 7  # the division-free determinant costs n * 2**n products


class Unrepresentable(DomainProblem):
    """A value that the domain cannot hold exactly, such as exp(1) among the rationals."""


class Domain(ABC, Generic[V]):
    """A field of values. Methods take and return values; masks are plain boolean arrays."""

    name: str
    exact: bool
    lead: int = 0  # how many leading axes a value may have
    batch: int = 1  # how many entries the leading axes hold
    fuses: bool = False  # whether `product_total` needs no room for the whole product

    # ---- structure

    @abstractmethod
    def restructure(self, v: V, f: Callable[[Array], Array]) -> V:
        """`v` with its last axes rearranged by `f`, which leaves the leading axes alone."""

    @abstractmethod
    def shape(self, v: V) -> tuple[int, ...]:
        """The sizes of all axes, leading ones included."""

    def trailing(self, v: V, rank: int) -> tuple[int, ...]:
        """The sizes of the last `rank` axes."""
        shape = self.shape(v)
        return shape[len(shape) - rank :]

    def spread(self, v: V, like: V) -> V:
        """`v` broadcast against the shape of `like`, so that sums over its axes count every entry."""
        mine, other = self.shape(v), self.shape(like)
        shape = np.broadcast_shapes(mine, other)
        if shape == mine:
            return v
        return self.restructure(v, lambda x: np.broadcast_to(x, np.broadcast_shapes(x.shape, other)))

    @abstractmethod
    def total(self, v: V, count: int) -> V:
        """The sum over the last `count` axes."""

    @abstractmethod
    def select(self, mask: BoolArray, a: V, b: V) -> V:
        """`a` where the mask holds, else `b`; what is not selected has no influence, NaN included."""

    # ---- the primitives

    @abstractmethod
    def number(self, x: Fraction) -> V: ...

    @abstractmethod
    def integers(self, a: IntArray) -> V: ...

    @abstractmethod
    def add(self, a: V, b: V) -> V: ...

    @abstractmethod
    def mul(self, a: V, b: V) -> V: ...

    @abstractmethod
    def power(self, a: V, r: Fraction) -> V: ...

    @abstractmethod
    def exp(self, a: V) -> V: ...

    @abstractmethod
    def log(self, a: V) -> V: ...

    @abstractmethod
    def sin(self, a: V) -> V: ...

    @abstractmethod
    def cos(self, a: V) -> V: ...

    @abstractmethod
    def erf(self, a: V) -> V: ...

    @abstractmethod
    def arctan(self, a: V) -> V: ...

    @abstractmethod
    def polygamma(self, a: V, order: int) -> V:
        """Derivatives of log |Γ|: of order 0 digamma, of order -1 log |Γ| itself."""

    @abstractmethod
    def pi(self) -> V: ...

    @abstractmethod
    def sign(self, a: V) -> V: ...

    @abstractmethod
    def compare(self, relation: str, a: V, b: V) -> BoolArray: ...

    # ---- what reduces to them

    def neg(self, a: V) -> V:
        return self.mul(self.number(Fraction(-1)), a)

    def sub(self, a: V, b: V) -> V:
        return self.add(a, self.neg(b))

    def reciprocal(self, a: V) -> V:
        return self.power(a, Fraction(-1))

    def raised(self, x: V, y: V) -> V:
        """x ** y = exp(y log x)."""
        return self.exp(self.mul(y, self.log(x)))

    def indicator(self, mask: BoolArray) -> V:
        return self.integers(mask.astype(np.int64))

    def product_total(self, a: V, b: V, count: int) -> V:
        """Σ over the last `count` axes of a * b."""
        return self.total(self.mul(a, b), count)

    def relu(self, a: V) -> V:
        zero = self.number(Fraction(0))
        return self.select(self.compare(">", a, zero), a, zero)

    def abs(self, a: V) -> V:
        return self.mul(a, self.sign(a))

    def maximum(self, a: V, b: V) -> V:
        return self._better(">", a, b)

    def minimum(self, a: V, b: V) -> V:
        return self._better("<", a, b)

    def _better(self, relation: str, a: V, b: V) -> V:
        """The better of the two; at a tie their mean, so that a derivative is shared."""
        mean = self.mul(self.number(HALF), self.add(a, b))
        rest = self.select(self.compare(relation, b, a), b, mean)
        return self.select(self.compare(relation, a, b), a, rest)

    def log1p(self, a: V) -> V:
        return self.log(self.add(self.number(Fraction(1)), a))

    def expm1(self, a: V) -> V:
        return self.sub(self.exp(a), self.number(Fraction(1)))

    def logaddexp(self, a: V, b: V) -> V:
        return self.log(self.add(self.exp(a), self.exp(b)))

    def hypot(self, a: V, b: V) -> V:
        return self.power(self.add(self.mul(a, a), self.mul(b, b)), Fraction(1, 2))

    def sigmoid(self, a: V) -> V:
        return self.reciprocal(self.add(self.number(Fraction(1)), self.exp(self.neg(a))))

    def tanh(self, a: V) -> V:
        e = self.exp(self.mul(self.number(Fraction(2)), a))
        one = self.number(Fraction(1))
        return self.mul(self.sub(e, one), self.reciprocal(self.add(e, one)))

    def softplus(self, a: V) -> V:
        return self.log(self.add(self.number(Fraction(1)), self.exp(a)))

    def gelu(self, a: V) -> V:
        root = self.power(self.number(Fraction(2)), -HALF)
        inner = self.add(self.number(Fraction(1)), self.erf(self.mul(a, root)))
        return self.mul(self.mul(self.number(HALF), a), inner)

    def arcsin(self, a: V) -> V:
        cosine = self.power(self.sub(self.number(Fraction(1)), self.mul(a, a)), HALF)
        return self.arctan(self.mul(a, self.reciprocal(cosine)))

    def arccos(self, a: V) -> V:
        return self.sub(self.mul(self.number(HALF), self.pi()), self.arcsin(a))

    def arctan2(self, a: V, b: V) -> V:
        """Through half the angle, which needs no cases: its tangent is a / (r + b)."""
        r = self.power(self.add(self.mul(a, a), self.mul(b, b)), HALF)
        half = self.arctan(self.mul(a, self.reciprocal(self.add(r, b))))
        return self.mul(self.number(Fraction(2)), half)

    def lgamma(self, a: V) -> V:
        return self.polygamma(a, -1)

    def digamma(self, a: V) -> V:
        return self.polygamma(a, 0)

    # ---- tensor operators, over the last axes

    def shift(self, a: V, count: int) -> V | None:
        """A constant to subtract before exponentials over the last axes; None where none is needed."""
        return None

    def logsumexp(self, a: V, count: int) -> V:
        shift = self.shift(a, count)
        if shift is None:
            return self.log(self.total(self.exp(a), count))
        moved = self.sub(a, self.widen(shift, count))
        return self.add(shift, self.log(self.total(self.exp(moved), count)))

    def softmax(self, a: V, count: int) -> V:
        shift = self.shift(a, count)
        e = self.exp(a if shift is None else self.sub(a, self.widen(shift, count)))
        return self.mul(e, self.widen(self.reciprocal(self.total(e, count)), count))

    def log_softmax(self, a: V, count: int) -> V:
        return self.sub(a, self.widen(self.logsumexp(a, count), count))

    def weighted_logsumexp(self, a: V, w: V, count: int) -> V:
        return self.log(self.total(self.mul(w, self.exp(a)), count))

    def weighted_softmax(self, a: V, w: V, count: int) -> V:
        e = self.mul(w, self.exp(a))
        return self.mul(e, self.widen(self.reciprocal(self.total(e, count)), count))

    def norm(self, a: V, count: int) -> V:
        return self.power(self.total(self.mul(a, a), count), HALF)

    def widen(self, a: V, count: int) -> V:
        """`a` with `count` further last axes of size 1."""
        return self.restructure(a, lambda x: x[(..., *(None,) * count)])

    def slices(self, a: V, count: int) -> list[V]:
        """The entries along the last `count` axes, in row-major order."""
        shape = self.trailing(a, count)
        return [self.restructure(a, _entry(at)) for at in np.ndindex(*shape)]

    def extreme(self, a: V, count: int, relation: str) -> V:
        """The largest (`>`) or smallest (`<`) over the last axes, by comparing one after another."""
        first, *others = self.slices(a, count)
        for other in others:
            first = self.select(self.compare(relation, other, first), other, first)
        return first

    def prod(self, a: V, count: int) -> V:
        result = self.number(Fraction(1))
        for part in self.slices(a, count):
            result = self.mul(result, part)
        return result

    def matmul(self, a: V, b: V) -> V:
        """The matrix product over the last two axes."""
        left = self.restructure(a, lambda x: x[..., :, None, :])
        right = self.restructure(b, lambda x: np.swapaxes(x, -1, -2)[..., None, :, :])
        return self.product_total(left, right, 1)

    def det(self, a: V) -> V:
        """The determinant by expansion along rows: only + and *, so it is right for singular ones."""
        n = self.trailing(a, 2)[0]
        demand(n, MAX_MATRIX, "the size of a matrix whose determinant is checked exactly")
        return self._minor([self.slices(row, 1) for row in self._rows(a)])

    def _rows(self, a: V) -> list[V]:
        n = self.trailing(a, 2)[0]
        return [self.restructure(a, _row(i)) for i in range(n)]

    def _minor(self, rows: list[list[V]]) -> V:
        """The determinant of a matrix of values, row by row over the sets of used columns."""
        best: dict[int, V] = {0: self.number(Fraction(1))}
        for row in rows:
            new: dict[int, V] = {}
            for used, value in best.items():
                for j, entry in enumerate(row):
                    if used >> j & 1:
                        continue
                    term = self.mul(value, entry)
                    if (used >> (j + 1)).bit_count() % 2:  # an inversion for each larger used column
                        term = self.neg(term)
                    key = used | 1 << j
                    new[key] = self.add(new[key], term) if key in new else term
            best = new
        return best[(1 << len(rows)) - 1]

    def inv(self, a: V) -> V:
        """The inverse as adjugate / determinant."""
        n = self.trailing(a, 2)[0]
        demand(n, MAX_MATRIX - 1, "the size of a matrix that is inverted exactly")
        rows = [self.slices(row, 1) for row in self._rows(a)]
        scale = self.reciprocal(self._minor(rows))
        cofactors = []
        for j in range(n):
            for i in range(n):
                rest = [[x for c, x in enumerate(row) if c != j] for r, row in enumerate(rows) if r != i]
                minor = self._minor(rest)
                cofactors.append(minor if (i + j) % 2 == 0 else self.neg(minor))
        return self.mul(self.stack(cofactors, (n, n)), self.widen(scale, 2))

    @abstractmethod
    def stack(self, entries: Sequence[V], shape: tuple[int, ...]) -> V:
        """Entries in row-major order put together along new last axes of the given shape; at least one."""

    def solve(self, a: V, b: V, vector: bool) -> V:
        """X with a @ X = b; `vector` says that b has one axis."""
        if vector:
            x = self.matmul(self.inv(a), self.widen(b, 1))
            return self.restructure(x, lambda y: y[..., 0])
        return self.matmul(self.inv(a), b)

    def logdet(self, a: V) -> V:
        return self.log(self.abs(self.det(a)))

    def cholesky(self, a: V) -> V:
        """L with L Lᵀ = (a + aᵀ)/2, column by column; the mean makes it a function of every entry."""
        n = self.trailing(a, 2)[0]
        demand(n, 64, "the size of a matrix that is factorised by the evaluator")
        mirrored = self.restructure(a, lambda x: np.swapaxes(x, -1, -2))
        s = [self.slices(row, 1) for row in self._rows(self.mul(self.number(HALF), self.add(a, mirrored)))]
        zero = self.number(Fraction(0))
        low = [[zero] * n for _ in range(n)]
        for j in range(n):
            for i in range(j, n):
                rest = s[i][j]
                for k in range(j):
                    rest = self.sub(rest, self.mul(low[i][k], low[j][k]))
                if i == j:
                    low[j][j] = self.power(rest, HALF)
                    scale = self.reciprocal(low[j][j])
                else:
                    low[i][j] = self.mul(rest, scale)
        return self.stack([x for row in low for x in row], (n, n))

    # ---- comparing results

    @abstractmethod
    def difference(self, a: V, b: V) -> tuple[BoolArray, BoolArray]:
        """(differs, known): where the two differ, and where both have a value at all."""


def stacked(parts: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """Arrays that broadcast, along new last axes of the given shape."""
    lead = np.broadcast_shapes(*{x.shape for x in parts})
    found = np.empty((*lead, len(parts)), dtype=parts[0].dtype)
    for k, x in enumerate(parts):
        found[..., k] = x
    return found.reshape((*lead, *shape))


def _entry(at: tuple[int, ...]) -> Callable[[Array], Array]:
    where: tuple[Any, ...] = (..., *at)
    return lambda x: np.asarray(x[where], dtype=x.dtype)


def _row(i: int) -> Callable[[Array], Array]:
    return lambda x: x[..., i, :]
