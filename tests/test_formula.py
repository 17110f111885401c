"""Gradient programs: which lines, in which order, and what is written into what."""

from __future__ import annotations

import pytest

from pullback.api import derive

FORMULAS = [
    ("Y = X @ W", None, "W", ["dW = X.T @ dY"]),
    ("Y = X + b", {"X": "N D", "b": "D"}, "b", ["db = sum(dY, axis=0)"]),
    ("Y = tanh(X)", {"X": "N D"}, "X", ["dX = dY * (1 - Y ** 2)"]),
    ("L = sum(X)", {"X": "N D"}, "X", ["dX = ones([N, D])"]),
    ("Y[p] = X[p + r] * W[r]", {"X": "P+R-1", "W": "R", "Y": "P"}, "W", ["dW[i] = dY[p] * X[p + i]"]),
    ("Y[i] = X[i,i]", {"X": "N N"}, "X", ["dX = diag(dY)"]),
]


@pytest.mark.parametrize(("program", "shapes", "wrt", "lines"), FORMULAS)
def test_formulas(program: str, shapes: dict[str, str] | None, wrt: str, lines: list[str]) -> None:
    formula = derive(program, shapes).gradients[wrt]
    assert list(formula.lines) == lines
    assert str(formula) == "\n".join(lines)
    assert formula.wrt.name == wrt


GUARDED = [
    "Y[i,j] = A[j+1] * (j+1 < N) * X[j+k] * E[k]",
    "Y[i,j] = V[i] * C[k,l] + E[k] * E[l+1] * (l+1 < D)",
    "Y[i] = (j < k) * V[i]",
]


@pytest.mark.parametrize(
    ("program", "shapes", "ranges"),
    [
        (GUARDED[0], {"A": "N", "E": "N", "X": "N+N-1", "Y": "D N"}, {}),
        (GUARDED[1], {"V": "M", "E": "D", "C": "D D", "Y": "M N"}, {}),
        (GUARDED[2], {"V": "M"}, {"j": "N", "k": "N"}),
    ],
)
def test_a_sum_with_a_line_of_its_own_keeps_its_guards(
    program: str, shapes: dict[str, str], ranges: dict[str, str]
) -> None:
    derivation = derive(program, shapes, ranges=ranges)
    assert derivation.report.unknown == 0  # each formula was read again on the way
    assert all(formula.lines[-1].startswith(f"d{name}") for name, formula in derivation.gradients.items())
