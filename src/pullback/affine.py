"""Index expressions as integer polynomials: solving for an index, and proofs that one stays in range."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from pullback.expression import (
    Access,
    Add,
    Call,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Size,
    add,
    free,
    mul,
    num,
)

Polynomial = dict[tuple[Expr, ...], Fraction]  # sorted atoms of a monomial -> coefficient


def polynomial(e: Expr) -> Polynomial:
    """The integer expression as a sum of monomials of sizes, indices and other atoms."""
    match e:
        case Num(value):
            return {(): value} if value else {}
        case Add(terms):
            result: Polynomial = {}
            for term in terms:
                for monomial, c in polynomial(term).items():
                    result[monomial] = result.get(monomial, Fraction(0)) + c
            return {monomial: c for monomial, c in result.items() if c}
        case Mul(factors):
            result = {(): Fraction(1)}
            for factor in factors:
                result = _product(result, polynomial(factor))
            return result
        case Pow(base, Num(exponent)) if exponent.denominator == 1 and 0 < exponent <= 8:
            result = {(): Fraction(1)}
            for _ in range(int(exponent)):
                result = _product(result, polynomial(base))
            return result
    return {(e,): Fraction(1)}


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for m1, c1 in a.items():
        for m2, c2 in b.items():
            monomial = tuple(sorted(m1 + m2, key=_name))
            result[monomial] = result.get(monomial, Fraction(0)) + c1 * c2
    return {monomial: c for monomial, c in result.items() if c}


def _name(e: Expr) -> str:
    match e:
        case Size(name) | Index(name, _):
            return name
    return repr(e)


def expression(p: Polynomial) -> Expr:
    """The expression that a polynomial stands for; what is added comes before what is taken away."""
    ordered = sorted(p.items(), key=lambda item: item[1] < 0)
    return add(*(mul(num(c), *monomial) for monomial, c in ordered))


def difference(a: Expr, b: Expr) -> Polynomial:
    result = polynomial(a)
    for monomial, c in polynomial(b).items():
        result[monomial] = result.get(monomial, Fraction(0)) - c
    return {monomial: c for monomial, c in result.items() if c}


def same(a: Expr, b: Expr) -> bool:
    """Whether two integer expressions are equal as polynomials."""
    return a is b or not difference(a, b)


def solve(left: Expr, right: Expr, k: Index) -> Expr | None:
    """The expression that `k` equals where `left == right`, if `k` occurs with coefficient 1 or -1."""
    p = difference(left, right)
    c = p.pop((k,), None)
    if c not in (1, -1) or any(k in free(atom) for monomial in p for atom in monomial):
        return None
    return expression({monomial: -value / c for monomial, value in p.items()})


def lowest(e: Expr) -> Expr | None:
    """A lower bound of an affine index expression, free of indices, if every coefficient is a number."""
    return _extreme(e, lower=True)


def highest(e: Expr) -> Expr | None:
    """An upper bound, likewise."""
    return _extreme(e, lower=False)


def is_inside(slot: Expr, size: Expr) -> bool:
    """Whether an index expression certainly names an entry of an axis of that size, for all sizes from 1 on."""
    if not free(slot) or (isinstance(slot, Index) and same(slot.extent, size)):
        return True
    if isinstance(slot, Access):
        return slot.tensor.is_integer
    low, high = lowest(slot), highest(slot)
    if low is None or high is None:
        return False
    return certain(low, Num(Fraction(0))) and certain(add(size, Num(Fraction(-1))), high)


def certain(large: Expr, small: Expr) -> bool:
    """Whether large >= small for all sizes from 1 on, as their difference shows."""
    gap = difference(large, small)
    return all(c >= 0 for monomial, c in gap.items() if monomial) and sum(gap.values()) >= 0


def _extreme(e: Expr, *, lower: bool) -> Expr | None:
    parts: list[Expr] = []
    for monomial, c in polynomial(e).items():
        indexed = [atom for atom in monomial if free(atom) or isinstance(atom, Access)]
        if not indexed:
            parts.append(mul(num(c), *monomial))
            continue
        others = [atom for atom in monomial if atom not in indexed]
        if len(indexed) != 1:
            return None
        size = extent(indexed[0])
        if size is None:
            return None
        if (c > 0) != lower:  # the largest value, extent - 1, is reached
            parts.append(mul(num(c), *others, add(size, num(-1))))
    return add(*parts)


def extent(e: Expr) -> Expr | None:
    """The size of the range 0..size-1 in which an index-like atom stays."""
    match e:
        case Index(_, size):
            return size
        case Access(tensor, _):
            return tensor.values
        case Call("mod", (_, modulus)):
            return modulus
        case Call("floordiv", (Index(_, size), divisor)):
            quotient = divide(size, divisor)
            return quotient
    return None


def divide(a: Expr, b: Expr) -> Expr | None:
    """a / b where every monomial of `a` contains `b`, a monomial itself; else None."""
    divisor = polynomial(b)
    if len(divisor) != 1:
        return None
    ((atoms, c),) = divisor.items()
    result: Polynomial = {}
    for monomial, value in polynomial(a).items():
        rest = list(monomial)
        for atom in atoms:
            if atom not in rest:
                return None
            rest.remove(atom)
        quotient = value / c
        if quotient.denominator != 1:
            return None
        result[tuple(rest)] = quotient
    return expression(result)


def not_negative(e: Expr) -> bool:
    """Whether an expression of sizes (each at least 1) is certainly ≥ 0."""
    p = polynomial(e)
    constant = p.pop((), Fraction(0))
    if any(c < 0 or not all(isinstance(atom, Size) for atom in monomial) for monomial, c in p.items()):
        return False
    return constant + sum(p.values()) >= 0


@lru_cache(maxsize=8192)
def within(e: Expr, size: Expr) -> bool:
    """Whether `0 <= e < size` is certain."""
    low, high = lowest(e), highest(e)
    if low is None or high is None:
        return False
    return not_negative(low) and not_negative(add(size, num(-1), mul(num(-1), high)))


@lru_cache(maxsize=8192)
def decided(relation: str, left: Expr, right: Expr) -> bool | None:
    """Whether a comparison of index expressions holds, or fails, for every value of the indices."""
    if relation == "==" and isinstance(left, Index) and isinstance(right, Index):
        return None  # two indices are equal for some values and different for others
    gap = add(right, mul(num(-1), left))
    if relation in (">", ">="):
        gap, relation = mul(num(-1), gap), {">": "<", ">=": "<="}[relation]
        gap = expression(polynomial(gap))
    low, high = lowest(gap), highest(gap)
    if low is None or high is None:
        return None
    one = num(1) if relation == "<" else num(0)
    if relation in ("<", "<="):
        if not_negative(add(low, mul(num(-1), one))):
            return True
        return False if not_negative(add(one, num(-1), mul(num(-1), high))) else None
    apart = not_negative(add(low, num(-1))) or not_negative(add(num(-1), mul(num(-1), high)))
    if apart:
        return relation == "!="
    return None


def is_plain(access: Access) -> bool:
    """Whether the slots are different indices that run over the whole of their axes."""
    slots = access.slots
    if len(set(slots)) != len(slots):
        return False
    return all(
        isinstance(slot, Index) and same(slot.extent, size)
        for slot, size in zip(slots, access.tensor.shape, strict=True)
    )
