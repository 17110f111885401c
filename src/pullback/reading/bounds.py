"""Reads that leave their tensor: legal only where a bracket of the same product is zero.

A plain index over the size of its axis is inside. Every other slot is tried at several small sizes, over
all values of the indices that take part; a read that leaves the tensor there is refused with that place.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from pullback.errors import IndexProblem
from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Expr,
    Index,
    Mul,
    Num,
    Size,
    children,
    compare,
    sizes_in,
)
from pullback.sizes import evaluate_size, same_size, size_text

MAX_POINTS: Final = 4_000
_DRAWS: Final = ((7, 4, 5, 6, 3), (4, 7, 6, 3, 5), (5, 5, 5, 5, 5), (3, 6, 4, 7, 5))


@dataclass(frozen=True, slots=True)
class Read:
    """One slot of an access that is not plainly inside, and the brackets that guard it."""

    access: Access
    axis: int
    guards: tuple[Bracket, ...]

    @property
    def slot(self) -> Expr:
        return self.access.slots[self.axis]

    @property
    def size(self) -> Expr:
        return self.access.tensor.shape[self.axis]


def check_reads(body: Expr) -> None:
    """Refuse the line if one of its reads leaves its tensor unguarded."""
    seen: set[tuple[Access, int, tuple[Bracket, ...]]] = set()
    for read in _reads(body):
        key = (read.access, read.axis, read.guards)
        if key not in seen:
            seen.add(key)
            _check(read)


def _reads(body: Expr) -> Iterator[Read]:
    stack: list[tuple[Expr, tuple[Bracket, ...]]] = [(body, ())]
    while stack:
        e, guards = stack.pop()
        if isinstance(e, Mul):
            guards += tuple(factor for factor in e.factors if isinstance(factor, Bracket))
        if isinstance(e, Access):
            for axis, slot in enumerate(e.slots):
                if not _inside(slot, e.tensor.shape[axis]):
                    yield Read(e, axis, guards)
        stack.extend((child, guards) for child in children(e))


def _inside(slot: Expr, size: Expr) -> bool:
    match slot:
        case Index(_, extent):
            return same_size(extent, size)
        case Access(tensor, _) if tensor.values is not None:
            return same_size(tensor.values, size)
        case Num(value):
            # Whether a symbolic axis is long enough is a demand on its size, not on the line.
            return value >= 0 and (not isinstance(size, Num) or value < size.value)
    return False


def _check(read: Read) -> None:
    guards = [guard for guard in read.guards if _is_whole(guard.left) and _is_whole(guard.right)]
    parts: Sequence[Expr] = (read.slot, *(side for guard in guards for side in (guard.left, guard.right)))
    variables = list(dict.fromkeys(v for part in parts for v in _variables(part)))
    symbols = sorted(set().union(*(sizes_in(e) for e in (*parts, read.size, *map(_extent, variables)))))
    for draw in _DRAWS:
        sizes = {name: draw[k % len(draw)] + k // len(draw) for k, name in enumerate(symbols)}
        for point in _points(variables, sizes):
            where = _evaluate(read.slot, point, sizes)
            limit = evaluate_size(read.size, sizes)
            if 0 <= where < limit or not all(_holds(guard, point, sizes) for guard in guards):
                continue
            raise _leaves(read, where, limit, sizes)


def _leaves(read: Read, where: int, limit: int, sizes: Mapping[str, int]) -> IndexProblem:
    slot, size = size_text(read.slot), size_text(read.size)
    at = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    return IndexProblem(
        f"index {slot} leaves axis {read.axis} of {read.access.tensor}: entry {where} of {limit}"
        + (f" at {at}" if at else ""),
        hint=f"a bracket in the same term, (0 <= {slot}) * ({slot} < {size}), or another range",
    )


def _is_whole(e: Expr) -> bool:
    """Whether an expression is made of indices, sizes, whole numbers and integer tensors."""
    match e:
        case Access(tensor, _):
            return tensor.is_integer
        case Num(value):
            return value.denominator == 1
        case Size() | Index():
            return True
        case Add() | Mul() | Call("floordiv" | "mod", _):
            return all(_is_whole(child) for child in children(e))
    return False


def _variables(e: Expr) -> list[Expr]:
    if isinstance(e, (Index, Access)):
        return [e]
    return [v for child in children(e) for v in _variables(child)]


def _extent(variable: Expr) -> Expr:
    match variable:
        case Index(_, extent):
            return extent
        case Access(tensor, _) if tensor.values is not None:
            return tensor.values
    raise AssertionError(variable)


def _points(variables: Sequence[Expr], sizes: Mapping[str, int]) -> Iterator[dict[Expr, int]]:
    extents = [range(evaluate_size(_extent(variable), sizes)) for variable in variables]
    count = 1
    for extent in extents:
        count *= len(extent)
    if count <= MAX_POINTS:
        for values in product(*extents):
            yield dict(zip(variables, values, strict=True))
    else:
        draw = random.Random(0)
        for _ in range(MAX_POINTS):
            yield {v: draw.choice(extent) for v, extent in zip(variables, extents, strict=True)}


def _evaluate(e: Expr, point: Mapping[Expr, int], sizes: Mapping[str, int]) -> int:
    match e:
        case Index() | Access():
            return point[e]
        case Add(terms):
            return sum(_evaluate(term, point, sizes) for term in terms)
        case Mul(factors):
            result = 1
            for factor in factors:
                result *= _evaluate(factor, point, sizes)
            return result
        case Call(function, (a, b)):
            top, bottom = _evaluate(a, point, sizes), _evaluate(b, point, sizes)
            return top // bottom if function == "floordiv" else top % bottom
    return evaluate_size(e, sizes)


def _holds(guard: Bracket, point: Mapping[Expr, int], sizes: Mapping[str, int]) -> bool:
    left, right = _evaluate(guard.left, point, sizes), _evaluate(guard.right, point, sizes)
    return bool(compare(guard.relation, left, right))
