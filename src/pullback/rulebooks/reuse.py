"""Reuse of what the forward pass has computed: where a definition's factors stand, its tensor may stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Add,
    Definition,
    Expr,
    Index,
    Mul,
    Sum,
    add,
    children,
    free,
    is_symmetric,
    rebuild,
    substitute,
    tensors,
)
from pullback.expression import replace as everywhere
from pullback.rulebooks.algebra import coefficient
from pullback.rulebooks.normal import Powers, Term, TooManyTerms, expand


@dataclass(frozen=True)
class Pattern:
    """One product, perhaps under a sum, and the value that may stand instead of it, over the same indices."""

    value: Expr
    indices: tuple[Index, ...]
    term: Term
    scale: Mapping[Expr, Fraction] = field(
        default_factory=dict
    )  # scalars that are divided out with the value

    @property
    def variables(self) -> tuple[Index, ...]:
        return (*self.indices, *self.term.bound)


def patterns(definitions: Iterable[Definition]) -> list[Pattern]:
    """The definitions that are one product, those with the most factors first."""
    found = []
    for definition in definitions:
        try:
            terms = expand(definition.body, lambda _: True)
        except TooManyTerms:
            continue
        if len(terms) != 1:
            continue
        read = free(definition.body)
        # An index of an axis that is kept with size 1 has one value, and the product does not show it.
        slots = [ZERO if i.extent is ONE and i not in read else i for i in definition.indices]
        indices = tuple(i for i in slots if isinstance(i, Index))
        access = Access(definition.tensor, tuple(slots))
        scale = {base: n for base, n in terms[0].powers.items() if _is_scale(base)}
        powers = {base: n for base, n in terms[0].powers.items() if base not in scale}
        pattern = Pattern(access, indices, _primitive(replace(terms[0], powers=powers)), scale)
        if _worth(pattern):
            found.append(pattern)
    return sorted(found, key=lambda pattern: -len(pattern.term.powers))


def _primitive(term: Term) -> Term:
    """The number that all terms of a sum have in front stands in front of the sum: P/2 + Q/2 is (P + Q)/2."""
    number, powers = term.coefficient, {}
    for base, n in term.powers.items():
        fronts = {coefficient(part)[0] for part in base.terms} if isinstance(base, Add) else set()
        if len(fronts) == 1 and n.denominator == 1:
            (front,) = fronts
            base = add(*(coefficient(part)[1] for part in base.terms)) if isinstance(base, Add) else base
            number *= front**n.numerator
        powers[base] = n
    return replace(term, coefficient=number, powers=powers)


def _is_scale(base: Expr) -> bool:
    """Whether a factor is one number that is never 0: a size, or a scalar that is said to be no zero."""
    if free(base) or (isinstance(base, Access) and base.tensor.rank):
        return False
    read = tensors(base)
    return not read or (isinstance(base, Access) and not read[0].facts.isdisjoint(("positive", "nonzero")))


def _worth(pattern: Pattern) -> bool:
    """Whether reading the tensor saves anything, and whether a match settles all of its indices."""
    powers = pattern.term.powers
    if not powers or (len(powers) == 1 and not pattern.term.bound and _is_read(powers)):
        return False
    return set(pattern.variables) <= set().union(*(free(base) for base in powers))


def _is_read(powers: Powers) -> bool:
    return all(n == 1 and isinstance(base, Access) for base, n in powers.items())


Match = dict[Index, Expr]


def unifications(pattern: Expr, target: Expr, variables: Sequence[Index], bound: Match) -> Iterator[Match]:
    """Every way in which `target` is `pattern` with the variables replaced: what each stands for.

    The entries S[i,j] and S[j,i] of a symmetric matrix are one, so that either order may be meant.
    """
    if isinstance(pattern, Index) and pattern in variables:
        if bound.get(pattern, target) is target:
            yield {**bound, pattern: target}
        return
    mirrored = isinstance(pattern, Access) and is_symmetric(pattern.tensor)
    if pattern is target and not mirrored:
        own = [index for index in free(pattern) if index in variables]
        if all(bound.get(index, index) is index for index in own):
            yield {**bound, **{index: index for index in own}}
        return
    below, other = children(pattern), children(target)
    if type(pattern) is not type(target) or not below or len(below) != len(other):
        return
    if isinstance(pattern, Sum) and isinstance(target, Sum):
        yield from _under_sums(pattern, target, variables, bound)
        return
    if not isinstance(pattern, Add | Mul) and rebuild(pattern, other) is not target:
        return
    if isinstance(pattern, Add | Mul):
        yield from _in_any_order(list(below), list(other), variables, bound)
        return
    for order in (other, other[::-1]) if mirrored else (other,):
        yield from _together(list(zip(below, order, strict=True)), variables, bound)


def _in_any_order(
    below: list[Expr], other: list[Expr], variables: Sequence[Index], bound: Match
) -> Iterator[Match]:
    """Terms, or factors, laid on those of the target; the order in which an author wrote them says nothing."""
    if not below:
        yield bound
        return
    first, rest = below[0], below[1:]
    for k, target in enumerate(other):
        for found in unifications(first, target, variables, bound):
            yield from _in_any_order(rest, [*other[:k], *other[k + 1 :]], variables, found)


def _under_sums(pattern: Sum, target: Sum, variables: Sequence[Index], bound: Match) -> Iterator[Match]:
    """Unifications of what two sums add up, their indices taken in the order in which they stand."""
    if len(pattern.indices) != len(target.indices):
        return
    inner = substitute(pattern.body, dict(zip(pattern.indices, target.indices, strict=True)))
    for found in unifications(inner, target.body, variables, bound):
        # What a variable stands for may not depend on an index that only the sum knows.
        if all(free(value).isdisjoint(target.indices) for value in found.values()):
            yield found


def _together(pairs: list[tuple[Expr, Expr]], variables: Sequence[Index], bound: Match) -> Iterator[Match]:
    """The unifications of several pairs at once."""
    if not pairs:
        yield bound
        return
    for found in unifications(*pairs[0], variables, bound):
        yield from _together(pairs[1:], variables, found)


def _matches(
    bases: list[Expr], term: Term, pattern: Pattern, found: Match, places: Powers
) -> Iterator[tuple[Match, Powers]]:
    """Every way to lay the pattern's factors on factors of the term, and the powers of these that it takes."""
    if not bases:
        yield found, places
        return
    first, rest = bases[0], bases[1:]
    want = pattern.term.powers[first]
    for start, have in term.powers.items():
        if not _covers(have, want):
            continue
        for trial in unifications(first, start, pattern.variables, found):
            taken = {**places, start: places.get(start, Fraction(0)) + want}
            yield from _matches(rest, term, pattern, trial, taken)


