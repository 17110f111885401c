"""Powers with an exponent that is no number: b^(e + n) is b^e b^n, for a whole number n."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pullback.expression import Expr, Num, Pow, add, num, power, terms_of
from pullback.rulebooks.algebra import key

Powers = dict[Expr, Fraction]


def parted(e: Expr) -> tuple[Expr, Expr, Fraction] | None:
    """(b, e, n) of b^(e + n), None for a power with a number as its exponent, or no power."""
    if not isinstance(e, Pow) or isinstance(e.exponent, Num):
        return None
    terms = terms_of(e.exponent)
    numbers = [term.value for term in terms if isinstance(term, Num) and term.value.denominator == 1]
    rest = [term for term in terms if not (isinstance(term, Num) and term.value.denominator == 1)]
    return e.base, add(*rest), sum(numbers, Fraction(0))


def joined(powers: Powers) -> Powers:
    """b^e b^n = b^(e + n)"""
    if not any(isinstance(base, Pow) for base in powers):
        return powers
    result = dict(powers)
    for base, n in powers.items():
        found = parted(base)
        if found is None or n != 1 or base not in result:
            continue
        b, e, k = found
        more = result.get(b, Fraction(0))
        if more and more.denominator == 1:
            del result[b]
            result = {raised(b, e, k + more) if old is base else old: m for old, m in result.items()}
    return result


def raised(b: Expr, e: Expr, n: Fraction) -> Expr:
    """b^(e + n)"""
    return power(b, add(e, num(n)))


def aligned(parts: Sequence[Powers]) -> list[Powers]:
    """The parts with b^(e + 1) as b b^e, where another of them has b^e: the lowest power is a common factor."""
    found = [{base: parted(base) for base, n in part.items() if n == 1} for part in parts]
    lowest: dict[tuple[object, object], tuple[Expr, Fraction]] = {}
    several = set()
    for row in found:
        for base, place in row.items():
            if place is None:
                continue
            b, e, n = place
            at = (key(b), key(e))
            if at in lowest and lowest[at][1] != n:
                several.add(at)
            if at not in lowest or n < lowest[at][1]:
                lowest[at] = base, n
    if not several:
        return list(parts)
    result = []
    for part, row in zip(parts, found, strict=True):
        new: Powers = {}
        for base, k in part.items():
            place = row.get(base)
            if place is None or (key(place[0]), key(place[1])) not in several:
                new[base] = new.get(base, Fraction(0)) + k
                continue
            low, n = lowest[key(place[0]), key(place[1])]
            new[low] = new.get(low, Fraction(0)) + k
            if place[2] > n:
                new[place[0]] = new.get(place[0], Fraction(0)) + place[2] - n
        result.append(new)
    return result
