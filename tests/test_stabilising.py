"""Stable forms from outside: the derivation shows them, the backward pass runs them, and no value is lost."""

from __future__ import annotations

import json
import math
from typing import Any

import mpmath
import numpy as np
import pytest

from pullback import derive
from pullback.api import Derivation
from pullback.emit import run_source
from pullback.emit.numpy_spelling import HELPERS
from pullback.notation import show_equation
from pullback.reading import read_program
from pullback.stabilising import stabilise

CROSS_ENTROPY = "Z[n] = exp(x[n,c]); l[n] = log(Z[n]) - x[n,t[n]]; L = l[n] / N"
CAUSAL = "Z[i] = exp(S[i,j]) * (j <= i); P[i,j] = exp(S[i,j]) * (j <= i) / Z[i]"
CAUSAL_LOSS = "Z[i] = exp(S[i,j]) * (j <= i); L = log(Z[i]) - S[i,i]"
MATRIX, SQUARE, VECTOR = {"X": "N D"}, {"S": "N N"}, {"X": "N"}

# program, shapes: the whole exponent range of float64 goes in, and finite numbers come out
EXTREME = [
    ("Y = log(sum(exp(X), axis=1))", MATRIX),
    ("Y = log(mean(exp(X), axis=1))", MATRIX),
    ("Z[n] = exp(X[n,c]); Y[n] = log(Z[n])", MATRIX),
    ("Y = exp(X) / sum(exp(X), axis=1, keepdims=True)", MATRIX),
    ("E[n,d] = exp(X[n,d]); Z[n] = E[n,d]; Y[n,d] = E[n,d] / Z[n]", MATRIX),
    ("Y = log(softmax(X, axis=1))", MATRIX),
    ("Y = -sum(softmax(X, axis=1) * log(softmax(X, axis=1)))", MATRIX),
    ("Y = log(1 + exp(X))", MATRIX),
    ("Y = log(sigmoid(X))", MATRIX),
    ("Y = log(1 - sigmoid(X))", MATRIX),
    ("Y = 1 / (1 + exp(-X))", MATRIX),
    ("Y = exp(X) / (1 + exp(X))", MATRIX),
    ("Y = 1 - sigmoid(X)", MATRIX),
    ("Y = log(exp(X) + exp(2 * X))", MATRIX),
    ("Y = (exp(X) - exp(-X)) / (exp(X) + exp(-X))", MATRIX),
    ("Y = norm(X, axis=1)", MATRIX),
    ("Y = sqrt(sum(X**2))", MATRIX),
    ("Y = sqrt(X**2)", MATRIX),
    (CAUSAL, SQUARE),
    (CAUSAL_LOSS, SQUARE),
]


def test_a_user_keeps_the_names_and_the_backward_pass_does_not_read_what_overflows() -> None:
    derivation = derive(CROSS_ENTROPY, {"x": "N C"}, integers={"t": ("N", "C")})
    assert str(derivation.gradients["x"]) == "dx = (softmax(x, axis=1) - onehot(t, C)) / N"
    assert {"Z", "l", "L"} <= set(derivation.program.by_name)
    assert "np.exp(x)" not in derivation.compile().source.split("def backward")[1]


def test_the_rewritten_lines_are_steps_of_the_derivation_and_exact() -> None:
    derivation = derive(CROSS_ENTROPY, {"x": "N C"}, integers={"t": ("N", "C")})
    (step,) = derivation.derived.rewrites
    assert show_equation(step.before) == "l[n] = log(Z[n]) - x[n,t[n]]"
    assert show_equation(step.after) == "l[n] = logsumexp(c: x[n,c]) - x[n,t[n]]"
    assert (step.rule, step.status) == ("stable form", "exact")
    assert derivation.steps[0] == step
    assert json.loads(derivation.json())["rewrites"][0]["after"]["text"] == show_equation(step.after)
    text = derivation.text()
    assert text.index("Rewritten for stability") < text.index("Step by step")


def test_a_program_without_exponentials_stays_as_it_is() -> None:
    program = read_program("Y = X @ W")
    assert stabilise(program) == (program, ())
    assert "Rewritten" not in derive("Y = X @ W").text()


def test_an_index_program_gets_the_gradient_of_the_matrix_program() -> None:
    index = derive("E[n,d] = exp(X[n,d]); Z[n] = E[n,d]; Y[n,d] = E[n,d] / Z[n]", MATRIX)
    matrix = derive("Y = softmax(X, axis=1)", MATRIX)
    assert str(index.gradients["X"]) == str(matrix.gradients["X"])


@pytest.mark.parametrize(("program", "shapes"), EXTREME, ids=[row[0] for row in EXTREME])
def test_the_whole_exponent_range_gives_finite_gradients(program: str, shapes: dict[str, str]) -> None:
    derivation = derive(program, shapes)
    (name,) = shapes
    rng = np.random.default_rng(5)
    for _ in range(20):
        x = rng.choice([-1.0, 1.0], (5, 5)) * 10.0 ** rng.uniform(-300, 300, (5, 5))
        assert np.isfinite(gradient(derivation, name, x)).all()


