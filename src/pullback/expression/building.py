"""Building expressions: numbers fold, sums and products are flat, and the written order is kept.

A person reads the order of terms and factors, so nothing here sorts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from pullback.expression.nodes import (
    MINUS_ONE,
    NEGATED,
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
)


def num(value: int | Fraction | str) -> Num:
    """An exact number; a decimal literal is read as the fraction that it prints.

    >>> num("0.25").value
    Fraction(1, 4)
    """
    return Num(Fraction(value))


def add(*terms: Expr) -> Expr:
    """Σ of the terms, flat, numbers folded, in the given order."""
    flat: list[Expr] = []
    constant = Fraction(0)
    for term in terms:
        for part in term.terms if isinstance(term, Add) else (term,):
            if isinstance(part, Num):
                constant += part.value
            else:
                flat.append(part)
    if constant:
        # A number keeps the place it was written in when it comes first.
        first = bool(terms) and isinstance(terms[0], Num)
        flat.insert(0 if first else len(flat), Num(constant))
    if not flat:
        return ZERO
    return flat[0] if len(flat) == 1 else Add(tuple(flat))


def mul(*factors: Expr) -> Expr:
    """The product of the factors, flat, the number in front, in the given order."""
    flat: list[Expr] = []
    constant = ONE.value
    for factor in factors:
        for part in factor.factors if isinstance(factor, Mul) else (factor,):
            if not isinstance(part, Num):
                flat.append(part)
            elif part is not ONE:
                constant = part.value if constant is ONE.value else constant * part.value
    if not constant:
        return ZERO
    if not flat or (constant is not ONE.value and constant != 1):
        flat.insert(0, Num(constant))
    return flat[0] if len(flat) == 1 else Mul(tuple(flat))


def neg(term: Expr) -> Expr:
    """The term with its sign changed; a sum is negated term by term."""
    if isinstance(term, Add):
        return add(*(mul(MINUS_ONE, part) for part in term.terms))
    return mul(MINUS_ONE, term)


def power(base: Expr, exponent: Expr) -> Expr:
    """`base ** exponent`, numbers folded where the result is rational."""
    if exponent is ONE:
        return base
    if exponent is ZERO:
        return ONE
    if base is ONE:
        return ONE
    if isinstance(exponent, Num) and exponent.value.denominator == 1:
        n = int(exponent.value)
        if isinstance(base, Bracket) and n > 0:
            return base  # 0 and 1 are their own powers
        if isinstance(base, Num) and abs(n) <= 64 and (base.value or n > 0):
            return Num(base.value**n)
        if isinstance(base, Pow) and isinstance(base.exponent, Num):
            return power(base.base, Num(base.exponent.value * n))
        if isinstance(base, Mul):
            return mul(*(power(factor, exponent) for factor in base.factors))
    return Pow(base, exponent)


def over(numerator: Expr, denominator: Expr) -> Expr:
    """numerator / denominator."""
    return mul(numerator, power(denominator, MINUS_ONE))


def total(indices: Iterable[Index], body: Expr) -> Expr:
    """Σ over the indices; nested sums are flattened, and a sum over nothing is its body."""
    bound = tuple(indices)
    if not bound or body is ZERO:
        return body
    if isinstance(body, Sum):
        names = {index.name for index in bound}
        if not any(index.name in names for index in body.indices):
            return Sum(bound + body.indices, body.body)
    return Sum(bound, body)


def bracket(relation: str, left: Expr, right: Expr) -> Expr:
    """`[left relation right]`, decided where both sides are the same or both are numbers; `[[c] > 0]` is `[c]`."""
    if isinstance(left, Bracket) and right is ZERO:
        if relation in (">", "!="):
            return left
        if relation in ("==", "<="):
            return Bracket(NEGATED[left.relation], left.left, left.right)
    if isinstance(left, Num) and isinstance(right, Num):
        return ONE if compare(relation, left.value, right.value) else ZERO
    if left is right:
        return ONE if relation in ("==", "<=", ">=") else ZERO
    return Bracket(relation, left, right)


def compare(relation: str, left: Any, right: Any) -> Any:
    """The comparison named by `relation`, on numbers or arrays."""
    match relation:
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
    raise ValueError(relation)


def call(function: str, *arguments: Expr) -> Expr:
    return Call(function, arguments)
