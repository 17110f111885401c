"""Shapes that nobody declares: inferred where one reading is possible."""

from __future__ import annotations

import pytest

from pullback.errors import PullbackError, ShapeProblem
from pullback.reading import read_program
from pullback.sizes import shape_text, size_text

# program, its inputs with their shapes in order
INFERRED: list[tuple[str, str]] = [
    ("Y = X @ W", "X N×D, W D×M"),
    ("y = W @ x", "W N×D, x D"),
    ("y1 = x @ W1\ny2 = y1 @ W2\nL = sum(y2)", "x N, W1 N×D, W2 D×M"),
    ("Y = X @ W\nZ = Y @ V", "X N×D, W D×M, V M×K"),
    ("Y = X @ W + B", "X N×D, W D×M, B N×M"),
    ("Y = N @ W", "N D×M, W M×K"),
    ("L = sum((X @ W - Y)**2)", "X N×D, W D×M, Y N×M"),
    ("f = x @ A @ x + b @ x", "x N, A N×N, b N"),
    ("f = trace(A @ X.T @ B)", "A N×D, X M×D, B M×N"),
    ("f = logdet(A)", "A N×N"),
    ("Y = inv(A) @ B", "A N×N, B N×D"),
    ("x = solve(A, b)", "A N×N, b N"),
    ("Y = outer(a, b)", "a N, b D"),
    ("Y = diag(a) @ X", "a N, X N×D"),
    ("Y = softmax(Q @ K.T, axis=1) @ V", "Q N×D, K M×D, V M×F"),
    ("y = exp(x)", "x N"),
    ("L = sum(x**2)", "x N"),
    ("Y = relu(X)", "X N×D"),
    ("Y = A * B - C", "A N×D, B N×D, C N×D"),
    ("Y = X - mean(X, axis=0, keepdims=True)", "X N×D"),
    ("Y = einsum('bhid,bhjd->bhij', Q, K)", "Q B×H×I×D, K B×H×J×D"),
    ("Y[i,k] = W[i,j] * X[j,k]", "W I×J, X J×K"),
    ("S[i,j] = Q[i,d] * K[j,d]\nP = softmax(S, axis=1)\nO = P @ V", "Q I×D, K J×D, V J×N"),
    ("Y[b,d] = W[t[b],d]", "W V×D, t B in V"),
    ("Y = ones([N, M]) @ W", "W M×D"),
]


@pytest.mark.parametrize(("program", "expected"), INFERRED, ids=[row[0] for row in INFERRED])
def test_inferred(program: str, expected: str) -> None:
    read = read_program(program)
    shown = [
        f"{t.name} {shape_text(t.shape)}" + (f" in {size_text(t.values)}" if t.values is not None else "")
        for t in read.inputs
    ]
    assert ", ".join(shown) == expected
    assert read.inferred == read.inputs


@pytest.mark.parametrize(
    ("program", "shapes", "expected"),
    [
        ("Y = X @ W", {"X": "B 3"}, "X B×3, W 3×N"),
        ("Y = X @ W + b", {"b": "M"}, "b M, X N×D, W D×M"),
        ("Y = X @ W", {"Y": "A B"}, "X A×N, W N×B"),
        ("Y = X @ W", {"u": "U", "X": "N D"}, "u U, X N×D, W D×M"),
        ("Y = X @ W\nZ = Y * s", {"s": ""}, "s a scalar, X N×D, W D×M"),
    ],
)
def test_declared_shapes_lead(program: str, shapes: dict[str, str], expected: str) -> None:
    read = read_program(program, shapes=shapes)
    assert ", ".join(f"{t.name} {shape_text(t.shape)}" for t in read.inputs) == expected
    assert {t.name for t in read.inferred} == {t.name for t in read.inputs} - shapes.keys()


@pytest.mark.parametrize(
    ("program", "name"),
    [("Y = X @ W + b", "b"), ("L = sum(X @ W) / N", "N"), ("y = a * b", "a"), ("y = W @ x * s", "s")],
)
def test_more_than_one_reading_is_refused(program: str, name: str) -> None:
    with pytest.raises(ShapeProblem, match=f"the shape of {name} cannot be inferred") as caught:
        read_program(program)
    assert f"{name}: [" in caught.value.hint


def test_inference_never_hides_a_clash() -> None:
    with pytest.raises(PullbackError, match="do not meet"):
        read_program("Y = X @ W\nZ = X @ V\nU = W @ A + A.T", shapes={"W": "D M", "V": "E M", "X": "N D"})