@pytest.mark.parametrize(("program", "shapes"), EXTREME, ids=[row[0] for row in EXTREME])
def test_float32_stays_float32(program: str, shapes: dict[str, str]) -> None:
    derivation = derive(program, shapes)
    (name,) = shapes
    x = np.random.default_rng(6).uniform(-80, 80, (4, 4)).astype(np.float32)
    found = gradient(derivation, name, x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, gradient(derivation, name, x.astype(float)), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    "program", ["f = norm(X)", "f = norm(X, axis=1)", "f = sqrt(sum(X**2))", "Y = sqrt(X**2)"]
)
def test_the_gradient_of_a_norm_at_zero_is_zero(program: str) -> None:
    derivation = derive(program, MATRIX)
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    expected = {"f = norm(X, axis=1)": x / 5, "Y = sqrt(X**2)": np.sign(x)}.get(program, x / 5)
    np.testing.assert_allclose(gradient(derivation, "X", x), expected, rtol=1e-15)
    assert not gradient(derivation, "X", np.zeros((2, 2))).any()
    assert "0" in "".join(derivation.derived.conventions)


def test_the_gradient_of_a_product_with_a_zero_whose_axis_is_kept() -> None:
    derivation = derive("y = prod(X, axis=1, keepdims=True)", MATRIX)
    assert str(derivation.gradients["X"]) == "dX = dy * y / X"
    x, ones = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 4.0]]), np.ones((3, 1))
    expected = [[6.0, 0.0, 0.0], [0.0, 0.0, 0.0], [8.0, 4.0, 2.0]]
    np.testing.assert_array_equal(derivation.compile()({"X": x}, ones)["X"], expected)


def test_a_root_of_two_squares_keeps_its_digits_at_every_exponent() -> None:
    derivation = derive("y = sqrt(x**2 + z**2)", {"x": "N", "z": "N"})
    scale = 10.0 ** np.array([-300.0, -170.0, 0.0, 170.0, 300.0])
    found = derivation.compile()({"x": 3 * scale, "z": 4 * scale}, np.ones(5))
    np.testing.assert_allclose(found["x"], np.full(5, 0.6), rtol=1e-15)
    np.testing.assert_allclose(found["z"], np.full(5, 0.8), rtol=1e-15)


def test_a_masked_row_with_one_entry_left_is_sure_of_it() -> None:
    s = np.array([[1.0, 1e300], [-1e300, -1e299]])
    assert not gradient(derive(CAUSAL, SQUARE), "S", s).any()


def test_rows_without_a_finite_entry() -> None:
    lse = run_source(HELPERS["logsumexp"], "logsumexp")
    inf = np.inf
    x = np.array([[-inf, -inf], [inf, 0.0], [-inf, 2.0], [1e308, 1e308], [0.0, -40.0]])
    with np.errstate(all="ignore"):
        found = lse(x, axis=1)
    np.testing.assert_allclose(found, [-inf, inf, 2.0, 1e308, np.exp(-40.0)], rtol=1e-15)


TRUE = [
    ("Y = log(1 + exp(X))", lambda x: 1 / (1 + mpmath.exp(-x)), 2),
    ("Y = log(sigmoid(X))", lambda x: 1 / (1 + mpmath.exp(x)), 2),
    ("Y = 1 / (1 + exp(-X))", lambda x: 1 / (1 + mpmath.exp(-x)) / (1 + mpmath.exp(x)), 3),
    ("Y = exp(X) - X", mpmath.expm1, 1),
    ("Y = X - sin(X)", lambda x: 2 * mpmath.sin(x / 2) ** 2, 2),
]  # fmt: skip


@pytest.mark.parametrize(("program", "true", "ulps"), TRUE, ids=[row[0] for row in TRUE])
def test_within_a_few_ulp_of_fifty_digits(program: str, true: Any, ulps: float) -> None:
    x = np.concatenate([np.geomspace(1e-100, 0.9, 40), -np.geomspace(1e-100, 0.9, 40)])
    found = gradient(derive(program, VECTOR), "X", x)
    with mpmath.workdps(50):
        for point, value in zip(x, found, strict=True):
            exact = true(mpmath.mpf(float(point)))
            assert abs(mpmath.mpf(float(value)) - exact) <= ulps * float(np.spacing(abs(float(exact))))


def test_many_rewritten_lines_take_time_in_proportion() -> None:
    lines = [f"y{k + 1} = log(1 + exp(y{k}))" for k in range(300)]
    program = read_program("\n".join(lines), shapes={"y0": "N"})
    _, steps = stabilise(program)
    assert len(steps) == 300


def gradient(derivation: Derivation, name: str, x: Any) -> Any:
    """The gradient for an upstream gradient of ones, where the output is no scalar."""
    output = derivation.program.output
    upstream = np.ones(x.shape[: output.rank], dtype=x.dtype) if output.rank else None
    with np.errstate(all="ignore"):
        return derivation.compile()({name: x}, upstream)[name]


LARGE = [
    # program, x, the gradient
    ("y = log(exp(X) - 1)", [1e-20, 800.0, 0.5], [1e20, 1.0, 1 / (1 - math.exp(-0.5))]),
    ("L = sum(1 / (exp(X) - 1))", [800.0, 1.0], [0.0, -math.e / (math.e - 1) ** 2]),
    ("y = X / sqrt(sum(X**2))", [3e200, 4e200], [0.16e-200 / 5, -0.12e-200 / 5]),
]


@pytest.mark.parametrize(("program", "x", "expected"), LARGE, ids=[row[0] for row in LARGE])
def test_a_value_that_exists_is_found_where_its_parts_overflow(
    program: str, x: list[float], expected: list[float]
) -> None:
    backward = derive(program, {"X": "N"}).compile()
    with np.errstate(over="ignore"):
        found = backward({"X": np.array(x)}, np.ones(len(x)) if program.startswith("y") else None)
    np.testing.assert_allclose(found["X"], expected, rtol=1e-13, atol=0)
