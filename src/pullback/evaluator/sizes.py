"""Assignments of numbers to symbolic sizes: distinct and at least 2, and all ones, where legal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

import numpy as np

from pullback.errors import IndexProblem, ShapeProblem
from pullback.evaluator.floats import Float64
from pullback.evaluator.interpret import Interpreter
from pullback.expression import (
    Access,
    Bracket,
    Definition,
    Element,
    Expr,
    Index,
    Num,
    Size,
    Sum,
    Tensor,
    walk,
)

MANY = 3  # more symbols than this do not all get sizes of their own in one assignment
FEW = 2  # symbols or fewer: their sizes can afford to exceed the literals of the program
LARGEST_LITERAL = 6
ATTEMPTS = 3000


def extents_in(
    definitions: Iterable[Definition], tensors: Iterable[Tensor], more: Iterable[Expr]
) -> set[Expr]:
    """Every extent of an index or a tensor."""
    found: set[Expr] = set()
    for tensor in tensors:
        found.update(tensor.shape)
        if tensor.values is not None:
            found.add(tensor.values)
    bodies = list(more)
    for definition in definitions:
        found.update(definition.tensor.shape)
        found.update(index.extent for index in definition.indices)
        bodies.append(definition.body)
    for body in bodies:
        for node in walk(body):
            match node:
                case Index(_, extent):
                    found.add(extent)
                case Access(tensor, _):
                    found.update(tensor.shape)
                case Sum(indices, _):
                    found.update(index.extent for index in indices)
                case Element(_, _, binders, _, _):
                    found.update(index.extent for binder in binders for index in binder)
                case Size():
                    found.add(node)
    return found


def names_in(extents: Iterable[Expr]) -> list[str]:
    return sorted({node.name for extent in extents for node in walk(extent) if isinstance(node, Size)})


def is_legal(extents: Iterable[Expr], sizes: Mapping[str, int], least: int = 1) -> bool:
    """Whether every extent is an integer of at least `least`."""
    interpreter = Interpreter(Float64(), sizes, {})
    try:
        return all(interpreter.size(extent) >= least for extent in extents)
    except (IndexProblem, ShapeProblem):
        return False


def assignments(
    extents: set[Expr], literals: set[int] | None = None, *, crowded: bool = False
) -> Iterator[dict[str, int]]:
    """Legal assignments of sizes of at least 2, the most telling ones first.

    First those at which every extent, such as H-R+1, is at least 2 as well. `literals` are numbers that
    stand in index arithmetic: sizes keep clear of them and, where few, exceed twice the largest.
    `crowded` ones are as small as they can be, and may meet the numbers among the extents.
    """
    names = names_in(extents)
    if not names:
        yield {}
        return
    avoid: set[int] = set()
    if not crowded:
        numbers = (x.value for e in extents for x in walk(e) if isinstance(x, Num))
        avoid = {int(n) for n in numbers if n.denominator == 1}
    compound = {extent for extent in extents if not isinstance(extent, Size | Num)}
    seen: set[tuple[tuple[int, ...], int]] = set()
    for least in (2, 1) if compound else (1,):
        for values in _candidates(len(names), avoid | (literals or set()), max(literals or {0})):
            if (values, least) not in seen:
                seen.add((values, least))
                sizes = dict(zip(names, values, strict=True))
                if is_legal(compound, sizes, least):
                    yield sizes


def _candidates(count: int, avoid: set[int], largest: int) -> Iterator[tuple[int, ...]]:
    first = 2 * largest + 1 if largest and count <= FEW else 2
    pool = [k for k in range(first, first + 10) if k not in avoid][: count + 1]
    if count <= MANY:
        ordered = sorted(permutations(pool, count), key=sum)
        yield from ordered[:1]
        # The second trial is as unlike the first as possible: other sizes in the opposite order, so that
        # what is tall in one is wide in the other.
        near = [v for v in ordered if sum(v) <= sum(ordered[0]) + 2 and _differ(v, ordered[0])]
        yield from sorted(near, key=_inversions, reverse=True)
        yield from ordered
    else:
        yield tuple(2 + k % 3 for k in range(count))
        yield tuple(2 + (k // 3) % 3 for k in range(count))
    rng = np.random.default_rng(count)
    for most in (4, 6, 9):
        for _ in range(ATTEMPTS // 3):
            yield tuple(int(x) for x in rng.integers(2, most + 1, size=count))


def _differ(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x != y for x, y in zip(a, b, strict=True))


def _inversions(values: tuple[int, ...]) -> int:
    return sum(a > b for k, a in enumerate(values) for b in values[k + 1 :])


def literals_in(expressions: Iterable[Expr]) -> set[int]:
    """Integers of at least 2 that stand in the slots of accesses and in brackets."""
    found: set[int] = set()
    for e in expressions:
        for node in walk(e):
            match node:
                case Access(tensor, slots):
                    # A number says nothing about symbols where the axis itself is one.
                    parts = [s for s, n in zip(slots, tensor.shape, strict=True) if not isinstance(n, Num)]
                case Bracket(_, left, right):
                    parts = [left, right] if _has_symbol(node) else []
                case _:
                    continue
            for part in parts:
                if part is not node:
                    numbers = (abs(x.value) for x in walk(part) if isinstance(x, Num))
                    found.update(int(n) for n in numbers if n.denominator == 1 and 2 <= n <= LARGEST_LITERAL)
    return found


def _has_symbol(bracket: Expr) -> bool:
    """Whether the bracket compares an index of a symbolic range, or something else than indices."""
    ranges = [node.extent for node in walk(bracket) if isinstance(node, Index)]
    return not ranges or not all(isinstance(extent, Num) for extent in ranges)


def ones(extents: set[Expr]) -> dict[str, int] | None:
    """Size 1 for every symbol, where that is legal."""
    sizes = dict.fromkeys(names_in(extents), 1)
    return sizes if sizes and is_legal(extents, sizes) else None
