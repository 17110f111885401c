"""A Kronecker product is shown only where it is the derivative."""

from __future__ import annotations

import pytest

from pullback import derive
from pullback.errors import InternalProblem
from pullback.verify.flattened import is_flattened


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2 * kron(A.T @ A, B @ B.T)", True),
        ("kron(2 * A.T @ A, B @ B.T)", True),
        ("2 * kron(A @ A.T, B @ B.T)", False),
        ("2 * kron(B @ B.T, A.T @ A)", False),
        ("kron(A.T @ A, B @ B.T)", False),
        ("2 * kron(A.T @ A, B.T @ B)", False),
    ],
)
def test_planted_products_are_told_apart(text: str, right: bool) -> None:
    shapes = {"A": "N N", "X": "N N", "B": "N N"}
    derived = derive("L = sum((A @ X @ B)**2)", shapes).hessian("X").forwarded.derived
    made = next(d for d in derived.backward if d.tensor.name == "H")
    if right:
        assert is_flattened(derived, made, text)
        return
    with pytest.raises(InternalProblem, match="a Kronecker product failed its own check"):
        is_flattened(derived, made, text)