def reuse_in(term: Term, pattern: Pattern) -> Term | None:
    """The term with the pattern's factors replaced by its tensor, None where they do not all stand there."""
    bases = sorted(pattern.term.powers, key=lambda base: -len(free(base) & set(pattern.variables)))
    if len(bases) == 1 and not pattern.term.bound:
        return _reuse_power(term, pattern, bases[0])
    for found, places in _matches(bases, term, pattern, {}, {}):
        new = _replaced(term, pattern, found, places)
        if new is not None:
            return new
    return None


def _replaced(term: Term, pattern: Pattern, found: Match, image: Powers) -> Term | None:
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
    value = substitute(pattern.value, found)
    if any(i in free(value) for i in summed if isinstance(i, Index)):
        return None
    kept[value] = kept.get(value, Fraction(0)) + 1
    kept = _divided(kept, pattern, 1)
    bound = tuple(index for index in term.bound if index not in summed)
    return Term(term.coefficient / pattern.term.coefficient, kept, bound)


def _divided(powers: Powers, pattern: Pattern, times: int) -> Powers:
    """The powers without the pattern's scalars, as often as its value was read."""
    result = dict(powers)
    for base, n in pattern.scale.items():
        result[base] = result.get(base, Fraction(0)) - n * times
    return {base: n for base, n in result.items() if n}


def _covers(have: Fraction | None, want: Fraction) -> bool:
    return have is not None and have * want > 0 and abs(have) >= abs(want)


def _reuse_power(term: Term, pattern: Pattern, base: Expr) -> Term | None:
    """base^(k·n) as (base^n)^k, for a whole number k."""
    n = pattern.term.powers[base]
    indices = pattern.indices
    for start, exponent in term.powers.items():
        found = next(unifications(base, start, indices, {}), None)
        k = exponent / n
        if found is None or len(found) != len(indices) or k.denominator != 1 or abs(k) > 4:
            continue
        powers = {b: e for b, e in term.powers.items() if b is not start}
        access = substitute(pattern.value, found)
        powers[access] = powers.get(access, Fraction(0)) + k
        kept = _divided(powers, pattern, k.numerator)
        number = term.coefficient / pattern.term.coefficient**k.numerator
        return replace(term, coefficient=number, powers=kept)
    return None


class Shelf:
    """What the forward pass has computed, found by the tensors that it was computed from."""

    def __init__(self, known: Sequence[Pattern]) -> None:
        self._by_tensor: dict[str, list[tuple[int, Pattern, frozenset[str]]]] = {}
        self._count = 0
        self.add(known)

    def add(self, known: Sequence[Pattern]) -> None:
        """More patterns, which are tried after those that are there."""
        for pattern in known:
            self._count += 1
            read = frozenset(t.name for base in pattern.term.powers for t in tensors(base))
            for name in sorted(read)[:1]:
                self._by_tensor.setdefault(name, []).append((self._count, pattern, read))

    def near(self, names: frozenset[str]) -> list[Pattern]:
        """The patterns that read nothing but the named tensors, those with the most factors first."""
        return [pattern for _, pattern, _ in sorted(self._within(names), key=lambda row: row[0])]

    def reads(self, names: frozenset[str]) -> list[frozenset[str]]:
        """What each of these patterns reads."""
        return [read for _, _, read in self._within(names)]

    def _within(self, names: frozenset[str]) -> list[tuple[int, Pattern, frozenset[str]]]:
        return [row for name in names for row in self._by_tensor.get(name, ()) if row[2] <= names]


def names_of(e: Expr) -> frozenset[str]:
    return frozenset(tensor.name for tensor in tensors(e))


def reused(term: Term, shelf: Shelf) -> Term:
    """The term after every pattern that applies, longest first, until none does."""
    for _ in range(20):
        names = frozenset(name for base in term.powers for name in names_of(base))
        for pattern in shelf.near(names):
            new = reuse_in(term, pattern)
            if new is not None:
                term = new
                break
        else:
            return term
    return term


def sums_read(e: Expr, shelf: Shelf) -> Expr:
    """Sums over products with a sum in them, which only factoring has brought about, read where they are known."""

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Sum) or not isinstance(node.body, Mul):
            return None
        if not any(isinstance(factor, Add) for factor in node.body.factors):
            return None
        (term,) = expand(node, lambda _: True)
        new = reused(term, shelf)
        return new.expression() if new is not term else None

    return everywhere(e, change)
