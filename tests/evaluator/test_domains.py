"""Each domain on tables of values, and the laws that the prime field keeps."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.errors import LimitProblem
from pullback.evaluator import Float64, HighPrecision, PrimeField, Rational, Unrepresentable
from pullback.evaluator.primefield import Residues
from pullback.evaluator.residues import P, Q, character, exponential, logarithm

POINTS = [Fraction(-2), Fraction(-1, 3), Fraction(0), Fraction(1, 4), Fraction(3)]
INSIDE = [Fraction(-1, 2), Fraction(0), Fraction(3, 4)]
POSITIVE = [Fraction(1, 4), Fraction(1), Fraction(3)]
REAL = [
    ("exp", math.exp, POINTS),
    ("log", math.log, POSITIVE),
    ("log1p", math.log1p, POSITIVE),
    ("sin", math.sin, POINTS),
    ("cos", math.cos, POINTS),
    ("erf", math.erf, POINTS),
    ("arctan", math.atan, POINTS),
    ("arcsin", math.asin, INSIDE),
    ("arccos", math.acos, INSIDE),
    ("lgamma", math.lgamma, [*POSITIVE, Fraction(-7, 2)]),
    ("digamma", lambda x: float(mpmath.digamma(x)), [*POSITIVE, Fraction(40), Fraction(-7, 2)]),
    ("tanh", math.tanh, POINTS),
    ("sigmoid", lambda x: 1 / (1 + math.exp(-x)), POINTS),
    ("softplus", lambda x: math.log(1 + math.exp(x)), POINTS),
    ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2, POINTS),
    ("relu", lambda x: max(x, 0), POINTS),
    ("abs", abs, POINTS),
    ("sign", lambda x: (x > 0) - (x < 0), POINTS),
]


@pytest.mark.parametrize("domain", [Float64(), HighPrecision()], ids=lambda domain: domain.name)
@pytest.mark.parametrize(("name", "expected", "points"), REAL, ids=[row[0] for row in REAL])
def test_functions_of_real_numbers(domain: Any, name: str, expected: Any, points: list[Fraction]) -> None:
    for x in points:
        found = getattr(domain, name)(domain.number(x))
        assert float(found) == pytest.approx(float(expected(float(x))), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("x", [0.1, 1.0, 7.5, 40.0, -0.75])
def test_derivatives_of_digamma(order: int, x: float) -> None:
    found = Float64().polygamma(np.array(x), order)
    assert float(found) == pytest.approx(float(mpmath.psi(order, x)), rel=1e-13)


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (1.0, -2.0), (-1.0, -2.0), (-3.0, 0.5)])
def test_angles_lie_in_their_quarter(a: float, b: float) -> None:
    domain = HighPrecision()
    found = domain.arctan2(domain.floats(np.array(a)), domain.floats(np.array(b)))
    assert float(found[()]) == pytest.approx(math.atan2(a, b), rel=1e-15)


EXACT = [
    ("power", (Fraction(9, 4), Fraction(1, 2)), Fraction(3, 2)),
    ("power", (Fraction(8, 27), Fraction(-2, 3)), Fraction(9, 4)),
    ("power", (Fraction(-2), Fraction(3)), Fraction(-8)),
    ("power", (Fraction(-2), Fraction(-1)), Fraction(-1, 2)),
    ("exp", (Fraction(0),), 1),
    ("log", (Fraction(1),), 0),
    ("sin", (Fraction(0),), 0),
    ("cos", (Fraction(0),), 1),
    ("erf", (Fraction(0),), 0),
    ("arctan", (Fraction(0),), 0),
    ("lgamma", (Fraction(2),), 0),
    ("tanh", (Fraction(0),), 0),
    ("sigmoid", (Fraction(0),), Fraction(1, 2)),
    ("relu", (Fraction(-2),), 0),
    ("abs", (Fraction(-2),), 2),
    ("sign", (Fraction(0),), 0),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), EXACT)
def test_rationals(name: str, arguments: tuple[Fraction, ...], expected: Any) -> None:
    domain = Rational()
    x, *more = arguments
    found = getattr(domain, name)(domain.number(x), *more)
    assert found[()] == expected
    assert isinstance(found[()], Fraction)


@pytest.mark.parametrize(
    ("name", "x"),
    [("exp", 1), ("log", 2), ("sin", 1), ("cos", 1), ("erf", 1), ("tanh", 1), ("arctan", 1), ("digamma", 1)],
)
def test_irrational_values_are_refused(name: str, x: int) -> None:
    domain = Rational()
    with pytest.raises(Unrepresentable, match="is not rational"):
        getattr(domain, name)(domain.number(Fraction(x)))


@pytest.mark.parametrize("r", [Fraction(1, 2), Fraction(1, 3)])
def test_irrational_roots_are_refused(r: Fraction) -> None:
    domain = Rational()
    with pytest.raises(Unrepresentable, match="root of order"):
        domain.power(domain.number(Fraction(2)), r)


MATRIX = [[2, 1, 0], [1, 3, 1], [0, 1, 4]]


@pytest.mark.parametrize(
    "domain", [Float64(), HighPrecision(), PrimeField(1)], ids=lambda domain: domain.name
)
def test_matrices(domain: Any) -> None:
    a = domain.integers(np.array(MATRIX))
    identity = domain.integers(np.eye(3, dtype=np.int64))
    b = domain.integers(np.array([1, 2, 3]))
    low = domain.cholesky(a)
    checks = {
        "det": (domain.det(a), domain.number(Fraction(18))),
        "inv": (domain.matmul(domain.inv(a), a), identity),
        "solve": (domain.matmul(a, domain.widen(domain.solve(a, b, True), 1)), domain.widen(b, 1)),
        "cholesky": (domain.matmul(low, domain.restructure(low, lambda x: np.swapaxes(x, -1, -2))), a),
    }
    for name, (found, expected) in checks.items():
        differs, known = domain.difference(found, expected)
        assert known.all(), name
        assert not differs.any(), name


def test_rational_matrices() -> None:
    domain = Rational()
    a = domain.integers(np.array([[0, 1], [2, 3]]))  # a zero where elimination would divide
    assert domain.det(a)[()] == -2
    assert domain.inv(a).tolist() == [[Fraction(-3, 2), Fraction(1, 2)], [1, 0]]
    assert domain.det(domain.integers(np.array([[1, 2], [2, 4]])))[()] == 0
    spd = domain.integers(np.array([[4, 2], [2, 10]]))
    assert domain.cholesky(spd).tolist() == [[2, 0], [1, 3]]


def test_a_large_exact_determinant_is_refused() -> None:
    domain = PrimeField(1)
    with pytest.raises(LimitProblem, match="determinant"):
        domain.det(domain.integers(np.eye(20, dtype=np.int64)))


# ---- the prime field


def element(value: int, exponent: int) -> Residues:
    return Residues(np.array([value], dtype=np.int64), np.array([exponent], dtype=np.int64))


ELEMENTS = st.builds(element, st.integers(1, P - 1), st.integers(1, Q - 1))
FIELD = PrimeField(1)


def same(a: Residues, b: Residues) -> bool:
    differs, known = FIELD.difference(a, b)
    return bool(known.all()) and not differs.any()


def known(a: Residues) -> bool:
    return a.bad is None or not a.bad.any()


def test_small_integers_are_positive_and_ordered() -> None:
    numbers = np.arange(1, 23)
    assert (character(numbers) == 1).all()
    assert (character(numbers, Q) == 1).all()
    assert pow(4, Q, P) == 1 != pow(4, 2, P)


@given(ELEMENTS, ELEMENTS)
def test_exponentials_and_logarithms(a: Residues, b: Residues) -> None:
    f = FIELD
    exp, log, add, mul = f.exp, f.log, f.add, f.mul
    third = f.number(Fraction(1, 3))
    assert same(exp(add(a, b)), mul(exp(a), exp(b)))
    assert same(mul(exp(a), exp(f.neg(a))), f.number(Fraction(1)))
    assert same(f.power(exp(mul(third, a)), Fraction(3)), exp(a))
    assert same(log(mul(a, b)), add(log(a), log(b)))
    assert same(log(f.power(a, Fraction(3))), mul(f.number(Fraction(3)), log(a)))
    assert same(log(f.reciprocal(a)), f.neg(log(a)))
    assert same(exp(log(a)), a)
    assert same(log(exp(a)), a)
    assert same(exp(add(log(a), b)), mul(a, exp(b)))


@given(ELEMENTS, ELEMENTS)
def test_roots_signs_and_order(a: Residues, b: Residues) -> None:
    f = FIELD
    square = f.mul(a, a)
    assert same(f.power(square, Fraction(1, 2)), f.abs(a))
    assert same(f.mul(f.power(square, Fraction(1, 2)), f.power(square, Fraction(1, 2))), square)
    assert same(f.power(f.power(a, Fraction(1, 3)), Fraction(3)), a)
    assert known(f.power(a, Fraction(1, 2))) == bool(character(a.p)[0] == 1)
    assert same(f.sign(f.mul(a, b)), f.mul(f.sign(a), f.sign(b)))
    assert same(f.add(f.maximum(a, b), f.minimum(a, b)), f.add(a, b))
    assert same(f.relu(a), f.mul(f.number(Fraction(1, 2)), f.add(a, f.abs(a))))
    assert f.compare(">", a, b)[0] == f.compare("<", b, a)[0]


@given(ELEMENTS)
def test_opaque_functions(a: Residues) -> None:
    f = FIELD
    one = f.number(Fraction(1))
    assert same(f.add(f.mul(f.sin(a), f.sin(a)), f.mul(f.cos(a), f.cos(a))), one)
    assert same(f.sin(f.neg(a)), f.neg(f.sin(a)))
    assert same(f.cos(f.neg(a)), f.cos(a))
    assert same(f.erf(f.neg(a)), f.neg(f.erf(a)))
    assert not same(f.erf(a), f.sin(a))


@given(ELEMENTS, ELEMENTS)
def test_powers_with_a_variable_exponent(a: Residues, y: Residues) -> None:
    f = FIELD
    x = f.mul(a, a)
    less = f.raised(x, f.sub(y, f.number(Fraction(1))))
    assert same(f.mul(x, less), f.raised(x, y))


@given(st.integers(0, Q - 1))
def test_the_discrete_logarithm(e: int) -> None:
    assert logarithm(exponential(np.array([e]))).tolist() == [e]


def test_numbers() -> None:
    f = FIELD
    half = Fraction(1, 2)
    for n in range(1, 23):
        root = f.power(f.number(Fraction(n)), half)
        assert same(f.mul(root, root), f.number(Fraction(n)))
    root_pi = f.power(f.pi(), half)
    assert same(f.mul(root_pi, root_pi), f.pi())
    assert same(
        f.log(f.number(Fraction(6))), f.add(f.log(f.number(Fraction(2))), f.log(f.number(Fraction(3))))
    )
    assert same(f.exp(f.number(Fraction(0))), f.number(Fraction(1)))
    assert same(f.sin(f.number(Fraction(0))), f.number(Fraction(0)))


def test_what_has_no_value_is_marked_for_its_entry_alone() -> None:
    f = PrimeField(1)
    values = Residues(np.array([[0, 4, P - 1]]), np.array([[0, 4, 1]]))
    inverse, root, log = f.reciprocal(values), f.power(values, Fraction(1, 2)), f.log(values)
    assert inverse.bad is not None
    assert inverse.bad.tolist() == [[True, False, False]]
    assert root.bad is not None
    assert root.bad.tolist() == [[False, False, True]]
    assert log.bad is not None
    assert log.bad.tolist() == [[True, False, False]]
    kept = f.select(np.array([False, True, True]), inverse, values)
    assert kept.bad is not None
    assert not kept.bad.any()


def test_late_parts_of_a_long_chain_need_no_recursion() -> None:
    f = FIELD
    x = element(5, 7)
    for _ in range(5_000):
        x = f.add(f.mul(x, x), x)
    assert x.exponent().shape == (1,)
    assert same(f.mul(f.exp(x), f.exp(f.neg(x))), f.number(Fraction(1)))


def test_functions_are_fixed_by_the_key() -> None:
    x = element(12345, 6)
    assert PrimeField(1, key=1).erf(x).p == PrimeField(1, key=1).erf(x).p
    assert PrimeField(1, key=1).erf(x).p != PrimeField(1, key=2).erf(x).p
