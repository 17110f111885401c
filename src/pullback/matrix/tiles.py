"""An axis in pieces that follow each other: what stands in each, for `concatenate`."""

from __future__ import annotations

from dataclasses import dataclass

from pullback.affine import certain, difference, expression, polynomial, same
from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Access,
    Add,
    Bracket,
    Expr,
    Index,
    Mul,
    accesses,
    add,
    free,
    mul,
    replace,
    substitute,
)

_TURNED = {">": "<", ">=": "<="}
MOST_TILES = 8


@dataclass(frozen=True)
class Tile:
    """`body` over an index of its own, which counts from the beginning of the piece."""

    index: Index
    body: Expr


def tiles(body: Expr, j: Index) -> list[Tile] | None:
    """The pieces along j, in order, gaps among them; None where brackets do not part it into pieces."""
    terms = body.terms if isinstance(body, Add) else (body,)
    spans: list[tuple[Expr, Expr, list[Expr]]] = []
    for term in terms:
        found = _span(term, j)
        if found is None:
            return None
        low, high, rest = found
        for known_low, known_high, parts in spans:
            if same(low, known_low) and same(high, known_high):
                parts.append(rest)
                break
        else:
            spans.append((low, high, [rest]))
    if not 1 <= len(spans) <= MOST_TILES:
        return None
    made: list[Tile] = []
    at: Expr = ZERO
    while spans:
        here = next((span for span in spans if same(span[0], at)), spans[0] if len(spans) == 1 else None)
        if here is None:
            return None
        spans.remove(here)
        low, high, parts = here
        tile = _tile(j, low, high, add(*parts))
        if not (certain(low, at) and (certain(high, low) or _is_an_axis(tile))):
            return None
        made += [*_gap(j, at, low), tile]
        at = high
    if not certain(j.extent, at):
        return None
    made += _gap(j, at, j.extent)
    return made if len(made) > 1 else None


def _is_an_axis(tile: Tile) -> bool:
    """Whether a tensor has the piece as an axis of its own, which cannot be shorter than nothing."""
    return any(
        slot is tile.index and same(extent, tile.index.extent)
        for access in accesses(tile.body)
        for slot, extent in zip(access.slots, access.tensor.shape, strict=True)
    )


def _span(term: Expr, j: Index) -> tuple[Expr, Expr, Expr] | None:
    """[low, high), where the brackets of a term leave it, and its other factors."""
    low: Expr | None = None
    high: Expr | None = None
    others: list[Expr] = []
    for factor in term.factors if isinstance(term, Mul) else (term,):
        ends = _ends(factor, j)
        if ends is None:
            others.append(factor)
            continue
        first, last = ends
        if (first is not None and low is not None) or (last is not None and high is not None):
            return None
        low, high = first if first is not None else low, last if last is not None else high
    if low is None and high is None:
        return None
    return low or ZERO, high or j.extent, mul(ONE, *others)


def _ends(factor: Expr, j: Index) -> tuple[Expr | None, Expr | None] | None:
    """The end that a bracket of j sets: (low, None) or (None, high)."""
    if not isinstance(factor, Bracket) or j not in free(factor):
        return None
    relation, left, right = factor.relation, factor.left, factor.right
    if relation in _TURNED:
        relation, left, right = _TURNED[relation], right, left
    if relation not in ("<", "<="):
        return None
    gap = difference(right, left)  # at least 0 for <=, at least 1 for <
    sign = gap.pop((j,), None)
    rest = expression(gap)
    if sign not in (1, -1) or free(rest):
        return None
    if sign == 1:
        return _normal(add(mul(MINUS_ONE, rest), ONE if relation == "<" else ZERO)), None
    return None, _normal(add(rest, ONE if relation == "<=" else ZERO))


def _normal(e: Expr) -> Expr:
    return expression(polynomial(e))


def _gap(j: Index, low: Expr, high: Expr) -> list[Tile]:
    return [] if same(low, high) else [_tile(j, low, high, ZERO)]


def _tile(j: Index, low: Expr, high: Expr, body: Expr) -> Tile:
    own = Index(j.name, _normal(add(high, mul(MINUS_ONE, low))))

    def counted(node: Expr) -> Expr | None:
        match node:
            case Access(tensor, slots):
                return Access(tensor, tuple(_normal(slot) if own in free(slot) else slot for slot in slots))
        return None

    return Tile(own, replace(substitute(body, {j: add(own, low)}), counted))
