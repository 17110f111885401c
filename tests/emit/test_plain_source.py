"""The code that is printed: the function that a person would write."""

from __future__ import annotations

import ast

import pytest

from pullback.api import derive
from pullback.errors import DomainProblem, NameProblem

LINES = [
    ("Y = X @ W", None, ["dX = dY @ W.T", "dW = X.T @ dY", "return dX, dW"]),
    ("Y = X + b", {"X": "N D", "b": "D"}, ["dX = dY", "db = dY.sum(axis=0)"]),
    ("Y = tanh(X)", {"X": "N D"}, ["Y = np.tanh(X)", "dX = dY * (1 - Y ** 2)"]),
    ("y = W @ x", {"W": "m n", "x": "n"}, ["dW = np.outer(dy, x)", "dx = W.T @ dy"]),
    # a value that has a name is computed once, and a contraction goes to the matrix product
    (
        "M = X * (1 + tanh(X + X**3)) / 2; Y = M @ W",
        {"X": "N D", "W": "D K"},
        ["t = np.tanh(X + X ** 3)\n    M = 0.5 * X * (1 + t)\n"],
    ),
    (
        "H = X @ W; Y = tanh(H)",
        {"X": "B T D", "W": "D K"},
        ['np.einsum("btk,btd->dk", dH, X, optimize=True)'],
    ),
    ("L = sum(X)", {"X": "N D"}, ["N, D = X.shape", "np.ones((N, D)"]),
]


@pytest.mark.parametrize(("program", "shapes", "lines"), LINES)
def test_the_lines(program: str, shapes: dict[str, str] | None, lines: list[str]) -> None:
    source = derive(program, shapes).emit()
    for line in lines:
        assert line in source, source


@pytest.mark.parametrize("program", [row[0] for row in LINES])
def test_it_is_typed_and_says_its_shapes(program: str) -> None:
    source = derive(program, dict(next(row for row in LINES if row[0] == program)[1] or {}) or None).emit()
    (function,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert function.returns is not None
    assert all(argument.annotation is not None for argument in function.args.args)
    text = ast.get_docstring(function) or ""
    assert program in text
    assert "returns d" in text


def test_no_real_input_no_code() -> None:
    with pytest.raises(DomainProblem, match="no real input"):
        derive("Y[i] = (t[i] == 0)", integers={"t": ("B", "V")}).emit()


def test_unknown_targets() -> None:
    with pytest.raises(NameProblem, match="no target fortran"):
        derive("Y = X @ W").emit("fortran")
    with pytest.raises(NameProblem, match="no backend cuda"):
        derive("Y = X @ W").compile("cuda")
