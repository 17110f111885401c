"""Products with inverses: what they come to, and where they may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pullback.api import derive
from pullback.claiming import claim
from pullback.cost import operations, tokens
from pullback.sizes import evaluate_size

SHAPES = {"A": "N N", "B": "N N", "C": "M M", "X": "M N", "Z": "N N", "c": "", "m": "M", "S": "N N", "y": "N"}

FORMULAS = [
    # Square factors: each is invertible where their product is.
    ("f = det(A @ Z @ B)", {}, "Z", "dZ = f * inv(Z).T"),
    ("f = det(A @ Z @ B)", {}, "A", "dA = f * inv(A).T"),
    ("f = logdet(A @ B)", {}, "B", "dB = inv(B).T"),
    ("f = det(Z.T @ A @ Z)", {}, "Z", "dZ = 2 * f * inv(Z).T"),
    ("f = det(Z @ Z @ Z)", {}, "Z", "dZ = 3 * f * inv(Z).T"),
    ("f = logdet(c * A @ B)", {"c": "nonzero"}, "A", "dA = inv(A).T"),
    ("P = A @ B\nf = logdet(P @ Z)", {}, "A", "dA = inv(A).T"),
    # Factors that are not square keep the inverse of the whole.
    ("f = logdet(X.T @ X)", {}, "X", "dX = 2 * X @ inv(X.T @ X)"),
    ("f = logdet(X.T @ C @ X)", {"C": "spd"}, "X", "dX = 2 * C @ X @ inv(X.T @ C @ X)"),
    # An inverse meets what it is the inverse of.
    ("f = trace(inv(A) @ A @ B)", {}, "A", "dA = zeros([N, N])"),
    # Nothing is multiplied by a unit matrix, and an inverse that multiplies is a system to solve.
    ("f = trace(inv(A))", {}, "A", "V = inv(A); dA = -(V.T @ V.T)"),
    ("f = logdet(eye(M) + X @ X.T)", {}, "X", "dX = 2 * solve(eye(M) + X @ X.T, X)"),
    # A solution is read instead of the inverse times the right side.
    ("f = y @ solve(A, y)", {"A": "symmetric"}, "A", "z = solve(A, y); dA = -outer(z, z)"),
    # An adjoint system is solved once.
    (
        "w = solve(X.T @ X + c * eye(N), X.T @ m)",
        {"c": "positive"},
        "X",
        "dz = solve(X.T @ X + c * eye(N), dw); dX = outer(m - X @ w, dz) - outer(X @ dz, w)",
    ),
    # The Cholesky factor: its gradient is symmetric, for any argument, and its determinant is that of the matrix.
    (
        "L = cholesky(S)",
        {"S": "spd"},
        "S",
        "G = dL.T @ L; dS = 0.5 * solve(L.T, solve(L.T, tril(G.T) + triu(G, 1)).T)",
    ),
    ("L = cholesky(S)\nf = 2 * sum(log(diag(L)))", {"S": "spd"}, "S", "dS = inv(S)"),
    ("f = logdet(cholesky(X.T @ X))", {}, "X", "dX = X @ inv(X.T @ X)"),
    # What the forward pass has computed meets inside a product: V @ A.T is Y.
    (
        "Y = inv(X.T @ X) @ X.T",
        {},
        "X",
        "V = inv(X.T @ X); dU = -(V @ dY @ Y.T); dX = dY.T @ V + X @ (dU + dU.T)",
    ),
]


@pytest.mark.parametrize(("program", "assume", "wrt", "expected"), FORMULAS)
def test_an_inverse_meets_its_factors(program: str, assume: dict[str, str], wrt: str, expected: str) -> None:
    derivation = derive(program, SHAPES, assume=assume)
    assert derivation.report.unknown == 0
    assert "; ".join(derivation.gradients[wrt].lines) == expected


LITERATURE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "linear_algebra.json").read_text(encoding="utf-8")
)
SIZE = 64


@pytest.mark.parametrize("case", LITERATURE, ids=lambda case: str(case["id"]))
def test_a_gradient_of_the_literature_costs_no_more_than_published(case: dict[str, Any]) -> None:
    beside = {"shapes": case["shapes"], "assume": case["assume"]}
    derivation = derive(case["program"], wrt=list(case["published"]), **beside)
    assert derivation.report.unknown == 0
    program = derivation.program
    sizes = dict.fromkeys(program.sizes, SIZE)
    shapes = {t.name: tuple(evaluate_size(e, sizes) for e in t.shape) for t in program.by_name.values()}
    shapes[f"d{program.output.name}"] = shapes[program.output.name]
    for wrt, published in case["published"].items():
        text = str(derivation.gradients[wrt])
        assert operations(text, shapes, sizes) <= operations(published, shapes, sizes), text
        assert tokens(text) <= 1.3 * tokens(published), text
    assert claim(case["program"], case["published"], **beside).ok
