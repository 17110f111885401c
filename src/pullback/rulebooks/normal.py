"""Sums of terms: an expression as number × powers × sums, the form in which terms cancel and merge.

A term is prenex: its sums stand outside all of its factors, and bound indices have names of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

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
    Pow,
    Sum,
    add,
    free,
    fresh,
    mul,
    power,
    substitute,
    tensors,
    total,
)
from pullback.rulebooks.algebra import tidy
from pullback.rulebooks.chainrule import settled
from pullback.rulebooks.exponents import joined

MAX_TERMS = 24
MOST_MULTIPLIED = 6  # terms, up to which their brackets are multiplied out as well

Powers = dict[Expr, Fraction]
_ONE = Fraction(1)


@dataclass(frozen=True)
class Term:
    """coefficient × Π base^exponent, summed over the bound indices."""

    coefficient: Fraction
    powers: Powers
    bound: tuple[Index, ...] = ()

    def times(self, other: Term) -> Term:
        if not other.powers and not other.bound:
            return Term(self.coefficient * other.coefficient, self.powers, self.bound)
        mine = self.away_from(other.free_names())
        other = other.away_from(mine.names())
        powers = dict(mine.powers)
        for base, exponent in other.powers.items():
            powers[base] = powers[base] + exponent if base in powers else exponent
        kept = {base: exponent for base, exponent in powers.items() if exponent}
        return Term(self.coefficient * other.coefficient, kept, mine.bound + other.bound)

    def names(self) -> set[str]:
        found = {index.name for index in self.bound}
        for base in self.powers:
            found |= {index.name for index in free(base)}
        return found

    def free_names(self) -> set[str]:
        every = {index for base in self.powers for index in free(base)}
        return {index.name for index in every.difference(self.bound)}

    def away_from(self, taken: set[str]) -> Term:
        """The same term with bound indices of other names than the taken ones."""
        clash = [index for index in self.bound if index.name in taken]
        if not clash:
            return self
        taken = taken | self.names()
        renaming: dict[Index, Expr] = {}
        bound = []
        for index in self.bound:
            new = fresh(index, taken) if index in clash else index
            bound.append(new)
            if new is not index:
                renaming[index] = new
        powers = {substitute(base, renaming): exponent for base, exponent in self.powers.items()}
        return Term(self.coefficient, powers, tuple(bound))

    def factors(self) -> list[Expr]:
        return [power(base, Num(exponent)) for base, exponent in self.powers.items()]

    def expression(self) -> Expr:
        return total(self.bound, mul(Num(self.coefficient), *self.factors()))


class TooManyTerms(Exception):
    """The expansion is longer than anybody would write."""


Opaque = Callable[[Add], bool]


def expand(e: Expr, opaque: Opaque) -> list[Term]:
    """The expression as terms; a sum in brackets for which `opaque` holds stays one factor."""
    match e:
        case Num(value):
            return [Term(value, {})] if value else []
        case Add(terms) if not opaque(e):
            return _few([t for part in terms for t in expand(part, opaque)])
        case Mul(factors):
            result = expand(factors[0], opaque)
            for factor in factors[1:]:
                more = expand(factor, opaque)
                result = _few([a.times(b) for a in result for b in more])
            return result
        case Pow(base, Num(n)):
            return [_power_term(base, n)]
        case Sum(indices, body):
            return [_bind(term, indices) for term in expand(body, opaque)]
    return [Term(_ONE, {e: _ONE})]


def _power_term(base: Expr, n: Fraction) -> Term:
    if isinstance(base, Pow) and isinstance(base.exponent, Num) and n.denominator == 1:
        return Term(_ONE, {base.base: base.exponent.value * n})
    return Term(_ONE, {base: n})


def _bind(term: Term, indices: tuple[Index, ...]) -> Term:
    """Σ_i of a term. An index that a sum inside binds again is not read by the term, so that it is idle here."""
    used = [i for i in indices if i not in term.bound and any(i in free(base) for base in term.powers)]
    idle = [i for i in indices if i not in used]
    result = Term(term.coefficient, term.powers, (*used, *term.bound))
    for index in idle:
        result = result.times(expand_size(index.extent))
    return result


def expand_size(size: Expr) -> Term:
    """A size as a term; a sum of sizes is one factor."""
    (term,) = expand(size, lambda _: True)
    return term


def shortest(term: Term) -> Term:
    """The product with its signs, masks, deltas and powers joined to what stands beside them."""
    term = sifted(unsigned(unmasked(term)))
    powers = joined(term.powers)
    return term if powers is term.powers else Term(term.coefficient, powers, term.bound)


def unsigned(term: Term) -> Term:
    """|u| sign(u) = u, |u|² = u², u sign(u) = |u|, and sign(u)² = 1 beside a factor that vanishes or blows up with u"""
    found = dict.fromkeys(
        base.arguments[0]
        for base in term.powers
        if isinstance(base, Call) and base.function in ("abs", "sign")
    )
    if not found:
        return term
    powers = dict(term.powers)
    for u in found:
        size, sign = Call("abs", (u,)), Call("sign", (u,))
        new = _signs(*(powers.pop(base, Fraction(0)) for base in (u, size, sign)))
        powers |= zip((u, size, sign), new, strict=True)
    return Term(term.coefficient, {base: n for base, n in powers.items() if n}, term.bound)


def unmasked(term: Term) -> Term:
    """relu(u) [u > 0] = relu(u), max(0, u) [u = 0] = 0, and m² = m for m = 1 - [c]"""
    powers = dict(term.powers)
    for base, n in term.powers.items():
        match base:
            case Bracket(relation, u, right) if right is ZERO and _vanishes(relation, u, powers):
                if relation == "==":
                    return Term(Fraction(0), {})
                del powers[base]
            case Add() if n > 1 and n.denominator == 1 and _is_mask(base):
                powers[base] = Fraction(1)
    return term if powers == term.powers else Term(term.coefficient, powers, term.bound)


def _vanishes(relation: str, u: Expr, powers: Powers) -> bool:
    """Whether a factor is 0 where u is, on both sides of which the relation differs."""
    ends = {">": ("relu", "maximum"), "<": ("minimum",), "==": ("relu", "maximum", "minimum")}
    for name in ends.get(relation, ()):
        found = (Call(name, (u,)),) if name == "relu" else (Call(name, (u, ZERO)), Call(name, (ZERO, u)))
        if any(powers.get(factor, 0) > 0 for factor in found):
            return True
    return False


def sifted(term: Term) -> Term:
    """[k = a] f(k) / f(a) = [k = a]"""
    powers = dict(term.powers)
    for base in term.powers:
        if isinstance(base, Bracket) and base.relation == "==":
            for k, a in ((base.left, base.right), (base.right, base.left)):
                if isinstance(k, Index):
                    _cancel_at(powers, base, k, a)
    return term if powers == term.powers else Term(term.coefficient, powers, term.bound)


def _cancel_at(powers: Powers, bracket: Bracket, k: Index, a: Expr) -> None:
    """Factors at `k` against the same factors at `a`, where a bracket says that the two are one."""
    for base in [b for b in powers if b is not bracket and k in free(b)]:
        other = substitute(base, {k: a})
        if other is not base and powers.get(other, 0) == -powers[base]:
            del powers[base], powers[other]


def _is_mask(e: Add) -> bool:
    """1 - [c], which is 0 or 1"""
    match e.terms:
        case (Num(one), Mul((Num(minus), Bracket()))) | (Mul((Num(minus), Bracket())), Num(one)):
            return one == 1 and minus == -1
    return False


def _signs(u: Fraction, size: Fraction, sign: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """The exponents of u, |u| and sign(u) in their shortest form."""
    if sign > 2:
        sign = 2 - sign % 2
    if sign == 2 and (u or size):
        sign = Fraction(0)
    if sign == 1 and size:
        step = 1 if size > 0 else -1
        if abs(size) >= 1:
            u, size, sign = u + step, size - step, Fraction(0)
    elif sign == 1 and u >= 1:
        u, size, sign = u - 1, size + 1, Fraction(0)
    if size.denominator == 1 and size % 2 == 0:
        u, size = u + size, Fraction(0)
    return u, size, sign


def has_quotient(e: Add) -> bool:
    """Whether a term of the sum is divided by something that varies: a common denominator may cancel it."""
    terms = (term.factors if isinstance(term, Mul) else (term,) for term in e.terms)
    return any(
        isinstance(f, Pow) and isinstance(f.exponent, Num) and f.exponent.value < 0 and free(f)
        for factors in terms
        for f in factors
    )


def _few(terms: list[Term]) -> list[Term]:
    if len(terms) > MAX_TERMS:
        raise TooManyTerms
    return terms


def collapsed(term: Term, opaque: Opaque) -> list[Term]:
    """The term with every delta in it collapsed."""
    e = term.expression()
    done = tidy(settled(e))
    if done is e:
        return [term]
    return expand(tidy(settled(done)), opaque)  # what is known of a tensor may leave a delta


# ---- sums inside a term -------------------------------------------------------------------------


def components(term: Term) -> tuple[Powers, list[Expr]]:
    """The factors without a bound index, and the sums: factors that share bound indices belong together."""
    outer = {base: n for base, n in term.powers.items() if free(base).isdisjoint(term.bound)}
    inner = {base: n for base, n in term.powers.items() if base not in outer}
    sums: list[Expr] = []
    left = list(term.bound)
    while left:
        group = {left[0]}
        grown = True
        while grown:
            grown = False
            for base in inner:
                here = free(base) & set(term.bound)
                if here & group and not here <= group:
                    group |= here
                    grown = True
        indices = tuple(index for index in term.bound if index in group)
        factors = [power(b, Num(n)) for b, n in inner.items() if free(b) & group]
        # A sum of nothing but ones counts them.
        sums += [total(indices, mul(ONE, *factors))] if factors else [index.extent for index in indices]
        left = [index for index in left if index not in group]
    return outer, sums


def sum_of(terms: Sequence[Term]) -> Expr:
    return add(*(term.expression() for term in terms))


def multiplied_out(terms: Sequence[Term]) -> Sequence[Term]:
    """Brackets that stand in no denominator, multiplied out once others have cancelled: y (1 - z) - (1 - y) z."""
    sums = [n for term in terms for base, n in term.powers.items() if isinstance(base, Add)]
    if not sums or len(terms) > MOST_MULTIPLIED or any(n < 0 or n.denominator != 1 for n in sums):
        return terms
    try:
        return expand(sum_of(terms), lambda _: False)
    except TooManyTerms:
        return terms


def new_names(before: Sequence[Term], after: Sequence[Term]) -> list[str]:
    """The tensors that the second sum of terms reads and the first does not."""
    old, new = (
        [t.name for x in terms for base in x.powers for t in tensors(base)] for terms in (before, after)
    )
    return [name for name in dict.fromkeys(new) if name not in old]
