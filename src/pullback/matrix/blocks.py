"""Blocks side by side along an axis: terms that are 0 outside a range of one index of the left side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.affine import expression, not_negative, polynomial, same
from pullback.expression import (
    MINUS_ONE,
    ZERO,
    Access,
    Bracket,
    Definition,
    Element,
    Expr,
    Index,
    accesses,
    add,
    flattened,
    free,
    fresh,
    mul,
    neg,
    replace,
    substitute,
    tensors,
    terms_of,
    total,
    walk,
)

MOST = 8  # blocks along one axis


@dataclass(frozen=True, slots=True)
class Block:
    """What stands where low <= p < high: a body over `indices`, one for p, or two that p is made of."""

    low: Expr
    high: Expr
    indices: tuple[Index, ...]
    body: Expr


def blocks(p: Index, body: Expr, taken: set[str]) -> list[Block] | None:
    """The body as blocks along p from the first to the last, with 0 between them; None where it is none."""
    terms = terms_of(body)
    if not any(isinstance(node, Bracket) for node in walk(body)):
        return None
    found: list[Block] = []
    for term in terms:
        block = _block(term, p, taken)
        if block is None:
            return None
        found.append(block)
    ordered = _ordered(_joined(found))
    return ordered if ordered is not None and _are_inside(ordered, p.extent) else None


def _are_inside(ordered: Sequence[Block], extent: Expr) -> bool:
    """Whether blocks in their order certainly begin at 0 or later, have no negative length, and end in time."""
    grow = all(_before(block.low, block.high) or _is_an_axis(block) for block in ordered)
    return (
        len(ordered) <= MOST and grow and _before(ZERO, ordered[0].low) and _before(ordered[-1].high, extent)
    )


def _is_an_axis(block: Block) -> bool:
    """Whether a tensor has the block as an axis of its own, which cannot be shorter than nothing."""
    return any(
        slot is block.indices[0] and same(extent, slot.extent)
        for access in accesses(block.body)
        for slot, extent in zip(access.slots, access.tensor.shape, strict=True)
    )


def in_one_piece(made: Definition) -> bool:
    """Whether it is an operator's entry, or blocks side by side, each of which would be treated as the whole is."""
    return isinstance(made.body, Element) or any(
        len(blocks(index, made.body, set()) or ()) > 1 for index in made.indices
    )


def _joined(found: Sequence[Block]) -> list[Block]:
    """Those over the same range as one."""
    made: list[Block] = []
    for block in found:
        k = next((k for k, other in enumerate(made) if same(block.low, other.low)), None)
        if k is None or not same(block.high, made[k].high) or len(block.indices) != len(made[k].indices):
            made.append(block)
            continue
        first = made[k]
        renaming: dict[Index, Expr] = dict(zip(block.indices, first.indices, strict=True))
        made[k] = Block(
            first.low, first.high, first.indices, add(first.body, substitute(block.body, renaming))
        )
    return made


def _ordered(found: list[Block]) -> list[Block] | None:
    made: list[Block] = []
    while found:
        first = next((b for b in found if all(b is c or _before(b.high, c.low) for c in found)), None)
        if first is None:
            return None
        found.remove(first)
        made.append(first)
    return made


def _before(a: Expr, b: Expr) -> bool:
    return not_negative(add(b, neg(a)))


def _block(term: Expr, p: Index, taken: set[str]) -> Block | None:
    bound, factors = flattened(term)
    if len({index.name for index in bound}) < len(bound):
        return None
    own = [f for f in factors if isinstance(f, Bracket) and p in free(f)]
    rest = [f for f in factors if f not in own]
    bounds = [q for bracket in own if (q := _bound(bracket)) is not None]
    if not own or len(bounds) < len(own):
        return None
    heads = {index for q in bounds for index in free(q)} - {p}
    if not heads:
        return _plain(p, bounds, bound, rest, taken)
    return _split(p, bounds, bound, rest, taken) if len(heads) == 1 and heads <= set(bound) else None


def _bound(bracket: Bracket) -> Expr | None:
    """What the bracket says is not negative."""
    if tensors(bracket) or bracket.relation not in ("<", "<=", ">", ">="):
        return None
    gap = add(bracket.right, neg(bracket.left))
    gap = neg(gap) if bracket.relation[0] == ">" else gap
    return gap if bracket.relation.endswith("=") else add(gap, MINUS_ONE)


def _plain(
    p: Index, bounds: Sequence[Expr], bound: Sequence[Index], rest: Sequence[Expr], taken: set[str]
) -> Block | None:
    """low <= p < high"""
    low: Expr = ZERO
    high = p.extent
    for q in bounds:
        sign = polynomial(q).get((p,))
        if sign == 1 and low is ZERO:
            low = _simple(add(p, neg(q)))
        elif sign == -1 and high is p.extent:
            high = _simple(add(q, p, neg(MINUS_ONE)))
        else:
            return None
    if free(low) or free(high):
        return None
    u = fresh(Index(p.name, _simple(add(high, neg(low)))), taken)
    return Block(low, high, (u,), _moved(mul(*rest), bound, p, add(u, low)))


def _split(
    p: Index, bounds: Sequence[Expr], bound: Sequence[Index], rest: Sequence[Expr], taken: set[str]
) -> Block | None:
    """0 <= p - c i - low < c for an i that is summed over: p = c i + j + low, for exactly one i and one j."""
    if len(bounds) != 2:
        return None
    for lower, upper in (bounds, bounds[::-1]):
        c = _simple(add(lower, upper, neg(MINUS_ONE)))
        i = next(iter(free(lower) - {p}))
        low = _simple(add(p, neg(mul(c, i)), neg(lower)))
        if free(c) or free(low) or polynomial(lower).get((p,)) != 1:
            continue
        j = fresh(Index("j", c), {*taken, *(index.name for index in bound)})
        others = [index for index in bound if index is not i]
        body = _moved(mul(*rest), others, p, add(mul(c, i), j, low))
        return Block(low, _simple(add(low, mul(c, i.extent))), (i, j), body)
    return None


def _simple(e: Expr) -> Expr:
    return expression(polynomial(e))


def _moved(body: Expr, bound: Sequence[Index], p: Index, value: Expr) -> Expr:
    """The body with a value for p, its slots simplified, summed over what is bound."""

    def change(node: Expr) -> Expr | None:
        return Access(node.tensor, tuple(map(_simple, node.slots))) if isinstance(node, Access) else None

    return total(bound, replace(substitute(body, {p: value}), change))
