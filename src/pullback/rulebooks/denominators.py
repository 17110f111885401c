"""Denominators inside a sum: cleared, so that they meet the factors around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from pullback.expression import Add, Expr, Mul, Num, Pow, Sum, add, walk
from pullback.rulebooks.algebra import key
from pullback.rulebooks.factoring import factored, parts_of
from pullback.rulebooks.normal import Powers, Term, TooManyTerms, expand


def cleared(e: Expr) -> Expr:
    """(a + b / c)^n = (a c + b)^n / c^n, 1 - a / (1 + a) = 1 / (1 + a), and (1 - a²) / (1 - a) = 1 + a"""
    if not any(isinstance(node, Add) for node in walk(e)):
        return e
    try:
        terms = expand(e, lambda _: True)
    except TooManyTerms:
        return e
    found = [_divided(_cleared(term)) for term in terms]
    return e if all(a is b for a, b in zip(found, terms, strict=True)) else factored(parts_of(found))


def _cleared(term: Term) -> Term:
    result = replace(term, powers={})
    changed = False
    for base, n in term.powers.items():
        quotient = _quotient(base) if isinstance(base, Add) and n.denominator == 1 else None
        if quotient is None:
            result = _times(result, {base: n})
            continue
        changed = True
        numerator, denominators = quotient
        if isinstance(numerator, Num):
            result = replace(result, coefficient=result.coefficient * numerator.value ** int(n))
        else:
            result = _times(result, {numerator: n})
        result = _times(result, {below: -k * n for below, k in denominators.items()})
    return result if changed else term


def _times(term: Term, powers: Powers) -> Term:
    merged = dict(term.powers)
    for base, n in powers.items():
        merged[base] = merged.get(base, Fraction(0)) + n
    return replace(term, powers={base: n for base, n in merged.items() if n})


def _quotient(e: Add) -> tuple[Expr, Powers] | None:
    """The sum as one numerator over denominators, None where it has none or grows."""
    below: Powers = {}
    for part in e.terms:
        for factor in part.factors if isinstance(part, Mul) else (part,):
            match factor:
                case Pow(base, Num(k)) if k < 0 and k.denominator == 1:
                    below[base] = max(below.get(base, Fraction(0)), -k)
    if not below or any(isinstance(node, Sum) for node in walk(e)):
        return None
    try:
        whole = [_times(t, below) for part in e.terms for t in expand(part, lambda _: True)]
        terms = [t for part in whole for t in expand(part.expression(), lambda _: False)]
    except TooManyTerms:
        return None
    parts = parts_of(terms)
    if not 0 < len(parts) <= len(e.terms):
        return None
    return add(*(part.expression() for part in parts)), below


# ---- sums that divide sums ----------------------------------------------------------------------

Monomial = tuple[Fraction, ...]  # the exponents of the atoms
MOST_STEPS = 12


def _divided(term: Term) -> Term:
    """The term with a sum above the line divided by one below it, where that leaves no rest."""
    sums = [(base, n) for base, n in term.powers.items() if isinstance(base, Add) and n.denominator == 1]
    for above, n in sums:
        for below, m in sums:
            if n > 0 > m and len(above.terms) >= len(below.terms):
                quotient = _exact_quotient(above, below)
                if quotient is not None:
                    rest = _times(term, {above: Fraction(-1), below: Fraction(1)})
                    return _multiplied(rest, quotient)
    return term


def _multiplied(term: Term, terms: Sequence[Term]) -> Term:
    """The term times a sum, a sign that all of its terms have in front."""
    sign = -1 if all(part.coefficient < 0 for part in terms) else 1
    whole = add(*(replace(part, coefficient=sign * part.coefficient).expression() for part in terms))
    number, powers = (whole.value, {}) if isinstance(whole, Num) else (Fraction(1), {whole: Fraction(1)})
    return _times(replace(term, coefficient=sign * number * term.coefficient), powers)


def _exact_quotient(above: Add, below: Add) -> list[Term] | None:
    """above / below as polynomials in what stands in them."""
    try:
        sides = [expand(e, lambda _: False) for e in (above, below)]
    except TooManyTerms:
        return None
    bases = {base: n for side in sides for term in side for base, n in term.powers.items()}
    exponents = [n for side in sides for term in side for n in term.powers.values()]
    if any(term.bound for side in sides for term in side) or any(
        n < 0 or n.denominator != 1 for n in exponents
    ):
        return None
    atoms = sorted(bases, key=lambda base: str(key(base)))
    rest, divisor = (_polynomial(side, atoms) for side in sides)
    lead = max(divisor)
    quotient: dict[Monomial, Fraction] = {}
    for _ in range(MOST_STEPS):
        if not rest:
            powers = [{a: n for a, n in zip(atoms, m, strict=True) if n} for m in quotient]
            return [Term(c, p) for p, c in zip(powers, quotient.values(), strict=True)][::-1]
        top = max(rest)
        step = tuple(a - b for a, b in zip(top, lead, strict=True))
        if any(n < 0 for n in step):
            return None
        ratio = quotient[step] = rest[top] / divisor[lead]
        for monomial, c in divisor.items():
            at = tuple(a + b for a, b in zip(monomial, step, strict=True))
            rest[at] = rest.get(at, Fraction(0)) - ratio * c
            if not rest[at]:
                del rest[at]
    return None


def _polynomial(terms: Sequence[Term], atoms: Sequence[Expr]) -> dict[Monomial, Fraction]:
    found: dict[Monomial, Fraction] = {}
    for term in terms:
        at = tuple(term.powers.get(atom, Fraction(0)) for atom in atoms)
        found[at] = found.get(at, Fraction(0)) + term.coefficient
    return {at: c for at, c in found.items() if c}
