"""The laws that hold because of what is known of a tensor: masks, zero diagonals, triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from pullback.affine import same
from pullback.expression import (
    MIRRORED,
    ZERO,
    Access,
    Bracket,
    Definition,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Tensor,
    bracket,
    mul,
    substitute,
)
from pullback.rewriting import Rule


def mask_power(e: Expr) -> tuple[Expr, str] | None:
    """M^n = M, where the entries of M are 0 or 1 and n > 0"""
    match e:
        case Pow(Access(tensor) as entry, Num(n)) if "binary" in tensor.facts and n > 0:
            return entry, f"the entries of {tensor} are 0 or 1"
    return None


def zero_diagonal(e: Expr) -> tuple[Expr, str] | None:
    """[i = j] D[i,j] = D[i,i] = 0, where the diagonal of D is zero"""
    match e:
        case Access(tensor, (i, j)) if "zero_diagonal" in tensor.facts and same(i, j):
            return ZERO, f"the diagonal of {tensor} is zero"
        case Mul(factors):
            met = [{f.left, f.right} for f in factors if isinstance(f, Bracket) and f.relation == "=="]
            for factor in factors:
                if isinstance(factor, Access) and "zero_diagonal" in factor.tensor.facts:
                    if set(factor.slots) in met:
                        return ZERO, f"the diagonal of {factor.tensor} is zero"
    return None


def lower_triangle(e: Expr) -> tuple[Expr, str] | None:
    """L[i,j] [j > i] = 0 and L[i,j] [j >= i] = L[i,i] [i = j], where L is lower triangular"""
    if not isinstance(e, Mul):
        return None
    for factor in e.factors:
        if isinstance(factor, Access) and "lower_triangular" in factor.tensor.facts:
            row, column = factor.slots
            for other in e.factors:
                relation = _compared(other, column, row)
                if relation == ">":
                    return ZERO, f"{factor.tensor} is lower triangular"
                if relation == ">=":
                    rest = [f for f in e.factors if f not in (factor, other)]
                    diagonal = Access(factor.tensor, (row, row))
                    return mul(
                        diagonal, bracket("==", row, column), *rest
                    ), f"{factor.tensor} is lower triangular"
    return None


def _compared(e: Expr, left: Expr, right: Expr) -> str | None:
    """The relation that a bracket states between two expressions."""
    match e:
        case Bracket(relation, a, b) if a is left and b is right:
            return relation
        case Bracket(relation, a, b) if a is right and b is left:
            return MIRRORED[relation]
    return None


Masks = Mapping[Tensor, Sequence[tuple[tuple[Index, ...], Access]]]


def masks_in(definitions: Sequence[Definition]) -> Masks:
    """The masks that stand as factors in each definition: for E = M * R, M under E with its indices."""
    found: dict[Tensor, list[tuple[tuple[Index, ...], Access]]] = {}
    for definition in definitions:
        body = definition.body
        for factor in body.factors if isinstance(body, Mul) else ():
            if isinstance(factor, Access) and "binary" in factor.tensor.facts:
                found.setdefault(definition.tensor, []).append((definition.indices, factor))
    return found


def without_masks(powers: Mapping[Expr, Fraction], masks: Masks) -> dict[Expr, Fraction]:
    """M E = E, where E = M * R and the entries of M are 0 or 1"""
    kept = dict(powers)
    for base, n in powers.items():
        if n > 0 and isinstance(base, Access):
            for indices, mask in masks.get(base.tensor, ()):
                inside = substitute(mask, dict(zip(indices, base.slots, strict=True)))
                if kept.get(inside, 0) > 0:
                    del kept[inside]
    return kept


FACTS = (
    Rule("mask", mask_power),
    Rule("zero diagonal", zero_diagonal),
    Rule("lower triangle", lower_triangle),
)
