"""Sums of terms: an expression as number × powers × sums, the form in which terms cancel and merge.

A term is prenex: its sums stand outside all of its factors, and bound indices have names of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pullback.expression import (
    ONE,
    Access,
    Add,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Sum,
    children,
    free,
    fresh,
    is_symmetric,
    mul,
    power,
    rebuild,
    substitute,
    total,
)
from pullback.rulebooks.algebra import tidy
from pullback.rulebooks.chainrule import settled

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
    done = tidy(settled(e))
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
    """A definition whose right side is one product, perhaps under a sum: what may be read instead of it."""

    definition: Definition
    term: Term

    @property
    def access(self) -> Access:
        return Access(self.definition.tensor, self.definition.indices)

    @property
    def variables(self) -> tuple[Index, ...]:
        return (*self.definition.indices, *self.term.bound)


def patterns(definitions: Iterable[Definition]) -> list[Pattern]:
    """The definitions that are one product, those with the most factors first."""
    found = []
    for definition in definitions:
        try:
            terms = expand(definition.body, lambda _: True)
        except TooManyTerms:
            continue
        pattern = Pattern(definition, terms[0]) if len(terms) == 1 else None
        if pattern is not None and _worth(pattern):
            found.append(pattern)
    return sorted(found, key=lambda pattern: -len(pattern.term.powers))


def solutions(definitions: Iterable[Definition]) -> list[Pattern]:
    """Σ_k inv(A)[i,k] b[k] = solve(A, b)[i], where both are defined: the solution may be read instead."""
    every = list(definitions)
    inverses = [d for d in every if isinstance(d.body, Element) and d.body.operator == "inv"]
    found = []
    for definition in every:
        e = definition.body
        if not (isinstance(e, Element) and e.operator == "solve"):
            continue
        for inverse in inverses:
            known = inverse.body
            assert isinstance(known, Element)
            if not _same_matrix(known, e) or len(known.at) != len(inverse.indices):
                continue
            k = Index("k_", e.binders[0][1].extent)
            place = dict(zip(known.at, (e.at[0], k), strict=True))
            entry = Access(inverse.tensor, tuple(place[index] for index in inverse.indices))
            right = substitute(e.bodies[1], dict(zip(e.binders[1], (k, *e.at[1:]), strict=True)))
            found.append(
                Pattern(definition, Term(Fraction(1), {entry: Fraction(1), right: Fraction(1)}, (k,)))
            )
    return found


def _same_matrix(inverse: Element, solve: Element) -> bool:
    renamed = substitute(inverse.bodies[0], dict(zip(inverse.binders[0], solve.binders[0], strict=True)))
    return renamed is solve.bodies[0]


def _worth(pattern: Pattern) -> bool:
    """Whether reading the tensor saves anything, and whether a match settles all of its indices."""
    powers = pattern.term.powers
    if not powers or (
        all(n == 1 and isinstance(base, Access) for base, n in powers.items()) and len(powers) == 1
    ):
        return False
    return set(pattern.variables) <= set().union(*(free(base) for base in powers))


def unify(pattern: Expr, target: Expr, variables: Sequence[Index], bound: dict[Index, Expr]) -> bool:
    """Whether `target` is `pattern` with the variables replaced; fills in what each stands for."""
    if isinstance(pattern, Index) and pattern in variables:
        if pattern in bound:
            return bound[pattern] is target
        bound[pattern] = target
        return True
    if pattern is target:
        own = [index for index in free(pattern) if index in variables]
        if any(bound.get(index, index) is not index for index in own):
            return False
        bound.update((index, index) for index in own)
        return True
    if type(pattern) is not type(target):
        return False
    below, other = children(pattern), children(target)
    if not below or len(below) != len(other):
        return False
    if isinstance(pattern, Sum) or rebuild(pattern, other) is not target:
        return False
    before = dict(bound)
    if all(unify(a, b, variables, bound) for a, b in zip(below, other, strict=True)):
        return True
    bound.clear()
    bound.update(before)
    if isinstance(pattern, Access) and is_symmetric(pattern.tensor):
        return all(unify(a, b, variables, bound) for a, b in zip(below, other[::-1], strict=True))
    return False


Match = dict[Index, Expr]


def _matches(bases: list[Expr], term: Term, pattern: Pattern, found: Match) -> Iterator[Match]:
    """Every way to lay the pattern's factors on different factors of the term."""
    if not bases:
        yield found
        return
    first, rest = bases[0], bases[1:]
    want = pattern.term.powers[first]
    for start, have in term.powers.items():
        if not _covers(have, want):
            continue
        trial = dict(found)
        if unify(first, start, pattern.variables, trial):
            yield from _matches(rest, term, pattern, trial)


def reuse_in(term: Term, pattern: Pattern) -> Term | None:
    """The term with the pattern's factors replaced by its tensor, None where they do not all stand there."""
    bases = sorted(pattern.term.powers, key=lambda base: -len(free(base) & set(pattern.variables)))
    if len(bases) == 1 and not pattern.term.bound:
        return _reuse_power(term, pattern, bases[0])
    for found in _matches(bases, term, pattern, {}):
        new = _replaced(term, pattern, found)
        if new is not None:
            return new
    return None


def _replaced(term: Term, pattern: Pattern, found: Match) -> Term | None:
    image: Powers = {}
    for base, n in pattern.term.powers.items():
        at = substitute(base, found)
        at = at if at in term.powers else _mirrored(at)
        image[at] = image.get(at, Fraction(0)) + n
    if not all(_covers(term.powers.get(base), n) for base, n in image.items()):
        return None
    powers = dict(term.powers)
    for base, n in image.items():
        powers[base] -= n
    kept = {base: n for base, n in powers.items() if n}
    summed = [found[index] for index in pattern.term.bound]
    left = {index for base in kept for index in free(base)}
    if len(set(summed)) != len(summed) or any(i not in term.bound or i in left for i in summed):
        return None
    access = substitute(pattern.access, found)
    if any(i in free(access) for i in summed if isinstance(i, Index)):
        return None
    kept[access] = kept.get(access, Fraction(0)) + 1
    bound = tuple(index for index in term.bound if index not in summed)
    return Term(term.coefficient / pattern.term.coefficient, kept, bound)


def _mirrored(e: Expr) -> Expr:
    """The mirrored entry of a symmetric matrix."""
    if isinstance(e, Access) and is_symmetric(e.tensor):
        return Access(e.tensor, e.slots[::-1])
    return e


def _covers(have: Fraction | None, want: Fraction) -> bool:
    return have is not None and have * want > 0 and abs(have) >= abs(want)


def _reuse_power(term: Term, pattern: Pattern, base: Expr) -> Term | None:
    """base^(k·n) as (base^n)^k, for a whole number k."""
    n = pattern.term.powers[base]
    indices = pattern.definition.indices
    for start, exponent in term.powers.items():
        found: Match = {}
        if not unify(base, start, indices, found):
            continue
        k = exponent / n
        if len(found) != len(indices) or k.denominator != 1 or abs(k) > 4:
            continue
        powers = {b: e for b, e in term.powers.items() if b is not start}
        access = substitute(pattern.access, found)
        powers[access] = powers.get(access, Fraction(0)) + k
        kept = {b: e for b, e in powers.items() if e}
        number = term.coefficient / pattern.term.coefficient**k.numerator
        return replace(term, coefficient=number, powers=kept)
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
