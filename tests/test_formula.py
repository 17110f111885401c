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


TOGETHER = [
    (
        "A = X @ W + b; H = relu(A); Y = H @ V",
        {"X": "N D", "W": "D F", "b": "F", "V": "F M"},
        [
            "dA = dY @ V.T * (A > 0)",
            "dX = dA @ W.T",
            "dW = X.T @ dA",
            "db = sum(dA, axis=0)",
            "dV = H.T @ dY",
        ],
    ),
    ("Y = X @ W", {"X": "N D", "W": "D M"}, ["dX = dY @ W.T", "dW = X.T @ dY"]),
    (
        'Q = einsum("nd,dhe->hne", X, W)',
        {"X": "N D", "W": "D H E"},
        ['dX = einsum("hne,dhe->nd", dQ, W)', 'dW = einsum("hne,nd->dhe", dQ, X)'],
    ),
    (
        "m = k * (u - v); L = mean(softplus(-m))",
        {"u": "N", "v": "N", "k": ""},
        ["dm = -sigmoid(-m) / N", "du = k * dm", "dv = -du", "dk = dm @ (u - v)"],
    ),
    (  # a mean over known and unknown sizes stays one, and keeps its axes
        "Y = X - mean(X, axis=(0, 2), keepdims=True)",
        {"X": "N C 25"},
        ["dX = dY - mean(dY, axis=(0, 2), keepdims=True)"],
    ),
    (  # a mask that guards the sum inside stands once
        "A = X @ W; Y[n,p] = relu(A[n,p + r]) * K[r]",
        {"X": "N D", "W": "D P+R-1", "K": "R", "Y": "N P"},
        [
            "dA[i,j] = (A[i,j] > 0) * dY[i,j - r] * K[r] * (0 <= j - r) * (j - r < P)",
            "dX = dA @ W.T",
            "dW = X.T @ dA",
            "dK[k] = dY[n,p] * relu(A[n,p + k])",
        ],
    ),
    (
        "R = reshape(X, [N, P, 2]); Y = mean(R, axis=2)",
        {"X": "N 2*P"},
        ["dX = 0.5 * reshape(reshape(dY, [N, P, 1]) * ones([N, P, 2]), [N, 2 * P])"],
    ),
    (
        "u = A - P; v = A - M; d = sum(u ** 2, axis=1) - sum(v ** 2, axis=1); L = mean(relu(d))",
        {"A": "N D", "P": "N D", "M": "N D"},
        [
            "dd = (d > 0) / N",
            "dA = 2 * reshape(dd, [N, 1]) * (u - v)",
            "dP = -2 * reshape(dd, [N, 1]) * u",
            "dM = 2 * reshape(dd, [N, 1]) * v",
        ],
    ),
]


@pytest.mark.parametrize(("program", "shapes", "lines"), TOGETHER)
def test_the_backward_pass_as_one_program(program: str, shapes: dict[str, str], lines: list[str]) -> None:
    assert list(derive(program, shapes).lines) == lines
