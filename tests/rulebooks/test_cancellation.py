"""Laws against cancellation at saturation, and against 0 times infinity, in code that runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pullback import derive
from pullback.evaluator import Checker
from pullback.naming import Names
from pullback.reading import read_program
from pullback.stabilising import stable_definitions

FAR = [
    ("Y = X * sigmoid(X)", 1e200, 1.0),
    ("Y = X * sigmoid(X)", 40.0, 1.0 + 39 * math.exp(-40)),
    ("Y = X / (1 + exp(-X))", 1e200, 1.0),
    ("Y = X / (1 + exp(-X))", -1e200, 0.0),
    ("Y = X * tanh(softplus(X))", 1e200, 1.0),
    ("Y = X / (1 + abs(X))", 2.0**60, 2.0**-120),
    ("Y = log((exp(X) + exp(-X)) / 2)", 1e-30, 1e-30),
    ("Y = 2 * softplus(X) - X", 1e-30, 5e-31),
    ("Y = where(X > 0, X, exp(X) - 1)", 1e4, 1.0),
    ("Y = where(X > 0, X, exp(X) - 1)", -1e4, 0.0),
    ("Y = where(X > 0, log(X), 0)", 0.0, 0.0),
    ("Y = where(X != 0, 1 / X, 0)", 0.0, 0.0),
    ("Y = minimum(exp(X), 2)", 1e4, 0.0),
    ("r = exp(X); Y = maximum(minimum(r, 2), 1) * 3", 1e4, 0.0),
    ("E = X * log(X); Y = E * E + X", 0.0, -math.inf),
]


@pytest.mark.parametrize(("program", "x", "slope"), FAR)
def test_gradients_far_out(program: str, x: float, slope: float) -> None:
    backward = derive(program, {"X": "N"}).compile()
    with np.errstate(all="ignore"):
        found = backward({"X": np.array([x, 0.5])}, np.ones(2))["X"]
    if math.isinf(slope):
        assert not np.isnan(found[1])
    else:
        assert found[0] == pytest.approx(slope, rel=1e-15, abs=0)


def test_a_clipped_ratio_has_no_gradient_where_it_overflows() -> None:
    program = "r = exp(X - Z); L = -mean(minimum(r * A, minimum(maximum(r, 0.8), 1.2) * A))"
    backward = derive(program, {"X": "N", "Z": "N", "A": "N"}).compile()
    with np.errstate(over="ignore"):
        found = backward({"X": np.array([800.0, 0.0]), "Z": np.array([0.0, 0.0]), "A": np.array([2.0, 3.0])})
    assert found["X"].tolist() == [0.0, -1.5]
    assert found["A"].tolist() == [-0.6, -0.5]


def test_a_share_of_nothing_has_no_entropy() -> None:
    program = "S = p * log(p); L = sum(S * S) + sum(p)"
    with np.errstate(divide="ignore"):
        found = derive(program, {"p": "N"}).compile()({"p": np.array([1.0, 0.5])})["p"]
    assert found == pytest.approx([1.0, 1.0 + 2 * 0.5 * math.log(0.5) * (math.log(0.5) + 1)])


def test_a_product_has_a_gradient_where_an_entry_is_zero() -> None:
    backward = derive("y = prod(X, axis=1)", {"X": "N D"}).compile()
    x = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 2.0], [1.0, 2.0, 3.0]])
    assert backward({"X": x}, np.ones(3))["X"].tolist() == [[6, 0, 0], [0, 0, 0], [6, 3, 2]]


@pytest.mark.parametrize("program", ["y = where(x > 0, log(x), 0)", "y = sum(relu(x)) ** 0.5"])
def test_a_mask_wins_over_a_pole_in_scalars_too(program: str) -> None:
    with np.errstate(divide="ignore"):
        assert derive(program, {"x": ""}).compile()({"x": np.array(0.0)})["x"] == 0


LAWS: list[tuple[str, Any]] = [
    ("Y = sigmoid(X) * (1 - X) + X", "p (c - f) + f"),
    ("Y = tanh(X) * (1 - X * tanh(X)) + X", "p (c - f) + f"),
    ("Y = 1 - X**2 / (X**2 + 3)", "1 - a / (a + b)"),
    ("Y = 2 - 2 * X**2 / (X**2 + 3)", "1 - a / (a + b)"),
    ("Y = sigmoid(X) - sigmoid(-X)", "tanh(x / 2)"),
    ("Y = 3 - 6 * sigmoid(X)", "tanh(x / 2)"),
    ("Y = (X > 0) * exp(X) * 2", "a factor that is masked"),
    ("Y = X * log(X)", "x log(x) is 0 at 0"),
]


@pytest.mark.parametrize(("program", "note"), LAWS)
def test_a_law_is_recorded_and_exact(program: str, note: str) -> None:
    read = read_program(program, shapes={"X": "N"})
    found = stable_definitions(read.definitions, (), Names(read), deep=True)
    assert note in "; ".join(step.note for step in found.steps)
    checker = Checker(read.definitions, read.inputs)
    (step,) = found.steps
    outcome = checker.equal(step.before.right, step.after.right, read.definitions[-1].indices)
    assert outcome.status == "equal"


@pytest.mark.parametrize(
    "program",
    [
        "Y = sigmoid(X) * (1 - X) + 2 * X",
        "Y = 1 - X / (3 + exp(X))",
        "Y = 2 * sigmoid(X) - 2",
        "Y = (X > 0) * X",
        "Y = X * log(X + 1)",
    ],
)
def test_what_is_no_such_form_stays(program: str) -> None:
    read = read_program(program, shapes={"X": "N"})
    notes = "; ".join(s.note for s in stable_definitions(read.definitions, (), Names(read), deep=True).steps)
    assert not any(note in notes for _, note in LAWS)
