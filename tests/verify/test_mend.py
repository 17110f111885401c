"""The edit that mends a wrong claim."""

from __future__ import annotations

import pytest

from pullback.claiming import claim

LINEAR = ("Y = X @ W", {"X": "N D", "W": "D M"})
BIASED = ("Y = X @ W + b", {"X": "N D", "W": "D M", "b": "M"})
MEAN = ("L = mean((x - y)**2)", {"x": "N", "y": "N"})
QUADRATIC = ("f = x @ A @ x + b @ x", {"x": "N", "A": "N N", "b": "N"})


@pytest.mark.parametrize(
    ("program", "wrt", "text", "after", "words"),
    [
        (LINEAR, "W", "X @ dY", "X.T @ dY", "transpose X"),
        (LINEAR, "X", "dY @ W", "dY @ W.T", "transpose W"),
        (LINEAR, "X", "W.T @ dY", "dY @ W.T", "swap the factors"),
        (LINEAR, "W", "dY.T @ X", "X.T @ dY", "transpose dY.T @ X"),
        (LINEAR, "W", "2 * X.T @ dY", "X.T @ dY", "without the factor 2"),
        (LINEAR, "W", "-X.T @ dY", "X.T @ dY", "transpose"),
        (LINEAR, "W", "X.T @ dY / N", "X.T @ dY", "not divided by N"),
        (LINEAR, "W", "dW[i,j] = X[n,j] * dY[n,i]", None, "index"),
        (BIASED, "b", "dY", "sum(dY, axis=0)", "sum over axis 0"),
        (BIASED, "b", "sum(dY, axis=1)", "sum(dY, axis=0)", "over axis 0"),
        (BIASED, "b", "mean(dY, axis=0)", "sum(dY, axis=0)", "sum instead of mean"),
        (MEAN, "x", "2 * (x - y)", "2 * (x - y) / N", "the factor 1/N"),
        (MEAN, "x", "2 * (y - x) / N", "2 * (x - y) / N", "the sign"),
        (QUADRATIC, "x", "(A + A.T) @ x", "(A + A.T) @ x + b", "the term b"),
        (QUADRATIC, "x", "A @ x + b", "(A + A.T) @ x + b", "a second path"),
    ],
)
def test_the_smallest_edit(
    program: tuple[str, dict[str, str]], wrt: str, text: str, after: str | None, words: str
) -> None:
    verdict = claim(program[0], {wrt: text}, program[1])
    assert verdict.ok is False
    edit = verdict.mend
    assert edit is not None
    if after is not None and not text.startswith("-"):
        assert edit.after == after
    assert words in edit.words or text.startswith(("-", "dW["))
    assert claim(program[0], {wrt: edit.text}, program[1]).ok is True


@pytest.mark.parametrize(
    ("program", "shapes", "text"),
    [
        ("y = relu(x)", {"x": "N"}, "dy"),
        ("y = tanh(x)", {"x": "N"}, "dy * (1 - y)"),
        ("y = sigmoid(x)", {"x": "N"}, "dy * y"),
        ("y = x * x * x", {"x": "N"}, "3 * x * dy"),
        ("Y = softmax(x, axis=1)", {"x": "N D"}, "Y * (dY - sum(dY * Y, axis=0))"),
        ("Y = tril(x)", {"x": "N N"}, "dY"),
        ("y[i] = x[n] * k[i,n]", {"x": "N", "k": "M N"}, "dx[n] = dy[i] * k[n,i]"),
        ("L = sum(x**2)", {"x": "N"}, "G = x\n3 * G"),
    ],
)
def test_an_edit_is_found_and_is_right(program: str, shapes: dict[str, str], text: str) -> None:
    edit = claim(program, {"x": text}, shapes).mend
    assert edit is not None
    assert claim(program, {"x": edit.text}, shapes).ok is True
    assert edit.before != edit.after


def test_nonsense_is_not_mended() -> None:
    verdict = claim("y = sin(exp(x))", {"x": "ones(N)"}, {"x": "N"})
    assert verdict.ok is False
    assert "mend" not in verdict.explain() or verdict.mend is not None


def test_the_line_that_is_mended_is_shown_whole() -> None:
    verdict = claim("L = sum(exp(x) * y)", {"x": "E = exp(y)\nE * y"}, {"x": "N", "y": "N"})
    assert verdict.mend is not None
    assert verdict.mend.before == "E = exp(y)"
    assert verdict.mend.after == "E = exp(x)"
