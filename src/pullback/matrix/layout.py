"""Axes that are split, merged or stacked: `reshape` and `concatenate` around a form."""

from __future__ import annotations

import ast

from pullback.affine import difference, divide, expression, same
from pullback.expression import (
    ONE,
    ZERO,
    Add,
    Bracket,
    Call,
    Expr,
    Index,
    Mul,
    Num,
    add,
    exchange,
    free,
    fresh,
    mul,
    substitute,
    walk,
)
from pullback.matrix.blocks import Block, blocks
from pullback.matrix.lifting import lift
from pullback.matrix.printing import exact
from pullback.matrix.syntax import constant, function, scalar, sequence

MOST_STACKED = 16


def whole(indices: tuple[Index, ...], body: Expr) -> ast.expr:
    """The body as an array over the indices."""
    merged = _merged(indices, body)
    if merged is not None:
        return merged
    stacked = _stacked(indices, body)
    if stacked is not None:
        return stacked
    beside = _side_by_side(indices, body)
    if beside is not None:
        return beside
    return exact(lift(body), indices)


def _side_by_side(indices: tuple[Index, ...], body: Expr) -> ast.expr | None:
    """Σ of terms that are 0 outside a range of one index: the ranges, put together along its axis."""
    taken = {i.name for node in walk(body) for i in free(node)} | {i.name for i in indices}
    for place, p in enumerate(indices):
        found = blocks(p, body, taken)
        if found is None:
            continue
        parts: list[ast.expr] = []
        end: Expr = ZERO
        for block in [*found, None]:
            start = p.extent if block is None else block.low
            if not same(start, end):
                gap = Index(p.name, expression(difference(start, end)))
                parts.append(function("zeros", shape_of((*indices[:place], gap, *indices[place + 1 :]))))
            if block is not None:
                parts.append(_block_text(indices, place, block))
                end = block.high
        if len(parts) > 1:
            return function("concatenate", sequence(parts), axis=constant(place))
    return None


def _block_text(indices: tuple[Index, ...], place: int, block: Block) -> ast.expr:
    """The block as an array, its two axes merged where the index was made of two."""
    before, after = indices[:place], indices[place + 1 :]
    value = whole((*before, *block.indices, *after), block.body)
    if len(block.indices) == 1:
        return value
    merged = Index("_", expression(difference(block.high, block.low)))
    return function("reshape", value, shape_of((*before, merged, *after)))


def shape_of(indices: tuple[Index, ...]) -> ast.expr:
    return sequence([scalar(index.extent) for index in indices])


def _merged(indices: tuple[Index, ...], body: Expr) -> ast.expr | None:
    """An index that stands as h // c and h % c is two axes laid side by side: form over both, then reshape."""
    found = [
        (node.arguments[0], node.arguments[1])
        for node in walk(body)
        if isinstance(node, Call) and node.function in ("floordiv", "mod")
    ]
    for h, c in found:
        if not isinstance(h, Index) or h not in indices or free(c):
            continue
        size = divide(h.extent, c)
        if size is None:
            continue
        taken = {i.name for node in walk(body) for i in free(node)} | {i.name for i in indices}
        p, a = fresh(Index(h.name, size), taken), fresh(Index(h.name, c), taken)
        joined = add(mul(c, p), a)
        parts: dict[Expr, Expr] = {Call("floordiv", (joined, c)): p, Call("mod", (joined, c)): a}
        inner = exchange(substitute(body, {h: joined}), parts)
        blocks = _blocks(tuple(a if index is h else index for index in indices), inner, p, a)
        if blocks is not None:
            return blocks
        split = tuple(i for index in indices for i in ((p, a) if index is h else (index,)))
        return function("reshape", whole(split, inner), shape_of(indices))
    return None


def _blocks(indices: tuple[Index, ...], body: Expr, p: Index, a: Index) -> ast.expr | None:
    """Σ of terms with [p = 0], [p = 1], …, where p numbers the blocks of an axis: the blocks, side by side."""
    if not isinstance(body, Add) or not isinstance(p.extent, Num) or p.extent.value > MOST_STACKED:
        return None
    slices = _slices(body, p)
    if slices is None:
        return None
    parts = [whole(indices, part) for part in slices]
    return function("concatenate", sequence(parts), axis=constant(indices.index(a)))


def _stacked(indices: tuple[Index, ...], body: Expr) -> ast.expr | None:
    """Σ of terms with [j = 0], [j = 1], …: slices along j, put together."""
    if not isinstance(body, Add):
        return None
    for place, j in enumerate(indices):
        if not isinstance(j.extent, Num) or j.extent.value > MOST_STACKED:
            continue
        slices = _slices(body, j)
        if slices is None:
            continue
        rest = (*indices[:place], *indices[place + 1 :])
        unit = (*indices[:place], Index(j.name, ONE), *indices[place + 1 :])
        parts = [function("reshape", whole(rest, part), shape_of(unit)) for part in slices]
        return function("concatenate", sequence(parts), axis=constant(place))
    return None


def _slices(body: Add, j: Index) -> list[Expr] | None:
    """What stands at each value of j, if every term has a bracket that names one value of it."""
    assert isinstance(j.extent, Num)
    found: dict[int, list[Expr]] = {}
    for term in body.terms:
        factors = term.factors if isinstance(term, Mul) else (term,)
        values = [value for factor in factors if (value := _value(factor, j)) is not None]
        others = [factor for factor in factors if _value(factor, j) is None]
        if len(values) != 1 or any(j in free(factor) for factor in others):
            return None
        found.setdefault(values[0], []).append(mul(ONE, *others))
    count = int(j.extent.value)
    if len(found) < 2 and count > 1:
        return None
    return [add(*found[k]) if k in found else ZERO for k in range(count)]


def _value(factor: Expr, j: Index) -> int | None:
    """The number that a bracket [j = number] names."""
    match factor:
        case Bracket("==", Num(value), other) | Bracket("==", other, Num(value)) if other is j:
            return int(value)
    return None
