"""Other ways to write a sum: the same value, and only where two parts exclude or complete each other."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.evaluator.floats import Float64
from pullback.evaluator.floats import array as array_of
from pullback.evaluator.interpret import Interpreter
from pullback.expression import Access, Bracket, Expr, Index, Size, Tensor, add, call, mul, neg, num
from pullback.notation import show
from pullback.rulebooks.alternatives import completed, either

N = Size("N")
i = Index("i", N)
x, y = (Access(Tensor(name, (N,)), (i,)) for name in "xy")
VALUES = {"x": np.array([1.5, -0.5, 0.0]), "y": np.array([2.0, 3.0, -1.0])}
ABOVE, NOT_ABOVE, BELOW = (Bracket(r, x, num(0)) for r in (">", "<=", "<"))
S, OPPOSITE = call("sigmoid", x), call("sigmoid", neg(x))


def value(e: Expr) -> np.ndarray:
    domain = Float64()
    values = {name: array_of(array) for name, array in VALUES.items()}
    return np.asarray(Interpreter(domain, {"N": 3}, values).element_values(e, [i]))


EITHER = [
    (add(mul(ABOVE, y), mul(num(2), NOT_ABOVE)), "where([x[i] > 0], y[i], 2)"),
    (add(NOT_ABOVE, mul(ABOVE, y)), "where([x[i] ≤ 0], 1, y[i])"),
    (add(mul(ABOVE, y), mul(num(2), BELOW)), None),  # both fail at 0
    (add(mul(ABOVE, y), NOT_ABOVE, x), None),
]
COMPLETED = [
    (add(S, neg(OPPOSITE)), "tanh(0.5 x[i])"),
    (add(mul(y, OPPOSITE), neg(mul(y, S))), "-y[i] tanh(0.5 x[i])"),
    (add(mul(y, OPPOSITE), S), "y[i] (1 - sigmoid(x[i])) + sigmoid(x[i])"),
    (mul(y, OPPOSITE), None),  # alone it keeps its precision
]


@pytest.mark.parametrize(("e", "expected"), EITHER)
def test_one_of_two_by_a_condition(e: Expr, expected: str | None) -> None:
    found = either(e)
    assert found is e if expected is None else show(found) == expected
    assert np.allclose(value(found), value(e), rtol=1e-14)


@pytest.mark.parametrize(("e", "expected"), COMPLETED)
def test_a_sigmoid_and_its_opposite(e: Expr, expected: str | None) -> None:
    found = completed(e)
    assert found is e if expected is None else show(found) == expected
    assert np.allclose(value(found), value(e), rtol=1e-14)
