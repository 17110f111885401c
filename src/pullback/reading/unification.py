"""Sizes that are not known yet, and what makes them equal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pullback.expression import ONE, Expr, Size
from pullback.reading.naming import size_names


@dataclass(eq=False, slots=True)
class Unknown:
    """A size to be found. `wish` is the name it would like; `shown` says that something fixes it."""

    wish: str = ""
    shown: bool = True
    same: Unknown | Expr | None = None


Term = Unknown | Expr
Terms = tuple[Term, ...]


def find(term: Term) -> Term:
    """The representative of a term: an expression, or an unknown that equals nothing else."""
    while isinstance(term, Unknown) and term.same is not None:
        if isinstance(term.same, Unknown) and term.same.same is not None:
            term.same = term.same.same  # halve the path
        term = term.same
    return term


def unify(a: Term, b: Term) -> None:
    """Make two sizes equal where one is unknown. A clash is left to the reading itself, which names it."""
    a, b = find(a), find(b)
    if a is b:
        return
    if isinstance(b, Unknown):
        if isinstance(a, Unknown):
            a.shown = a.shown or b.shown
            a.wish = a.wish or b.wish
        b.same = a
    elif isinstance(a, Unknown):
        a.same = b


def broadcast(a: Terms, b: Terms) -> Terms:
    """NumPy's rule, where an unknown size meets the size across from it."""
    if len(a) < len(b):
        a, b = b, a
    result = list(a)
    offset = len(a) - len(b)
    for k, term in enumerate(b):
        here = find(a[offset + k])
        if here is ONE:
            result[offset + k] = term
        elif find(term) is not ONE:
            unify(here, term)
    return tuple(result)


def named(shapes: Sequence[Terms], taken: Collection[str]) -> None:
    """Give every unknown a symbol: the one it wishes where that is free, else the next of N, D, M, …"""
    used = set(taken)
    unknown = list(dict.fromkeys(t for shape in shapes for t in map(find, shape) if isinstance(t, Unknown)))
    for term in unknown:
        if term.wish and term.wish not in used:
            used.add(term.wish)
            term.same = Size(term.wish)
    for term in unknown:
        if term.same is None:
            name = next(size_names(used))
            used.add(name)
            term.same = Size(name)
