"""Tensor operators: one row each, with its local derivative element by element.

An operator turns functions of indices into a function of indices. Its row states
∂out[at] / ∂argument[j] in index notation; sums over `at` and `j` are the chain rule's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pullback.expression import (
    MINUS_ONE,
    Element,
    Expr,
    Index,
    Num,
    add,
    bracket,
    free,
    fresh,
    mul,
    neg,
    over,
    substitute,
    total,
)


@dataclass(frozen=True, slots=True)
class Site:
    """One element of an operator: where its local derivative is asked for."""

    element: Element

    @property
    def at(self) -> tuple[Expr, ...]:
        return self.element.at

    def out(self, *at: Expr) -> Expr:
        """Another element of the same output."""
        e = self.element
        return Element(e.operator, at, e.binders, e.bodies, e.attributes)

    def of(self, operator: str, argument: int, *at: Expr) -> Expr:
        """An element of another operator of one of the same arguments."""
        e = self.element
        return Element(operator, at, (e.binders[argument],), (e.bodies[argument],), ())

    def argument(self, which: int, *at: Expr) -> Expr:
        """An element of an argument."""
        e = self.element
        return substitute(e.bodies[which], dict(zip(e.binders[which], at, strict=True)))

    def bound(self, which: int, *avoid: Expr) -> tuple[Index, ...]:
        """Indices of an argument, renamed away from everything that is free in `avoid`."""
        names = {index.name for x in (*avoid, *self.at, self.element) for index in free(x)}
        return tuple(fresh(index, names) for index in self.element.binders[which])


Local = Callable[[Site, int, tuple[Expr, ...]], Expr]


@dataclass(frozen=True, slots=True)
class Operator:
    """`ranks[a]` is the number of indices of argument `a`, None for any; `rank` that of the output."""

    name: str
    law: str
    ranks: tuple[int | None, ...]
    rank: int | None
    local: Local
    derivative: str
    kink: str = ""
    differentiable: bool = True


def _equal(left: tuple[Expr, ...], right: tuple[Expr, ...]) -> Expr:
    return mul(*(bracket("==", a, b) for a, b in zip(left, right, strict=True)))


def _softmax(s: Site, _: int, j: tuple[Expr, ...]) -> Expr:
    return mul(s.out(*s.at), add(_equal(s.at, j), neg(s.out(*j))))


def _log_softmax(s: Site, _: int, j: tuple[Expr, ...]) -> Expr:
    return add(_equal(s.at, j), neg(s.of("softmax", 0, *j)))


def _extreme(s: Site, _: int, j: tuple[Expr, ...]) -> Expr:
    k = s.bound(0, *j)
    ties = total(k, bracket("==", s.argument(0, *k), s.out()))
    return over(bracket("==", s.argument(0, *j), s.out()), ties)


def _prod(s: Site, _: int, j: tuple[Expr, ...]) -> Expr:
    return over(s.out(), s.argument(0, *j))


def _inv(s: Site, _: int, kl: tuple[Expr, ...]) -> Expr:
    (i, j), (k, l) = s.at, kl
    return mul(MINUS_ONE, s.out(i, k), s.out(l, j))


def _solve(s: Site, which: int, j: tuple[Expr, ...]) -> Expr:
    i, *columns = s.at
    if which == 0:
        return mul(MINUS_ONE, s.of("inv", 0, i, j[0]), s.out(j[1], *columns))
    return mul(s.of("inv", 0, i, j[0]), _equal(tuple(columns), j[1:]))


def _cholesky(s: Site, _: int, kl: tuple[Expr, ...]) -> Expr:
    (i, j), (k, l) = s.at, kl
    (a, b) = s.bound(0, *kl)

    def inverse(u: Expr, v: Expr) -> Expr:
        return Element("inv", (u, v), ((a, b),), (s.out(a, b),), ())

    below = mul(bracket(">=", a, j), inverse(a, k), inverse(j, l))
    above = mul(bracket(">", a, j), inverse(a, l), inverse(j, k))
    return total((a,), mul(Num(Fraction(1, 2)), s.out(i, a), add(below, above)))


_ROWS: Final = (
    Operator(
        "softmax",
        "P[i] = exp(X[i]) / Σ_k exp(X[k])",
        (None,),
        None,
        _softmax,
        "P[i] * ((i == j) - P[j])",
    ),
    Operator(
        "log_softmax",
        "Y[i] = X[i] - log(Σ_k exp(X[k]))",
        (None,),
        None,
        _log_softmax,
        "(i == j) - softmax(X)[j]",
    ),
    Operator(
        "logsumexp",
        "y = log(Σ_k exp(X[k]))",
        (None,),
        0,
        lambda s, _, j: s.of("softmax", 0, *j),
        "softmax(X)[j]",
    ),
    Operator(
        "max",
        "the largest X[k]",
        (None,),
        0,
        _extreme,
        "(X[j] == y) / Σ_k (X[k] == y)",
        kink="ties share equally",
    ),
    Operator(
        "min",
        "the smallest X[k]",
        (None,),
        0,
        _extreme,
        "(X[j] == y) / Σ_k (X[k] == y)",
        kink="ties share equally",
    ),
    Operator("prod", "Π_k X[k]", (None,), 0, _prod, "y / X[j]"),
    Operator("inv", "Σ_k Y[i,k] X[k,j] = (i == j)", (2,), 2, _inv, "-Y[i,k] * Y[l,j]"),
    Operator(
        "det",
        "the determinant",
        (2,),
        0,
        lambda s, _, kl: mul(s.out(), s.of("inv", 0, kl[1], kl[0])),
        "y * inv(X)[l,k]",
    ),
    Operator(
        "logdet",
        "log |det X|",
        (2,),
        0,
        lambda s, _, kl: s.of("inv", 0, kl[1], kl[0]),
        "inv(X)[l,k]",
    ),
    Operator(
        "solve",
        "Σ_k A[i,k] X[k,m] = B[i,m]",
        (2, None),
        None,
        _solve,
        "-inv(A)[i,k] * X[l,m] for A[k,l]; inv(A)[i,k] * (m == n) for B[k,n]",
    ),
    Operator(
        "cholesky",
        "Σ_k L[i,k] L[j,k] = (S[i,j] + S[j,i]) / 2, L lower triangular",
        (2,),
        2,
        _cholesky,
        "Σ_a L[i,a] * ((a >= j) * inv(L)[a,k] * inv(L)[j,l] + (a > j) * inv(L)[a,l] * inv(L)[j,k]) / 2",
    ),
)

OPERATORS: Final = {row.name: row for row in _ROWS}
assert len(OPERATORS) == len(_ROWS), "two rows for one operator"
