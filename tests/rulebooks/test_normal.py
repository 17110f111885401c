"""Terms: each law that shortens one keeps its value."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Expr,
    Index,
    Size,
    Tensor,
    add,
    mul,
    num,
    power,
    total,
)
from pullback.rulebooks.normal import Term, expand, has_quotient, unmasked, unsigned

i = Index("i", Size("N"))
u = Access(Tensor("u", (Size("N"),)), (i,))
SIZE, SIGN = Call("abs", (u,)), Call("sign", (u,))
EXPONENTS = [Fraction(n, 2) for n in range(-4, 5)]


def value(term: Term, at: float) -> float:
    known = {u: at, SIZE: abs(at), SIGN: 1.0 if at > 0 else -1.0}
    result = float(term.coefficient)
    for base, n in term.powers.items():
        result *= known[base] ** (int(n) if n.denominator == 1 else float(n))
    return result


@pytest.mark.parametrize(("size", "sign"), list(product(EXPONENTS, range(5))))
def test_signs_are_gathered_without_changing_the_value(size: Fraction, sign: int) -> None:
    for n in range(-2, 3):
        powers = {b: Fraction(e) for b, e in ((u, n), (SIZE, size), (SIGN, sign)) if e}
        before = Term(Fraction(3), powers)
        after = unsigned(before)
        for at in (1.7, -1.7):
            assert value(after, at) == pytest.approx(value(before, at), rel=1e-14)
        assert len(after.powers) <= len(before.powers) or not powers
        assert after.powers.get(SIGN, 0) < 3


def test_a_sign_alone_keeps_its_zero() -> None:
    assert unsigned(Term(Fraction(1), {SIGN: Fraction(2)})).powers == {SIGN: Fraction(2)}


@pytest.mark.parametrize(
    ("sum_", "expected"),
    [
        (add(u, power(u, num(-1))), True),
        (add(u, mul(num(2), power(add(u, num(1)), num(-2)))), True),
        (add(u, power(Size("N"), num(-1))), False),
        (add(u, num(1)), False),
    ],
)
def test_a_quotient_is_a_division_by_something_that_varies(sum_: Add, expected: bool) -> None:
    assert has_quotient(sum_) is expected


def test_a_sum_over_an_index_that_is_bound_again_inside_counts_its_size() -> None:
    (term,) = expand(total((i,), mul(num(3), total((i,), u))), lambda _: False)
    assert (term.coefficient, term.powers, term.bound) == (3, {u: 1, Size("N"): 1}, (i,))


RELU, POSITIVE = Call("relu", (u,)), Bracket(">", u, num(0))
MASK = add(num(1), mul(num(-1), Bracket("==", i, num(0))))


@pytest.mark.parametrize(
    ("powers", "expected"),
    [
        ({RELU: 1, POSITIVE: 1}, {RELU: 1}),
        ({RELU: 2, POSITIVE: 1, u: 1}, {RELU: 2, u: 1}),
        ({POSITIVE: 1, u: 1}, {POSITIVE: 1, u: 1}),
        ({RELU: -1, POSITIVE: 1}, {RELU: -1, POSITIVE: 1}),
        ({MASK: 3}, {MASK: 1}),
        ({MASK: -1}, {MASK: -1}),
        ({add(num(1), mul(num(-1), u)): 2}, {add(num(1), mul(num(-1), u)): 2}),
    ],
)
def test_masks_do_their_work_once(powers: dict[Expr, int], expected: dict[Expr, int]) -> None:
    term = Term(Fraction(1), {base: Fraction(n) for base, n in powers.items()})
    assert unmasked(term).powers == expected
