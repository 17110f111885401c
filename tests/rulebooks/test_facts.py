"""Laws of declared facts: masks, zero diagonals and distributions in derived gradients."""

from __future__ import annotations

import pytest

from pullback import derive

ROWS = [
    ("binary(M); L = sum(M * M * X)", {"X": "N D", "M": "N D"}, "X", "dX = M"),
    ("M: [N, D]; L = sum(M * M * X)", {"X": "N D"}, "X", "dX = M ** 2"),
    ("binary(M); E = M * (X - Y); L = sum(E * E) / 2", {"X": "N", "Y": "N", "M": "N"}, "X", "dX = E"),
    ("zero_diagonal(D); L = trace(D * X)", {"D": "N N", "X": "N N"}, "X", "dX = zeros([N, N])"),
    ("simplex(p); L = -sum(p * log_softmax(x))", {"p": "N", "x": "N"}, "x", "dx = softmax(x) - p"),
    ("simplex(T, axis=0); L = -sum(T * log_softmax(X, axis=0))", {"T": "C N", "X": "C N"}, "X",
     "dX = softmax(X, axis=0) - T"),
    ("simplex(T, axis=0); L = -sum(T * log_softmax(X, axis=1))", {"T": "C N", "X": "C N"}, "X",
     "dX = softmax(X, axis=1) * sum(T, axis=1, keepdims=True) - T"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "shapes", "x", "formula"), ROWS)
def test_a_fact_shortens_the_gradient(program: str, shapes: dict[str, str], x: str, formula: str) -> None:
    derivation = derive(program, shapes, wrt=[x])
    assert str(derivation.gradients[x]) == formula
    assert derivation.report.unknown == derivation.report.numerical == 0


def test_entries_of_a_distribution_are_differentiated_as_independent_ones() -> None:
    derivation = derive("simplex(p); L = sum(p * x) * sum(p)", {"p": "N", "x": "N"}, wrt=["p"])
    hessian = derivation.hessian("p")
    assert hessian({"p": [0.5, 0.5], "x": [1.0, 2.0]}).tolist() == [[2.0, 3.0], [3.0, 4.0]]
