"""From terms back to one expression: common factors come out, sums of the same shape merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from math import prod

from pullback.affine import same
from pullback.expression import (
    ONE,
    Access,
    Add,
    Expr,
    Index,
    Mul,
    Num,
    Sum,
    add,
    free,
    is_symmetric,
    mul,
    neg,
    power,
    substitute,
    total,
)
from pullback.rulebooks.algebra import collect, key
from pullback.rulebooks.exponents import aligned, joined
from pullback.rulebooks.normal import Powers, Term, components


@dataclass(frozen=True)
class Part:
    """coefficient × Π base^exponent, where a base may be a whole sum."""

    coefficient: Fraction
    powers: Powers

    def without(self, common: Powers, number: Fraction) -> Part:
        powers = {base: n - common[base] if base in common else n for base, n in self.powers.items()}
        coefficient = self.coefficient if number == 1 else self.coefficient / number
        return Part(coefficient, {base: n for base, n in powers.items() if n})

    def expression(self) -> Expr:
        return product(self.coefficient, self.powers)


def product(coefficient: Fraction, powers: Powers) -> Expr:
    if coefficient == -1 and len(powers) == 1:
        ((base, n),) = powers.items()
        if isinstance(base, Add) and n == 1:
            return neg(base)  # a sum takes the sign in, so that its terms meet those around it
    return mul(Num(coefficient), *(power(base, Num(n)) for base, n in joined(powers).items()))


def is_above(n: Fraction) -> bool:
    """n > 0, without the comparison of fractions."""
    return n.numerator > 0


def parts_of(terms: Sequence[Term]) -> list[Part]:
    """Terms with their sums as single factors; equal sums are the same object; like terms are added."""
    canonical: dict[str, Expr] = {}
    found: dict[str, Part] = {}
    for term in terms:
        outer, sums = components(term)
        powers: Powers = {}
        for base, n in (*outer.items(), *((s, Fraction(1)) for s in sums)):
            base = canonical.setdefault(key(base), base)
            powers[base] = powers[base] + n if base in powers else n
        powers = {base: n for base, n in powers.items() if n}
        k = "·".join(sorted(f"{key(base)}^{n}" for base, n in powers.items()))
        before = found.get(k)
        value = term.coefficient + (before.coefficient if before is not None else 0)
        found[k] = Part(value, before.powers if before is not None else powers)
    return [part for part in found.values() if part.coefficient]


def factored(parts: Sequence[Part]) -> Expr:
    """Σ of the parts with common factors outside, greedily, the factor that saves most first."""
    if not parts:
        return Num(Fraction(0))
    if len(parts) == 1:
        return parts[0].expression()
    powers = aligned([part.powers for part in parts])
    parts = [replace(part, powers=new) for part, new in zip(parts, powers, strict=True)]
    common, number = _common(parts)
    if common or number != 1:
        inner = _grouped([part.without(common, number) for part in parts])
        return mul(product(number, common), inner)
    return _grouped(parts)


def scalars_outside(terms: Sequence[Term]) -> Expr:
    """Σ of the terms with the numbers and scalars that all of them have outside."""
    parts = parts_of(terms)
    if len(parts) < 2:
        return factored(parts)
    scale, rests = shared_scale(parts)
    return mul(scale, add(*rests))


def shared_scale(parts: Sequence[Part]) -> tuple[Expr, list[Expr]]:
    """The number and scalars that all of the parts have, and what is left of each."""
    common, number = _common(parts)
    common = {base: n for base, n in common.items() if not free(base)}
    return product(number, common), [part.without(common, number).expression() for part in parts]


def _common(parts: Sequence[Part]) -> tuple[Powers, Fraction]:
    """The powers that every part has, and a number that every coefficient is a multiple of."""
    common: Powers = {}
    for base, n in parts[0].powers.items():
        if not all(base in part.powers and is_above(part.powers[base]) == is_above(n) for part in parts):
            continue
        exponents = [part.powers[base] for part in parts]
        common[base] = min(exponents) if is_above(n) else max(exponents)
    means = sum(_is_mean_of_known_size(part) for part in parts)
    number = Fraction(1) if 0 < means < len(parts) else _shared_number([abs(p.coefficient) for p in parts])
    if all(part.coefficient < 0 for part in parts):
        number = -number
    return common, number


def _shared_number(sizes: Sequence[Fraction]) -> Fraction:
    """The number that leaves the most coefficients 1 and all of them whole."""
    best = Fraction(1)
    for number in sorted(set(sizes)):
        whole = all((size / number).denominator == 1 for size in sizes)
        if whole and sum(size == number for size in sizes) > sum(size == best for size in sizes):
            best = number
    return best


def _grouped(parts: Sequence[Part]) -> Expr:
    """Parts that share a factor are put together under it."""
    counts: dict[tuple[Expr, bool], int] = {}
    for part in parts:
        for base, n in part.powers.items():
            sign = is_above(n)
            counts[base, sign] = counts.get((base, sign), 0) + 1
    shared = [
        (count, _weight(base), base, sign)
        for (base, sign), count in counts.items()
        if count > 1 and not (not sign and any(_is_mean(part, base) for part in parts))
    ]
    if not shared or len(parts) < 3:
        return _added(*(part.expression() for part in parts))
    _, _, best, positive = max(shared, key=lambda item: (item[0] * item[1], item[0]))
    inside: list[Part] = []
    outside: list[Part] = []
    for p in parts:
        has = best in p.powers and is_above(p.powers[best]) == positive
        (inside if has else outside).append(p)
    if not outside:
        return _added(*(part.expression() for part in parts))
    return _added(factored(inside), factored(outside) if len(outside) > 1 else outside[0].expression())


def _is_mean(part: Part, size: Expr) -> bool:
    """Whether the part holds a sum over an index of this size, and divides by the size: a mean, which stays one."""
    over = {i.extent for base in part.powers if isinstance(base, Sum) for i in base.indices}
    return size in over and part.powers.get(size) == -1


def _is_mean_of_known_size(part: Part) -> bool:
    """Whether the part is a sum over n entries times 1/n, for a number n; other axes may be summed as well."""
    counts = [
        prod(i.extent.value for i in base.indices if isinstance(i.extent, Num))
        for base, n in part.powers.items()
        if isinstance(base, Sum) and n == 1
    ]
    return any(abs(part.coefficient) * count == 1 for count in counts if count > 1)


def _added(*terms: Expr) -> Expr:
    e = add(*terms)
    gathered = collect(e)
    return e if gathered is None else gathered[0]


def _weight(base: Expr) -> int:
    """What a multiplication by the factor costs, roughly."""
    weight: int = 64 ** min(4, len(free(base)))
    return weight


# ---- sums that differ in one factor ------------------------------------------------------------


def merged(parts: Sequence[Part]) -> list[Part]:
    """a Σ_k f g + b Σ_k f h = Σ_k f (a g + b h), for scalars a and b under the same outer factors."""
    result = list(parts)
    changed = True
    while changed:
        changed = False
        for a in range(len(result)):
            for b in range(a + 1, len(result)):
                new = _merge(result[a], result[b])
                if new is not None:
                    result[a : a + 1] = [new]
                    del result[b]
                    changed = True
                    break
            if changed:
                break
    return [part for part in result if part.coefficient]


def _merge(a: Part, b: Part) -> Part | None:
    sums_a = [base for base in a.powers if isinstance(base, Sum) and base not in b.powers]
    sums_b = [base for base in b.powers if isinstance(base, Sum) and base not in a.powers]
    if len(sums_a) != 1 or len(sums_b) != 1:
        return None
    rest_a = {base: n for base, n in a.powers.items() if base is not sums_a[0]}
    rest_b = {base: n for base, n in b.powers.items() if base is not sums_b[0]}
    if a.powers[sums_a[0]] != 1 or b.powers[sums_b[0]] != 1:
        return None
    only = [_without(one, other) for one, other in ((rest_a, rest_b), (rest_b, rest_a))]
    if any(free(base) for base in (*only[0], *only[1])):
        return None
    rest = _without(rest_a, only[0])
    left, right = sums_a[0], sums_b[0]
    assert isinstance(left, Sum) and isinstance(right, Sum)
    best = _best_overlap(left, right)
    if best is None:
        return None
    shared, only_a, only_b = best
    if not only_a and not only_b:  # the same sum, seen only now
        return Part(a.coefficient + b.coefficient, a.powers) if not any(only) else None
    ratio = b.coefficient / a.coefficient
    scales = [product(number, scalars) for number, scalars in zip((Fraction(1), ratio), only, strict=True)]
    outside = {index for factor in shared for index in free(factor)}
    own = [index for index in left.indices if index not in outside]  # which the shared factors do not read
    inner = add(mul(scales[0], _summed(own, only_a)), mul(scales[1], _summed(own, only_b)))
    kept = [index for index in left.indices if index in outside]
    return Part(a.coefficient, {**rest, total(kept, mul(*shared, inner)): Fraction(1)})


def _without(powers: Powers, others: Powers) -> Powers:
    return {base: n for base, n in powers.items() if others.get(base) != n}


def _summed(indices: Sequence[Index], factors: Sequence[Expr]) -> Expr:
    """Σ over the indices of a product, factors without them outside."""
    outside = [factor for factor in factors if free(factor).isdisjoint(indices)]
    return mul(*outside, total(indices, mul(ONE, *(f for f in factors if f not in outside))))


def _best_overlap(left: Sum, right: Sum) -> tuple[list[Expr], list[Expr], list[Expr]] | None:
    """Factors that both sums share under some renaming of the second's indices, and those left over."""
    if len(left.indices) != len(right.indices) or len(left.indices) > 3:
        return None
    best: tuple[list[Expr], list[Expr], list[Expr]] | None = None
    for order in permutations(left.indices):
        if not all(same(i.extent, j.extent) for i, j in zip(order, right.indices, strict=True)):
            continue
        body = _renamed(right, order)
        mine, other = ([_ordered(factor) for factor in _factors(e)] for e in (left.body, body))
        shared = []
        for factor in list(mine):
            if factor in other:
                mine.remove(factor)
                other.remove(factor)
                shared.append(factor)
        if shared and _labels(mine) == _labels(other):
            if best is None or _rank(left, shared) > _rank(left, best[0]):
                best = (shared, mine, other)
    return best


def _rank(e: Sum, shared: Sequence[Expr]) -> tuple[int, int]:
    """Most factors shared; among these, most indices that the others can be summed over by themselves."""
    return len(shared), len(set(e.indices) - _labels(shared))


def _ordered(factor: Expr) -> Expr:
    """S[j,i] = S[i,j], for a symmetric matrix: one order for both."""
    if isinstance(factor, Access) and is_symmetric(factor.tensor):
        return Access(factor.tensor, tuple(sorted(factor.slots, key=key)))
    return factor


def _labels(factors: Sequence[Expr]) -> frozenset[Index]:
    return frozenset(index for factor in factors for index in free(factor))


def _renamed(e: Sum, order: Sequence[Index]) -> Expr:
    """The body with the sum's indices renamed to `order`, all at once."""
    return substitute(e.body, dict(zip(e.indices, order, strict=True)))


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
