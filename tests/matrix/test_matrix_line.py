"""Equations for one element and the matrix line that each is, or that there is none."""

from __future__ import annotations

import pytest

from pullback.matrix import matrix_line, shape_line
from pullback.reading import read_program

SHAPES = {
    "A": "N N", "X": "N D", "W": "D M", "S": "N M", "F": "K N D", "C": "K D M",
    "x": "N", "y": "N", "d": "D", "a": "", "R": "1 D", "Q": "N 1",
}  # fmt: skip

LINES = [
    ("Y[i,k] = X[i,j] * W[j,k]", "X @ W"),
    ("Y[k,i] = X[i,j] * W[j,k]", "W.T @ X.T"),
    ("Y[j,k] = X[i,j] * S[i,k]", "X.T @ S"),
    ("Y[j,i] = X[i,j]", "X.T"),
    ("Y[j] = X[i,j]", "sum(X, axis=0)"),
    ("L = X[i,j]", "sum(X)"),
    ("Y[i] = X[i,j] * d[j]", "X @ d"),
    ("L = x[i] * y[i]", "x @ y"),
    ("Y[i,j] = x[i] * d[j]", "outer(x, d)"),
    ("Y[i] = A[i,i]", "diag(A)"),
    ("Y[i,j] = X[i,j] * d[j]", "X * d"),
    ("Y[i,j] = X[i,j] / d[j]", "X / d"),
    ("Y[i,j] = X[i,j] * a", "a * X"),
    ("Y[i,j] = tanh(X[i,j]) + d[j]", "tanh(X) + d"),
    ("Y[i,j] = A[i,j] * (j <= i)", "tril(A)"),
    ("Y[i,j] = A[i,j] * (j >= i)", "triu(A)"),
    ("Y[i,j] = A[i,j] * (j < i)", "tril(A, -1)"),
    ("Y[b,i,k] = F[b,i,j] * C[b,j,k]", "F @ C"),
    ("Y[i,j] = E[t[i],j]", "take(E, t, axis=0)"),
    ("Y[i,j] = (t[i] == j) * 2", "2 * onehot(t, V)"),
    ("Y[i,j] = R[0,j] * X[i,j]", "R * X"),
]  # fmt: skip


def line_of(program: str) -> str | None:
    words = set("".join(c if c.isalnum() else " " for c in program).split())
    shapes = {name: shape for name, shape in SHAPES.items() if name in words}
    integers = {"t": ("N", "V")} if "t" in words else {}
    shapes |= {"E": "V D"} if "E" in words else {}
    shapes |= {"Y": "N V"} if "onehot" in str(LINES) and "(t[i] == j)" in program else {}
    definition = read_program(program, shapes=shapes, integers=integers).definitions[-1]
    line = matrix_line(definition)
    return None if line is None else line.text


@pytest.mark.parametrize(("program", "text"), LINES)
def test_the_line(program: str, text: str) -> None:
    assert line_of(program) == text


def test_a_line_may_come_out_with_its_factors_exchanged_but_means_the_same() -> None:
    assert line_of("Y[i,j] = d[j] * X[i,j]") in ("d * X", "X * d")


NONE = [
    ("Y[p] = X[p + r] * K[r]", {"X": "P+R-1", "K": "R", "Y": "P"}),
]


@pytest.mark.parametrize(("program", "shapes"), NONE)
def test_there_is_none(program: str, shapes: dict[str, str]) -> None:
    assert matrix_line(read_program(program, shapes=shapes).definitions[-1]) is None


SIZES = [
    ("Y[i,k] = X[i,j] * W[j,k]", 2),
    ("Y[i,j] = x[i] * d[j]", 2),
    ("Y[i,j] = tanh(X[i,j])", 0),
]


@pytest.mark.parametrize(("program", "factors"), SIZES)
def test_the_sizes_that_meet(program: str, factors: int) -> None:
    words = set("".join(c if c.isalnum() else " " for c in program).split())
    shapes = {name: shape for name, shape in SHAPES.items() if name in words}
    definition = read_program(program, shapes=shapes).definitions[-1]
    line = matrix_line(definition)
    assert line is not None
    shown = shape_line(line, definition)
    assert len(shown.factors) == factors
    assert shown.result == definition.tensor.shape
