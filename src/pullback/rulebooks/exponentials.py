"""Expressions as weight × exp(exponent), and sums of such: what the laws of stability look for.

A pattern may span several definitions (`Z[n] = Σ_c exp(x[n,c])`, `l[n] = log(Z[n])`): the laws look through
names to what defines them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.expression import (
    Access,
    Add,
    Call,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Sum,
    Tensor,
    add,
    free,
    mul,
    neg,
    substitute,
)
from pullback.rulebooks.algebra import key
from pullback.rulebooks.reuse import unifications


@dataclass(frozen=True, slots=True)
class Weighted:
    """weight × exp(exponent)."""

    weight: tuple[Expr, ...]
    exponent: Expr


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Σ over the indices of weight × exp(exponent)."""

    indices: tuple[Index, ...]
    term: Weighted

    def log(self) -> Expr:
        return _operator("logsumexp", (), self)

    def share(self, at: tuple[Expr, ...]) -> Expr:
        """One term divided by the sum."""
        return _operator("softmax", at, self)


def _operator(name: str, at: tuple[Expr, ...], sum_: Normaliser) -> Expr:
    if not sum_.term.weight:
        return Element(name, at, (sum_.indices,), (sum_.term.exponent,), ())
    bodies = (sum_.term.exponent, mul(*sum_.term.weight))
    return Element(f"weighted_{name}", at, (sum_.indices, sum_.indices), bodies, ())


@dataclass(frozen=True, slots=True)
class Difference:
    """scale × (1 - f(argument)) + rest"""

    scale: Expr
    argument: Expr
    rest: tuple[Expr, ...]

    def replaced(self, new: Expr) -> Expr:
        """The whole with `new` in place of 1 - f(argument)."""
        return add(mul(self.scale, new), *self.rest)


class Exponentials:
    """Finds exponentials over some definitions. `deep`: every name is looked through, weights count."""

    def __init__(self, definitions: Sequence[Definition], *, deep: bool) -> None:
        self.known: dict[Tensor, Definition] = {d.tensor: d for d in definitions}
        self.deep = deep

    def opened(self, e: Expr) -> Expr:
        """What defines the tensor that is read; the read itself where nothing does."""
        if not isinstance(e, Access) or e.tensor not in self.known:
            return e
        made = self.known[e.tensor]
        return substitute(made.body, dict(zip(made.indices, e.slots, strict=True)))

    def through(self, e: Access) -> Expr | None:
        """The definition, where the laws may look through this name."""
        made = self.known.get(e.tensor)
        if made is None or not (self.deep or not made.source or _contracts(made.body)):
            return None
        return self.opened(e)

    def weighted(self, e: Expr) -> Weighted | None:
        """The expression as weight × exp(exponent), None where no exponential stands in it."""
        match e:
            case Call("exp", (a,)):
                return Weighted((), a)
            case Access():
                inner = self.opened(e)
                return None if inner is e else self.weighted(inner)
            case Pow(base, Num() as r):
                inner_form = self.weighted(base)
                if inner_form is None or inner_form.weight:
                    return None
                return Weighted((), mul(r, inner_form.exponent))
            case Mul(factors):
                return self.product(factors)
        return None

    def product(self, factors: Sequence[Expr]) -> Weighted | None:
        weight: list[Expr] = []
        exponents: list[Expr] = []
        for factor in factors:
            form = self.weighted(factor)
            if form is None:
                weight.append(factor)
            else:
                weight += form.weight
                exponents.append(form.exponent)
        return Weighted(tuple(weight), add(*exponents)) if exponents else None

    def normaliser(self, e: Expr) -> tuple[tuple[Expr, ...], Normaliser] | None:
        """Outer factors and a sum of exponentials over indices, where the expression is their product."""
        match e:
            case Access():
                inner = self.opened(e)
                return None if inner is e else self.normaliser(inner)
            case Sum(indices, body):
                form = self.weighted(body)
                if form is None or not free(form.exponent).issuperset(indices):
                    return None
                outer = tuple(w for w in form.weight if free(w).isdisjoint(indices))
                inner_weight = tuple(w for w in form.weight if w not in outer)
                if inner_weight and not self.deep:
                    return None
                return outer, Normaliser(indices, Weighted(inner_weight, form.exponent))
            case Mul(factors):
                found = [(k, n) for k, f in enumerate(factors) if (n := self.normaliser(f)) is not None]
                if len(found) != 1:
                    return None
                k, (outer, sum_) = found[0]
                return (*factors[:k], *outer, *factors[k + 1 :]), sum_
        return None

    def scalar(self, e: Expr) -> Expr:
        """What a name stands for, where the laws may look through it; else the expression itself."""
        inner = self.through(e) if isinstance(e, Access) else None
        return e if inner is None else inner

    def alone(self, e: Expr) -> Expr | None:
        """a where the expression is exp(a), without a weight."""
        form = self.weighted(e)
        return form.exponent if form is not None and not form.weight else None

    def difference(self, e: Expr, function: str) -> Difference | None:
        """The expression as c (1 - f(x)) + rest, names looked through; without `deep` there is no rest."""
        if not isinstance(e, Add) or not (self.deep or len(e.terms) == 2):
            return None
        for term in e.terms:
            factors = term.factors if isinstance(term, Mul) else (term,)
            for k, factor in enumerate(factors):
                match self.scalar(factor):
                    case Call(name, (x,)) if name == function:
                        opposite = neg(mul(*factors[:k], *factors[k + 1 :]))
                        others = [t for t in e.terms if t is not term]
                        found = next((t for t in others if key(t) == key(opposite)), None)
                        if found is not None:
                            return Difference(found, x, tuple(t for t in others if t is not found))
        return None


def placed(pattern: Expr, target: Expr, bound: tuple[Index, ...]) -> dict[Index, Expr] | None:
    """What each bound index stands for where the pattern becomes the target."""
    # The target may hold the same indices, so the pattern's get names that nobody else has.
    own = {index: Index(f"{index.name}'", index.extent) for index in bound}
    place = next(unifications(substitute(pattern, own), target, list(own.values()), {}), None)
    if place is None or len(place) != len(bound):
        return None
    return {index: place[own[index]] for index in bound}


def _contracts(e: Expr) -> bool:
    """Whether the definition is a sum of exponentials, which no gradient wants to read."""
    factors = e.factors if isinstance(e, Mul) else (e,)
    return any(isinstance(factor, Sum) for factor in factors)
