"""Indices, sizes and their arithmetic: exact 64-bit integers, whatever the domain."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pullback.errors import IndexProblem, ShapeProblem
from pullback.evaluator.domain import IntArray
from pullback.evaluator.named import Axes, Plain, aligned, ranged, union
from pullback.expression import Access, Add, Bracket, Call, Expr, Index, Mul, Num, Pow, Size, compare
from pullback.limits import MAX_CHECK_ELEMENTS, demand

LARGEST_POWER = 64
ASTRAY = -(2**40)  # read outside an integer tensor; legal where a bracket of the same product is zero
INTEGRAL = frozenset(("floordiv", "mod", "maximum", "minimum", "abs", "sign"))


class Arithmetic(ABC):
    """The integer values of expressions at given sizes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._plain: dict[Expr, Plain[IntArray]] = {}
        self._integral: dict[Expr, bool] = {}

    @abstractmethod
    def tensor(self, name: str) -> Any:
        """The value of a tensor."""

    def room(self, shape: Sequence[int]) -> None:
        """Refuse an array that would be too large, before it is allocated."""
        demand(math.prod(shape), MAX_CHECK_ELEMENTS, "the entries of one array inside a check")

    def common(self, parts: Sequence[Plain[Any]]) -> Axes:
        """The axes of plain arrays together, with room for an array that has them all."""
        axes = union(part.axes for part in parts)
        extents = {name: n for part in parts for name, n in zip(part.axes, part.shape, strict=True)}
        self.room([extents[name] for name in axes])
        return axes

    def size(self, e: Expr) -> int:
        """The extent of an index or a shape, as a number."""
        return int(self.integer(e).data)

    def is_integral(self, e: Expr) -> bool:
        """Whether `e` is arithmetic of indices, sizes and integer tensors alone."""
        found = self._integral.get(e)
        if found is None:
            found = self._integral[e] = self._is_integral(e)
        return found

    def _is_integral(self, e: Expr) -> bool:
        match e:
            case Num(value):
                return value.denominator == 1
            case Size() | Index():
                return True
            case Access(tensor, _):
                return tensor.is_integer
            case Add(parts) | Mul(parts):
                return all(self.is_integral(part) for part in parts)
            case Bracket(_, left, right):
                return self.is_integral(left) and self.is_integral(right)
            case Call(function, arguments):
                return function in INTEGRAL and all(self.is_integral(x) for x in arguments)
            case Pow(base, Num(n)):
                return n.denominator == 1 and 0 <= n <= LARGEST_POWER and self.is_integral(base)
        return False

    def integer(self, e: Expr) -> Plain[IntArray]:
        """The exact value of index arithmetic."""
        found = self._plain.get(e)
        if found is None:
            found = self._plain[e] = self._integer(e)
        return found

    def _integer(self, e: Expr) -> Plain[IntArray]:
        match e:
            case Num(value) if value.denominator == 1:
                return Plain((), np.array(int(value), dtype=np.int64))
            case Size(name):
                if name not in self.sizes:
                    raise ShapeProblem(f"the size {name} is not known")
                return Plain((), np.array(self.sizes[name], dtype=np.int64))
            case Index(name, extent):
                size = self.size(extent)
                self.room((size,))
                return ranged(name, size)
            case Add(parts):
                return self._merge(parts, lambda a, b: a + b)
            case Mul(parts) if not any(isinstance(part, Pow) for part in parts):
                return self._merge(parts, lambda a, b: a * b)
            case Mul(parts):
                return self._quotient(e, parts)
            case Pow(base, Num(n)) if n.denominator == 1 and 0 <= n <= LARGEST_POWER:
                part = self.integer(base)
                return Plain(part.axes, part.data ** int(n))
            case Call("abs" | "sign" as name, (x,)):
                part = self.integer(x)
                return Plain(part.axes, np.abs(part.data) if name == "abs" else np.sign(part.data))
            case Call(function, (_, _) as arguments) if function in INTEGRAL:
                return self._merge(arguments, _INTEGER_CALLS[function])
            case Bracket(relation, left, right) if self.is_integral(e):
                return self._merge((left, right), lambda a, b: compare(relation, a, b))
            case Access(tensor, slots) if tensor.is_integer:
                return self._read_integers(tensor.name, slots)
        raise IndexProblem(f"an index must be integer arithmetic: {e!r}"[:300])

    def _quotient(self, e: Expr, parts: Sequence[Expr]) -> Plain[IntArray]:
        """A product with a division in it, as in a size (N / 2): legal where it comes out even."""
        top = [part for part in parts if not (isinstance(part, Pow) and isinstance(part.exponent, Num))]
        bottom = [part for part in parts if isinstance(part, Pow) and isinstance(part.exponent, Num)]
        if any(part.exponent.value != -1 for part in bottom if isinstance(part.exponent, Num)):
            raise IndexProblem(f"an index must be integer arithmetic: {e!r}"[:300])
        above = self._merge(top, lambda a, b: a * b) if top else Plain((), np.array(1))
        below = self._merge([part.base for part in bottom], lambda a, b: a * b)
        axes = self.common((above, below))
        a, b = aligned(above, axes), aligned(below, axes)
        if np.any(a % b):
            raise ShapeProblem("a size does not come out as an integer")
        return Plain(axes, np.asarray(a // b))

    def _merge(self, parts: Sequence[Expr], operation: Any) -> Plain[IntArray]:
        values = [self.integer(part) for part in parts]
        axes = self.common(values)
        result = aligned(values[0], axes)
        for value in values[1:]:
            result = operation(result, aligned(value, axes))
        return Plain(axes, np.asarray(result, dtype=np.int64))

    def _read_integers(self, name: str, slots: tuple[Expr, ...]) -> Plain[IntArray]:
        """`t[slots]`; what is read outside is a place outside of any tensor that it is an index of."""
        data = self.tensor(name)
        where = [self.integer(slot) for slot in slots]
        axes = self.common(where)
        inside, at = np.ones((), dtype=bool), []
        for part, extent in zip(where, data.shape, strict=True):
            position = aligned(part, axes)
            inside = inside & (position >= 0) & (position < extent)
            at.append(np.clip(position, 0, extent - 1))
        return Plain(axes, np.where(inside, data[tuple(at)], ASTRAY).astype(np.int64))


_INTEGER_CALLS: Mapping[str, Callable[[Any, Any], Any]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
