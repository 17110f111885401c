"""Matrix products as a person writes them."""

from __future__ import annotations

import ast

import pytest

from pullback.matrix.products import neat

PRODUCTS = [
    ("inv(A) @ b", "solve(A, b)"),
    ("inv(A).T @ b", "solve(A.T, b)"),
    ("inv(A.T).T @ b", "solve(A, b)"),
    ("-inv(A) @ b", "-solve(A, b)"),
    ("2 * inv(A) @ b", "2 * solve(A, b)"),
    ("f * inv(A) @ b", "f * solve(A, b)"),
    ("D * inv(A) @ b", "D * inv(A) @ b"),
    ("C @ inv(A) @ b", "C @ solve(A, b)"),
    ("C @ inv(A)", "C @ inv(A)"),
    ("inv(A) * b", "inv(A) * b"),
    ("C.T @ B.T @ A.T", "C.T @ B.T @ A.T"),
    ("C.T @ (B.T @ A.T)", "(A @ B @ C).T"),
    ("B.T @ A.T", "B.T @ A.T"),
    ("2 * sum(diag(A))", "2 * trace(A)"),
    ("sum(diag(A), axis=0)", "sum(diag(A), axis=0)"),
    ("trace(outer(b, c))", "b @ c"),
    ("D.T + D", "D + D.T"),
    ("D.T + C", "D.T + C"),
    ("C.T @ B @ A.T", "C.T @ B @ A.T"),
    ("C.T @ (B.T @ A.T) + D", "(A @ B @ C).T + D"),
]


@pytest.mark.parametrize(("given", "expected"), PRODUCTS)
def test_a_product_is_written_neatly(given: str, expected: str) -> None:
    arrays = dict.fromkeys("ABCD", 2) | {"b": 1}
    assert ast.unparse(neat(ast.parse(given, mode="eval").body, arrays)) == expected
