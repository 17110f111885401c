"""Symmetric matrices: which are known to be, and what that saves."""

from __future__ import annotations

import pytest

from pullback.api import derive

SHAPES = {
    "A": "N N",
    "C": "M M",
    "K": "N N",
    "S": "N N",
    "W": "N D",
    "X": "M N",
    "Z": "M D",
    "p": "N",
    "y": "N",
}

SYMMETRIC = [
    ("Q = X.T @ C @ X\nf = sum(Q * A)", {"C": "spd"}, "Q", True),
    ("Q = X.T @ C @ X\nf = sum(Q * A)", {}, "Q", False),
    ("Q = W @ W.T + diag(p)\nf = sum(Q * A)", {}, "Q", True),
    ("Q = K @ S\nf = sum(Q * A)", {"K": "symmetric", "S": "symmetric"}, "Q", False),
    ("Q = K @ S @ K\nf = sum(Q * A)", {"K": "symmetric", "S": "symmetric"}, "Q", True),
    ("Q = S @ K + K @ S\nf = sum(Q * A)", {"K": "symmetric", "S": "symmetric"}, "Q", True),
    ("Q = A - A.T\nf = sum(Q * K)", {}, "Q", False),
    ("Q = inv(X.T @ C @ X)\nf = sum(Q * A)", {"C": "symmetric"}, "Q", True),
    ("Q = outer(y, y) * A\nf = sum(Q * K)", {}, "Q", False),
    ("Q = outer(y, p)\nf = sum(Q * K)", {}, "Q", False),
]


@pytest.mark.parametrize(("program", "assume", "name", "expected"), SYMMETRIC)
def test_a_defined_matrix_is_known_to_be_symmetric(
    program: str, assume: dict[str, str], name: str, expected: bool
) -> None:
    derived = derive(program, SHAPES, assume=assume).derived
    assert ("symmetric" in derived.program.by_name[name].facts) is expected


FORMULAS = [
    (
        "f = trace(inv(X.T @ C @ X) @ A)",
        {"C": "spd"},
        "X",
        "V = inv(X.T @ C @ X); dU = -(V @ A.T @ V); dX = C @ X @ (dU + dU.T)",
    ),
    (
        "Q = W @ W.T + diag(p)\nL = 0.5 * (logdet(Q) + trace(inv(Q) @ S))",
        {"S": "spd", "p": "positive"},
        "W",
        "V = inv(Q); dW = (V - V @ S @ V) @ W",
    ),
    (
        "L = -0.5 * (y @ solve(K, y)) - 0.5 * logdet(K)",
        {"K": "spd"},
        "K",
        "z = solve(K, y); dK = 0.5 * (outer(z, z) - inv(K))",
    ),
    # A quadratic form in an inverse is symmetric, although a system is solved.
    ("Q = W.T @ solve(K, W)\nf = logdet(Q)", {"K": "spd"}, "W", "dW = 2 * solve(K, W) @ inv(Q)"),
    # The same residual twice is one thing.
    ("f = (y - p) @ solve(K, y - p)", {"K": "spd"}, "p", "dp = -2 * solve(K, y - p)"),
    ("L = y @ solve(K, y)", {"K": "spd"}, "y", "dy = 2 * solve(K, y)"),
    (
        "H = eye(M) - ones([M, M]) / M\nf = trace(Z @ Z.T @ H @ C @ H)",
        {},
        "Z",
        "dZ = H @ ((C + C.T) @ (H @ Z))",
    ),
]


@pytest.mark.parametrize(("program", "assume", "wrt", "expected"), FORMULAS)
def test_what_is_symmetric_is_used_once(
    program: str, assume: dict[str, str], wrt: str, expected: str
) -> None:
    derivation = derive(program, SHAPES, assume=assume)
    assert derivation.report.unknown == 0
    assert "; ".join(derivation.gradients[wrt].lines) == expected
