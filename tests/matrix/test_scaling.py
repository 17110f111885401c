"""Scalar factors are gathered from a whole product and written in one place."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from pullback.matrix.peephole import polished

RANKS = {"X": 2, "Y": 2, "r": 1, "s": 1}
VALUES = {
    "X": np.arange(6.0).reshape(2, 3) + 1,
    "Y": np.arange(6.0).reshape(3, 2) - 2,
    "r": np.array([2.0, -1.0, 4.0]),
    "s": np.array([3.0, 5.0]),
    "N": 7.0, "M": 3.0, "a": 0.5,
    "ones": np.ones, "sum": np.sum, "sqrt": np.sqrt, "exp": np.exp, "outer": np.outer,
}  # fmt: skip

REWRITTEN = [
    # a difference takes a minus in, any other number stays in front
    ("-((X - Y.T) @ Y)", "(Y.T - X) @ Y"),
    ("-(X @ (Y + X.T - 2 * Y)) / N", "X @ (2 * Y - Y - X.T) / N"),
    ("-sum(X - Y.T, axis=0) / N", "sum(Y.T - X, axis=0) / N"),
    ("-2 * (r - a) * r", "-2 * (r - a) * r"),
    ("-((X + Y.T) @ Y)", "-((X + Y.T) @ Y)"),
    ("X @ (Y / N)", "X @ Y / N"),
    ("X @ (2 * Y)", "2 * X @ Y"),
    ("2 * X @ Y / N", "2 / N * X @ Y"),
    ("2 * (X @ (r / N))", "2 / N * (X @ r)"),
    ("X @ (r / N)", "X @ r / N"),
    ("a * (X @ Y)", "a * X @ Y"),
    ("a * (X @ r)", "a * (X @ r)"),
    ("-(X @ (sqrt(2 / M) * Y))", "-sqrt(2 / M) * X @ Y"),
    ("sum(X / N, axis=0)", "sum(X, axis=0) / N"),
    ("(X / N).T @ (X / N)", "X.T @ X / N ** 2"),
    ("(X * N).T @ (X / N)", "X.T @ X"),
    ("outer(r / N, -s)", "-outer(r, s) / N"),
    ("X / 3 / N", "X / (3 * N)"),
    ("X / N / M", "X / (N * M)"),
    ("0.5 * X / N", "0.5 / N * X"),
    ("2 * X / a ** 2", "2 * X / a ** 2"),
    ("1 / X / N", "1 / X / N"),
    ("-1 / X", "-1 / X"),
    ("X * (Y.T / N - 2 * X)", "X * (Y.T / N - 2 * X)"),
    ("-2 * X + Y.T", "Y.T - 2 * X"),
    ("exp(2 * X / N)", "exp(2 / N * X)"),
    ("ones([2]) / N", "ones([2]) / N"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REWRITTEN)
def test_scalars_stand_in_one_place_and_the_value_is_the_same(text: str, expected: str) -> None:
    found = ast.unparse(ast.fix_missing_locations(polished(ast.parse(text, mode="eval").body, RANKS)))
    assert found == expected
    before, after = (eval(code, {"__builtins__": {}}, VALUES) for code in (text, found))  # noqa: S307
    assert np.allclose(before, after, rtol=1e-14)
