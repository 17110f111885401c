"""Assignments of numbers to symbolic sizes: distinct and at least 2, and all ones, where legal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

import numpy as np

from pullback.errors import IndexProblem, ShapeProblem
from pullback.evaluator.floats import Float64
from pullback.evaluator.interpret import Interpreter
from pullback.expression import Access, Definition, Element, Expr, Index, Num, Size, Sum, Tensor, walk

MANY = 4  # more symbols than this do not all get sizes of their own in one assignment
ATTEMPTS = 3000


def extents_in(definitions: Iterable[Definition], tensors: Iterable[Tensor], more: Iterable[Expr]) -> set[Expr]:
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


def is_legal(extents: Iterable[Expr], sizes: Mapping[str, int]) -> bool:
    """Whether every extent is an integer of at least 1."""
    interpreter = Interpreter(Float64(), sizes, {})
    try:
        return all(interpreter.size(extent) >= 1 for extent in extents)
    except (IndexProblem, ShapeProblem):
        return False


def assignments(extents: set[Expr]) -> Iterator[dict[str, int]]:
    """Legal assignments of sizes of at least 2, the most telling ones first."""
    names = names_in(extents)
    if not names:
        yield {}
        return
    literals = {int(x.value) for e in extents for x in walk(e) if isinstance(x, Num) and x.value.denominator == 1}
    compound = {extent for extent in extents if not isinstance(extent, Size)}
    seen: set[tuple[int, ...]] = set()
    for values in _candidates(len(names), literals):
        if values in seen:
            continue
        seen.add(values)
        sizes = dict(zip(names, values, strict=True))
        if is_legal(compound, sizes):
            yield sizes


def _candidates(count: int, literals: set[int]) -> Iterator[tuple[int, ...]]:
    pool = [k for k in range(2, 12) if k not in literals][: count + 1]
    if count <= MANY:
        ordered = sorted(permutations(pool, count), key=sum)
        # The second trial is as unlike the first as possible: another order of other sizes.
        yield from ordered[:1]
        yield from reversed([values for values in ordered if sum(values) <= sum(ordered[0]) + 2])
        yield from ordered
    else:
        yield tuple(2 + k % 3 for k in range(count))
        yield tuple(2 + (k // 3) % 3 for k in range(count))
    rng = np.random.default_rng(count)
    for largest in (4, 6, 9):
        for _ in range(ATTEMPTS // 3):
            yield tuple(int(x) for x in rng.integers(2, largest + 1, size=count))


def ones(extents: set[Expr]) -> dict[str, int] | None:
    """Size 1 for every symbol, where that is legal."""
    sizes = dict.fromkeys(names_in(extents), 1)
    return sizes if sizes and is_legal(extents, sizes) else None
