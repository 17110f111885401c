"""Sums of terms: an expression as number × powers × sums, the form in which terms cancel and merge.

A term is prenex: its sums stand outside all of its factors, and bound indices have names of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pullback.expression import (
    ONE,
    Access,
    Add,
    Definition,
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
    power,
    rebuild,
    substitute,
    total,
)
from pullback.rewriting import final
from pullback.rulebooks.algebra import tidy
from pullback.rulebooks.chainrule import COLLAPSING

MAX_TERMS = 24

Powers = dict[Expr, Fraction]


@dataclass(frozen=True)
class Term:
    """coefficient × Π base^exponent, summed over the bound indices."""

    coefficient: Fraction
    powers: Powers
    bound: tuple[Index, ...] = ()

    def times(self, other: Term) -> Term:
        mine = self.away_from(other.free_names())
        other = other.away_from(mine.names())
        powers = dict(mine.powers)
        for base, exponent in other.powers.items():
            powers[base] = powers.get(base, Fraction(0)) + exponent
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
            result = [Term(Fraction(1), {})]
            for factor in factors:
                more = expand(factor, opaque)
                result = _few([a.times(b) for a in result for b in more])
            return result
        case Pow(base, Num(n)):
            return [_power_term(base, n)]
        case Sum(indices, body):
            return [_bind(term, indices) for term in expand(body, opaque)]
    return [Term(Fraction(1), {e: Fraction(1)})]


def _power_term(base: Expr, n: Fraction) -> Term:
    if isinstance(base, Pow) and isinstance(base.exponent, Num) and n.denominator == 1:
        return Term(Fraction(1), {base.base: base.exponent.value * n})
    return Term(Fraction(1), {base: n})


def _bind(term: Term, indices: tuple[Index, ...]) -> Term:
    used = [i for i in indices if any(i in free(base) for base in term.powers)]
    idle = [i for i in indices if i not in used]
    result = Term(term.coefficient, term.powers, (*used, *term.bound))
    for index in idle:
        result = result.times(expand_size(index.extent))
    return result


def expand_size(size: Expr) -> Term:
    """A size as a term; a sum of sizes is one factor."""
    (term,) = expand(size, lambda _: True)
    return term


def _few(terms: list[Term]) -> list[Term]:
    if len(terms) > MAX_TERMS:
        raise TooManyTerms
    return terms


def collapsed(term: Term, opaque: Opaque) -> list[Term]:
    """The term with every delta in it collapsed."""
    e = term.expression()
    done = tidy(final(e, COLLAPSING))
    return [term] if done is e else expand(done, opaque)


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
        sums.append(total(indices, mul(ONE, *factors)))
        left = [index for index in left if index not in group]
    return outer, sums


# ---- reuse of what the forward pass has computed ---------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A definition whose right side is one product: where its factors stand, its tensor may stand."""

    definition: Definition
    powers: Powers
    coefficient: Fraction

    @property
    def access(self) -> Access:
        return Access(self.definition.tensor, self.definition.indices)


def patterns(definitions: Iterable[Definition]) -> list[Pattern]:
    """The definitions that are one product without sums, longest first."""
    found = []
    for definition in definitions:
        try:
            terms = expand(definition.body, lambda _: True)
        except TooManyTerms:
            continue
        if len(terms) != 1 or terms[0].bound or not terms[0].powers:
            continue
        (term,) = terms
        plain = len(term.powers) == 1 and next(iter(term.powers.values())) == 1
        base = next(iter(term.powers))
        if plain and isinstance(base, Access):
            continue
        if set(definition.indices) <= set().union(*(free(b) for b in term.powers)):
            found.append(Pattern(definition, term.powers, term.coefficient))
    return sorted(found, key=lambda pattern: -len(pattern.powers))


def unify(pattern: Expr, target: Expr, variables: Sequence[Index], bound: dict[Index, Expr]) -> bool:
    """Whether `target` is `pattern` with the variables replaced; fills in what each stands for."""
    if isinstance(pattern, Index) and pattern in variables:
        if pattern in bound:
            return bound[pattern] is target
        bound[pattern] = target
        return True
    if pattern is target:
        return True
    if type(pattern) is not type(target):
        return False
    below, other = children(pattern), children(target)
    if not below or len(below) != len(other):
        return False
    if isinstance(pattern, Sum) or rebuild(pattern, other) is not target:
        return False
    return all(unify(a, b, variables, bound) for a, b in zip(below, other, strict=True))


def reuse_in(term: Term, pattern: Pattern) -> Term | None:
    """The term with the pattern's factors replaced by its tensor, None where they do not all stand there."""
    variables = pattern.definition.indices
    bases = sorted(pattern.powers, key=lambda base: -len(free(base) & set(variables)))
    if len(bases) == 1:
        return _reuse_power(term, pattern, bases[0])
    for start in term.powers:
        found: dict[Index, Expr] = {}
        if unify(bases[0], start, variables, found) and len(found) == len(variables):
            image = {substitute(b, found): n for b, n in pattern.powers.items()}
            if all(_covers(term.powers.get(base), n) for base, n in image.items()):
                powers = dict(term.powers)
                for base, n in image.items():
                    powers[base] -= n
                access = substitute(pattern.access, found)
                powers[access] = powers.get(access, Fraction(0)) + 1
                kept = {base: n for base, n in powers.items() if n}
                return replace(term, coefficient=term.coefficient / pattern.coefficient, powers=kept)
    return None


def _covers(have: Fraction | None, want: Fraction) -> bool:
    return have is not None and have * want > 0 and abs(have) >= abs(want)


def _reuse_power(term: Term, pattern: Pattern, base: Expr) -> Term | None:
    """base^(k·n) as (base^n)^k, for a whole number k."""
    n = pattern.powers[base]
    for start, exponent in term.powers.items():
        found: dict[Index, Expr] = {}
        if not unify(base, start, pattern.definition.indices, found):
            continue
        k = exponent / n
        if len(found) != len(pattern.definition.indices) or k.denominator != 1 or abs(k) > 4:
            continue
        powers = {b: e for b, e in term.powers.items() if b is not start}
        access = substitute(pattern.access, found)
        powers[access] = powers.get(access, Fraction(0)) + k
        kept = {b: e for b, e in powers.items() if e}
        return replace(term, coefficient=term.coefficient / pattern.coefficient**k.numerator, powers=kept)
    return None


def reused(term: Term, known: Sequence[Pattern]) -> Term:
    """The term after every pattern that applies, longest first, until none does."""
    for _ in range(20):
        for pattern in known:
            new = reuse_in(term, pattern)
            if new is not None:
                term = new
                break
        else:
            return term
    return term
