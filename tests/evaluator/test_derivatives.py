"""The evaluator's own derivatives, against central differences and PyTorch, in every domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pullback.evaluator import (
    Float64,
    HighPrecision,
    Interpreter,
    Rational,
    Unrepresentable,
    directional,
    evaluate,
    gradients,
    jacobian,
    numeric_gradients,
    random_inputs,
)
from pullback.evaluator.dual import Dual
from pullback.program import Program
from pullback.reading import read_program


@dataclass(frozen=True)
class Case:
    """A program, the sizes at which it is run, and the input to differentiate by."""

    text: str
    shapes: dict[str, str]
    sizes: dict[str, int]
    wrt: str = "X"
    integers: dict[str, Any] = field(default_factory=dict)
    assume: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)

    @property
    def program(self) -> Program:
        return read_program(
            self.text, shapes=self.shapes, integers=self.integers, assume=self.assume, ranges=self.ranges
        )

    def values(self, seed: int = 0) -> dict[str, Any]:
        return random_inputs(self.program.inputs, self.sizes, Float64(), np.random.default_rng(seed))


SQUARE = {"X": "N N"}
WIDE = {"X": "N D"}
AT = {"N": 3, "D": 2}

# Every scalar function, operator and form of index, each in a program whose output is a scalar.
SCALARS = {
    "matmul": Case("L = sum((X @ W)**3)", {"X": "N D", "W": "D M"}, {"N": 2, "D": 3, "M": 4}),
    "quotient": Case("L = sum(A / X)", {"X": "N D", "A": "N D"}, AT, assume={"X": "positive"}),
    "roots": Case("L = sum(sqrt(X) * X**(1/3))", WIDE, AT, assume={"X": "positive"}),
    "power": Case("L = sum(X**A)", {"X": "N D", "A": "N D"}, AT, assume={"X": "positive"}),
    "exponent": Case("L = sum(A**X)", {"X": "N D", "A": "N D"}, AT, assume={"A": "positive"}),
    "exp log": Case("L = sum(exp(X) * log(1 + exp(X)))", WIDE, AT),
    "log1p": Case("L = sum(log1p(X))", WIDE, AT, assume={"X": "positive"}),
    "tanh sigmoid": Case("L = sum(tanh(X) * sigmoid(X))", WIDE, AT),
    "softplus gelu": Case("L = sum(softplus(X) * gelu(X))", WIDE, AT),
    "erf": Case("L = sum(erf(X) * X)", WIDE, AT),
    "arctan": Case(
        "L = sum(arctan(X) * arctan2(X, A))", {"X": "N D", "A": "N D"}, AT, assume={"A": "positive"}
    ),
    "arcsin": Case("L = sum(arcsin(tanh(X)) * arccos(tanh(X)))", WIDE, AT),
    "lgamma": Case("L = sum(lgamma(X) * digamma(X) + polygamma(1, X))", WIDE, AT, assume={"X": "positive"}),
    "sin cos": Case("L = sum(sin(X) * cos(2 * X))", WIDE, AT),
    "relu abs": Case("L = sum(relu(X) * abs(X) + sign(X) * X)", WIDE, AT),
    "maximum": Case("L = sum(maximum(X, A) * minimum(X, A)**2)", {"X": "N D", "A": "N D"}, AT),
    "where": Case("L = sum(where(X > A, X**2, A * X))", {"X": "N D", "A": "N D"}, AT),
    "softmax": Case("L = sum(A * softmax(X, axis=1))", {"X": "N D", "A": "N D"}, AT),
    "log_softmax": Case("L = sum(A * log_softmax(X, axis=0))", {"X": "N D", "A": "N D"}, AT),
    "logsumexp": Case("L = sum(logsumexp(X, axis=1)**2)", WIDE, AT),
    "max min": Case("L = sum(max(X, axis=1) * min(X, axis=1))", WIDE, AT),
    "prod": Case("L = sum(prod(X, axis=1)**2)", WIDE, {"N": 2, "D": 4}),
    "inv": Case("L = sum(A * inv(X))", {"X": "N N", "A": "N N"}, {"N": 3}, assume={"X": "invertible"}),
    "det": Case("L = det(X)**2", SQUARE, {"N": 3}),
    "large det": Case("L = det(X)", SQUARE, {"N": 6}, assume={"X": "invertible"}),
    "logdet": Case("L = logdet(X)", SQUARE, {"N": 3}, assume={"X": "invertible"}),
    "solve": Case("L = sum(solve(X, b)**2)", {"X": "N N", "b": "N"}, {"N": 3}, assume={"X": "invertible"}),
    "solve right": Case("L = sum(solve(A, X)**2)", {"A": "N N", "X": "N D"}, AT, assume={"A": "invertible"}),
    "cholesky": Case("L = sum(A * cholesky(X @ X.T + eye(N)))", {"X": "N N", "A": "N N"}, {"N": 3}),
    "trace": Case("L = trace(X @ X @ X)", SQUARE, {"N": 3}),
    "kron": Case("L = sum(kron(X, X)**2)", WIDE, {"N": 2, "D": 2}),
    "cumsum": Case("L = sum(cumsum(X, axis=0)**2)", WIDE, AT),
    "conv2d": Case(
        "L = sum(conv2d(A, X, stride=2, padding=1)**2)",
        {"A": "N C H W", "X": "O C R S"},
        {"N": 1, "C": 2, "H": 5, "W": 4, "O": 2, "R": 3, "S": 2},
    ),
    "max_pool2d": Case(
        "L = sum(max_pool2d(X, 2)**2)", {"X": "N C 2*P 2*Q"}, {"N": 1, "C": 2, "P": 2, "Q": 1}
    ),
    "take": Case("L = sum(take(X, t)**3)", WIDE, {"N": 3, "D": 2, "B": 4}, integers={"t": ("B", "N")}),
    "shift": Case("y[n] = x[n-1] * x[n] * (n > 0)\nL = y[n]**2", {"x": "N"}, {"N": 4}, wrt="x"),
    "roll": Case("y[n] = x[(n+2) % N] * x[n]\nL = y[n]**2", {"x": "N"}, {"N": 5}, wrt="x"),
    "triangle": Case("L = X[i,j]**2 * (j <= i)", SQUARE, {"N": 3}),
}

ROWS = [pytest.param(case, id=name) for name, case in SCALARS.items()]


def true_gradient(case: Case, values: dict[str, Any], domain: Any) -> Any:
    program = case.program
    found = gradients(
        program.definitions, values, case.sizes, domain, [program.by_name[case.wrt]], program.output
    )
    return found[case.wrt]


def differences(case: Case, values: dict[str, Any]) -> Any:
    program = case.program
    found = numeric_gradients(program.definitions, values, case.sizes, [case.wrt], program.output)
    return found[case.wrt]


def close(a: Any, b: Any, relative: float) -> bool:
    scale = max(1.0, float(np.max(np.abs(b))))
    return bool(np.max(np.abs(np.asarray(a, dtype=float) - b)) <= relative * scale)


@pytest.mark.parametrize("case", ROWS)
def test_duals_agree_with_central_differences(case: Case) -> None:
    values = case.values()
    assert close(true_gradient(case, values, Float64()), differences(case, values), 1e-7)


@pytest.mark.parametrize("case", ROWS)
def test_duals_agree_in_high_precision(case: Case) -> None:
    values = case.values()
    domain = HighPrecision()
    exact = {n: v if v.dtype.kind == "i" else domain.floats(v) for n, v in values.items()}
    precise = true_gradient(case, exact, domain)
    assert close(precise.astype(float), true_gradient(case, values, Float64()), 1e-11)


PLANTED = [
    ("exp", "exp log", lambda self, a: self._chain(self.base.exp(a.value), (a.tangent, lambda: a.value))),
    ("log", "log1p", lambda self, a: self._chain(self.base.log(a.value), (a.tangent, lambda: a.value))),
    ("sin", "sin cos", lambda self, a: self._chain(self.base.sin(a.value), (a.tangent, lambda: a.value))),
    ("cos", "sin cos", lambda self, a: self._chain(self.base.cos(a.value), (a.tangent, lambda: a.value))),
    ("erf", "erf", lambda self, a: self._chain(self.base.erf(a.value), (a.tangent, lambda: a.value))),
    (
        "arctan",
        "arctan",
        lambda self, a: self._chain(self.base.arctan(a.value), (a.tangent, lambda: a.value)),
    ),
    ("sign", "relu abs", lambda self, a: a),
    ("inv", "inv", lambda self, a: type(a)(self.base.inv(a.value), a.tangent)),
    ("logdet", "logdet", lambda self, a: type(a)(self.base.logdet(a.value))),
    ("mul", "softmax", lambda self, a, b: type(a)(self.base.mul(a.value, b.value), a.tangent)),
    (
        "product_total",
        "matmul",
        lambda self, a, b, n: type(a)(self.base.product_total(a.value, b.value, n)),
    ),
    ("power", "roots", lambda self, a, r: type(a)(self.base.power(a.value, r), a.tangent)),
    ("raised", "power", lambda self, a, b: type(a)(self.base.raised(a.value, b.value))),
    ("matmul", "solve right", lambda self, a, b: type(a)(self.base.matmul(a.value, b.value))),
    ("extreme", "max min", lambda self, a, n, r: type(a)(self.base.extreme(a.value, n, r))),
]


@pytest.mark.parametrize(("method", "name", "wrong"), PLANTED, ids=[row[0] for row in PLANTED])
def test_a_wrong_primitive_is_caught(
    method: str, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = SCALARS[name]
    values = case.values()
    monkeypatch.setattr(Dual, method, wrong)
    assert not close(true_gradient(case, values, Float64()), differences(case, values), 1e-7)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["matmul", "tanh sigmoid", "softmax", "inv", "logdet", "softplus gelu"])
def test_duals_agree_with_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    forward = {
        "matmul": lambda X, W: ((X @ W) ** 3).sum(),
        "tanh sigmoid": lambda X: (torch.tanh(X) * torch.sigmoid(X)).sum(),
        "softmax": lambda X, A: (A * torch.softmax(X, dim=1)).sum(),
        "inv": lambda X, A: (A * torch.linalg.inv(X)).sum(),
        "logdet": lambda X: torch.linalg.slogdet(X)[1],
        "softplus gelu": lambda X: (torch.nn.functional.softplus(X) * torch.nn.functional.gelu(X)).sum(),
    }[name]
    values = SCALARS[name].values()
    inputs = {n: torch.tensor(v, requires_grad=True) for n, v in values.items()}
    forward(**inputs).backward()
    assert close(true_gradient(SCALARS[name], values, Float64()), inputs["X"].grad.numpy(), 1e-11)


KINKS = [
    ("L = sum(relu(X))", [-1, 0, 2], [0, 0, 1]),
    ("L = sum(abs(X))", [-1, 0, 2], [-1, 0, 1]),
    ("L = sum(sign(X))", [-1, 0, 2], [0, 0, 0]),
    ("L = sum(maximum(X, 0))", [-1, 0, 2], [0, Fraction(1, 2), 1]),
    ("L = sum(minimum(X, 0))", [-1, 0, 2], [1, Fraction(1, 2), 0]),
    ("L = max(X)", [2, 0, 2], [Fraction(1, 2), 0, Fraction(1, 2)]),
    ("L = min(X)", [1, 1, 1], [Fraction(1, 3)] * 3),
    ("L = prod(X)", [0, 3, 5], [15, 0, 0]),
    ("L = prod(X)", [0, 0, 5], [0, 0, 0]),
    ("L = prod(X)", [2, 3, 5], [15, 10, 6]),
]


@pytest.mark.parametrize(("text", "at", "expected"), KINKS)
def test_kinks_ties_and_zeros_follow_the_convention(text: str, at: list[int], expected: list[Any]) -> None:
    case = Case(text, {"X": "N"}, {"N": 3})
    domain = Rational()
    found = true_gradient(case, {"X": domain.integers(np.array(at))}, domain)
    assert found.tolist() == expected


def test_a_jacobian_has_the_axes_of_the_output_first() -> None:
    case = Case("Y = X @ W", {"X": "N D", "W": "D M"}, {"N": 2, "D": 3, "M": 4})
    values = case.values()
    found = jacobian(case.program.definitions, values, case.sizes, Float64(), "W", "Y")
    expected = np.einsum("nd,mk->nmdk", values["X"], np.eye(4))
    np.testing.assert_allclose(found, expected)


def test_directional_derivatives_of_every_definition() -> None:
    case = Case("A = X * X; L = sum(A * X)", {"X": "N"}, {"N": 3})
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0])
    found = directional(case.program.definitions, {"X": x}, case.sizes, Float64(), {"X": v})
    np.testing.assert_allclose(found["A"], 2 * x * v)
    np.testing.assert_allclose(found["L"], np.sum(3 * x**2 * v))


def test_rationals_refuse_what_is_not_rational() -> None:
    case = Case("L = sum(exp(X))", {"X": "N"}, {"N": 2})
    domain = Rational()
    with pytest.raises(Unrepresentable, match=r"exp\(1\) is not rational"):
        evaluate(case.program.definitions, {"X": domain.integers(np.array([0, 1]))}, case.sizes, domain)


def test_a_long_chain_needs_no_recursion() -> None:
    lines = "; ".join(f"X{k + 1} = tanh(X{k} * X0)" for k in range(400))
    case = Case(lines, {"X0": "N"}, {"N": 2}, wrt="X0")
    interpreter = Interpreter(Float64(), case.sizes, {"X0": np.array([0.5, 2.0])}, case.program.definitions)
    assert np.all(np.isfinite(interpreter.tensor("X400")))


def test_differences_step_over_no_kink() -> None:
    """A kink within the first step is seen by extrapolations that do not meet."""
    program = read_program("L = sum(abs(X - 1))", shapes={"X": "3"})
    x = np.array([1 + 4e-4, 1 - 3e-4, 3.0])
    found = numeric_gradients(program.definitions, {"X": x}, {}, ["X"], "L")["X"]
    np.testing.assert_allclose(found, np.sign(x - 1), atol=1e-9)
