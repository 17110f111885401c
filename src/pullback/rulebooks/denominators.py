"""Denominators inside a sum: cleared, so that they meet the factors around it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from pullback.expression import Add, Expr, Mul, Num, Pow, Sum, add, walk
from pullback.rulebooks.factoring import factored, parts_of
from pullback.rulebooks.normal import Powers, Term, TooManyTerms, expand


def cleared(e: Expr) -> Expr:
    """(a + b / c)^n = (a c + b)^n / c^n, and 1 - a / (1 + a) = 1 / (1 + a)"""
    if not any(isinstance(node, Add) for node in walk(e)):
        return e
    try:
        terms = expand(e, lambda _: True)
    except TooManyTerms:
        return e
    found = [_cleared(term) for term in terms]
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
    most = len(e.terms) - any(isinstance(base, Add) for base in below)
    if not 0 < len(parts) <= most:
        return None
    return add(*(part.expression() for part in parts)), below
