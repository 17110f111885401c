"""Sizes of axes in normal form."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pullback.errors import PullbackError, ShapeProblem
from pullback.expression import Expr, Size, add, call, mul, num
from pullback.reading import parse_shapes
from pullback.sizes import evaluate_size, exact_quotient, normal_size, same_size, size_text


def size(text: str) -> Expr:
    (extent,) = parse_shapes(f"x: [{text}]")["x"]
    return extent


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("N + N - 1", "2*N-1"),
        ("3 + N", "N+3"),
        ("(N+1)*(N-1)", "N*N-1"),
        ("M*N - N*M + 2", "2"),
        ("(2*P - 2)//2 + 1", "P"),
        ("(2*P + 1)//2", "P"),
        ("(H-R)//2 + 1", "(H-R)//2+1"),
        ("(4*H + R)//2", "2*H+R//2"),
        ("(4*H + 3) % 4", "3"),
        ("(N*M)//M", "N"),
        ("7//2", "3"),
        ("4*N / 2", "2*N"),
        ("N**2", "N*N"),
    ],
)
def test_normal_forms(text: str, normal: str) -> None:
    assert size_text(size(text)) == normal


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("2*N-1", "N+N-1", True),
        ("(H-R)//2+1", "1+(H-R)//2", True),
        ("N", "M", False),
        ("N//2*2", "N", False),
        ("N*(M+1)", "N*M+N", True),
    ],
)
def test_same_size(a: str, b: str, same: bool) -> None:
    assert same_size(size(a), size(b)) is same


def test_exact_quotients() -> None:
    assert exact_quotient(size("6*N*M"), size("3*M")) is size("2*N")
    assert exact_quotient(size("N+1"), size("N")) is None
    assert exact_quotient(size("3*N"), size("2")) is None
    assert exact_quotient(size("N"), num(0)) is None


@pytest.mark.parametrize("e", [call("floordiv", Size("N"), num(0)), call("mod", num(3), num(0))])
def test_division_by_zero_is_refused(e: Expr) -> None:
    with pytest.raises(ShapeProblem):
        normal_size(e)
    with pytest.raises(ShapeProblem):
        evaluate_size(e, {"N": 3})


def test_a_symbol_without_a_value() -> None:
    with pytest.raises(ShapeProblem, match="size M has no value"):
        evaluate_size(size("N*M"), {"N": 2})


leaves = st.one_of(st.integers(-3, 5).map(num), st.sampled_from([Size("N"), Size("M"), Size("K")]))
expressions = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.builds(add, below, below),
        st.builds(mul, below, below),
        st.builds(lambda a, b: call("floordiv", a, b), below, st.integers(1, 4).map(num)),
        st.builds(lambda a, b: call("mod", a, b), below, st.integers(1, 4).map(num)),
        st.builds(lambda a, b: call("floordiv", a, b), below, below),
    ),
    max_leaves=8,
)


@given(expressions, st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_the_normal_form_has_the_same_value(e: Expr, n: int, m: int, k: int) -> None:
    values = {"N": n, "M": m, "K": k}
    try:
        expected = evaluate_size(e, values)
        normal = normal_size(e)
    except PullbackError:
        assume(False)
    assert evaluate_size(normal, values) == expected
    assert normal_size(normal) is normal
