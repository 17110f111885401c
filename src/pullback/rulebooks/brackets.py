"""Brackets are 0 or 1: one that stands twice in a product stands once."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from pullback.affine import difference
from pullback.expression import (
    Bracket,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Sum,
    children,
    free,
    fresh,
    mul,
    rebuild,
    substitute,
    tensors,
    total,
)
from pullback.rewriting import Rule

Key = tuple[str, frozenset[tuple[tuple[Expr, ...], Fraction]]]


def once(e: Expr) -> tuple[Expr, str] | None:
    """[p] [p] = [p]"""
    match e:
        case Pow(Bracket() as base, Num(n)) if n > 0:
            return base, "a bracket is 0 or 1"
        case Mul(factors):
            kept: dict[Key | Expr, Expr] = {}
            for k, factor in enumerate(factors):
                kept.setdefault(_key(factor) if isinstance(factor, Bracket) else Num(Fraction(k)), factor)
            if len(kept) < len(factors):
                return mul(*kept.values()), "a bracket is 0 or 1"
    return None


ONCE = Rule("brackets", once)


def _key(e: Bracket) -> Key | Expr:
    """The same for [a < b] and [b > a], and for [i < 2 N] and [i - N < N]."""
    if tensors(e):
        return e
    relation, left, right = e.relation, e.left, e.right
    if relation in (">", ">="):
        relation, left, right = relation.replace(">", "<"), right, left
    terms = difference(left, right)
    if relation in ("==", "!=") and terms:
        first = min(terms, key=lambda monomial: str(monomial))
        sign = 1 if terms[first] > 0 else -1
        terms = {monomial: sign * c for monomial, c in terms.items()}
    return relation, frozenset(terms.items())


def unshadowed(e: Expr, indices: Iterable[Index] = ()) -> Expr:
    """The same with no sum that binds a name which has a meaning around it.

    `indices` are those of the left side; free indices, and those of sums around a sum, count too.
    """
    return _unshadowed(e, frozenset(index.name for index in (*indices, *free(e))))


def _unshadowed(e: Expr, scope: frozenset[str]) -> Expr:
    match e:
        case Sum(indices, body):
            taken = set(scope) | {index.name for index in free(body)}
            renaming: dict[Index, Expr] = {}
            bound = []
            for index in indices:
                new = fresh(index, taken) if index.name in scope else index
                bound.append(new)
                if new is not index:
                    renaming[index] = new
            inner = substitute(body, renaming)
            return total(bound, _unshadowed(inner, scope | {index.name for index in bound}))
    below = children(e)
    return rebuild(e, tuple(_unshadowed(child, scope) for child in below)) if below else e
