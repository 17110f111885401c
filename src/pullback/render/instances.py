"""Expressions at concrete sizes and indices: brackets folded, sums written out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pullback.errors import DomainProblem
from pullback.expression import (
    ZERO,
    Access,
    Bracket,
    Call,
    Const,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Partial,
    Size,
    Sum,
    add,
    children,
    mul,
    num,
    rebuild,
)
from pullback.limits import demand
from pullback.sizes import evaluate_size

MAX_WRITTEN_NODES: Final = 50_000  # of one instantiated expression


class _Budget:
    def __init__(self) -> None:
        self.left = MAX_WRITTEN_NODES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            demand(
                MAX_WRITTEN_NODES + 1, MAX_WRITTEN_NODES, "nodes of an expression written out entry by entry"
            )


def instantiate(e: Expr, places: Mapping[Index, int], sizes: Mapping[str, int]) -> Expr:
    """`e` with its free indices and the sizes as numbers: sums are written out, brackets decided.

    Indices count from 0. An operator's element (`softmax`) or a value read through an integer tensor
    has no such form and is a `DomainProblem`; a size without a value is a `ShapeProblem`.

    >>> from pullback.expression import Index, Size, Tensor
    >>> from pullback.notation import show
    >>> d = Index("d", Size("D")); x = Tensor("x", (Size("D"),))
    >>> show(instantiate(Sum((d,), Access(x, (d,))), {}, {"D": 2}))
    'x[0] + x[1]'
    """
    return _go(e, places, sizes, _Budget())


def _go(e: Expr, places: Mapping[Index, int], sizes: Mapping[str, int], budget: _Budget) -> Expr:
    budget.spend()
    match e:
        case Num() | Const():
            return e
        case Size(name):
            return num(evaluate_size(e, sizes)) if name else e
        case Index(name, _):
            if e not in places:
                raise DomainProblem(f"the index {name} has no value")
            return num(places[e])
        case Sum(indices, body):
            terms = (_go(body, {**places, **at}, sizes, budget) for at in positions(indices, sizes))
            return add(*terms)
        case Mul(factors):
            return _product(factors, places, sizes, budget)
        case Element(operator):
            raise DomainProblem(f"{operator} is not written out entry by entry")
        case Partial():
            raise DomainProblem("a derivative that has not been worked out cannot be written out")
        case Access(tensor, _) if tensor.is_integer:
            raise DomainProblem(f"entries that depend on the integers {tensor.name} are not written out")
    return _folded(rebuild(e, tuple(_go(child, places, sizes, budget) for child in children(e))))


def _product(
    factors: Sequence[Expr], places: Mapping[Index, int], sizes: Mapping[str, int], budget: _Budget
) -> Expr:
    """Brackets first: where one is zero, the rest may lie outside its tensors and is not looked at."""
    done: dict[int, Expr] = {}
    for k, factor in enumerate(factors):
        if isinstance(factor, Bracket):
            done[k] = _go(factor, places, sizes, budget)
            if done[k] is ZERO:
                return ZERO
    return mul(*(done.get(k) or _go(f, places, sizes, budget) for k, f in enumerate(factors)))


def _folded(e: Expr) -> Expr:
    """Integer division of numbers, which the constructors leave alone."""
    match e:
        case Call("floordiv", (Num(a), Num(b))) if b:
            return num(a // b)
        case Call("mod", (Num(a), Num(b))) if b:
            return num(a % b)
    return e


def positions(indices: Sequence[Index], sizes: Mapping[str, int]) -> Iterator[dict[Index, int]]:
    """Every combination of values of the indices, the last one fastest."""
    extents = [evaluate_size(index.extent, sizes) for index in indices]
    for extent in extents:
        demand(extent, MAX_WRITTEN_NODES, "terms of a sum written out entry by entry")
    for values in itertools.product(*(range(extent) for extent in extents)):
        yield dict(zip(indices, values, strict=True))
