"""Programs that once failed, each with what went wrong. They must derive, check and run."""

from __future__ import annotations

from typing import Any

import pytest

from pullback import derive

PROGRAMS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "a product along an axis was taken for one of matrices",
        "h = A @ P; h1 = H @ (h @ A.T + Q); S = h1 @ H.T + R; Y = A @ m + h1.T @ inv(S) @ (y - H @ (A @ m))",
        {"shapes": {"A": "D D", "P": "D D", "Q": "D D", "H": "M D", "R": "M M", "m": "D", "y": "M"}},
    ),
    (
        "a guard squared was no guard",
        "H[i,j] = C[i-1] * (i >= 1) * D[i,j]; L = sum(H * H)",
        {"shapes": {"C": "N", "D": "N N"}},
    ),
    (
        "a sum of brackets alone was read as matrix notation",
        "L = (i < j) * c",
        {"shapes": {"c": ""}, "ranges": {"i": "N", "j": "M"}},
    ),
    (
        "a diagonal was printed as the diagonal of an outer product",
        "Y[i,j] = x[i] * y[j] * (i == j)",
        {"shapes": {"x": "N", "y": "N"}},
    ),
    (
        "an index that spans a part of its axis was taken for the whole",
        "y = concatenate([x, x, x], axis=0)",
        {"shapes": {"x": "N"}},
    ),
    (
        "a maximum over windows was named after the sums had collapsed",
        "Y = max_pool2d(X, 2, stride=2)",
        {"shapes": {"X": ("N", "C", "2*P", "2*Q")}},
    ),
    (
        "gates and indices had the same names",
        "i = sigmoid(A); f = tanh(A); Y = i * f",
        {"shapes": {"A": "N H"}},
    ),
    ("a softmax over several axes has no text", "Y = logsumexp(X) * 2", {"shapes": {"X": "N M"}}),
    (
        "the same with an axis that stays",
        "Y = logsumexp(X, axis=(0, 2), keepdims=True)",
        {"shapes": {"X": "N M K"}},
    ),
    ("windows that overlap", "Y = max_pool2d(X, 2, 1)", {"shapes": {"X": "B C H W"}}),
    ("hidden windows have no text", "L = sum(relu(max_pool2d(2 * X, 2)))", {"shapes": {"X": "B C H W"}}),
    ("a constant output has no tangent", "Y = X ** 0", {"shapes": {"X": "N M"}}),
    (
        "a factor of a matrix under a name",
        "Y = cholesky(A)",
        {"shapes": {"A": "N N"}, "assume": {"A": "spd"}},
    ),
    (
        "a factor of a matrix that is symmetric by its definition",
        "Y = cholesky(A @ A.T + eye(N))",
        {"shapes": {"A": "N N"}},
    ),
    ("inverses in a batch", "Y = inv(A)", {"shapes": {"A": "B N N"}}),
    ("determinants in a batch", "L = sum(logdet(A) + det(A))", {"shapes": {"A": "B N N"}}),
    (
        "a sum of many terms overflowed the stack on its way to matrix form",
        "y = " + "+".join(["x"] * 900),
        {"shapes": {"x": "N"}},
    ),
]


@pytest.mark.parametrize(("what", "program", "beside"), PROGRAMS, ids=[row[0] for row in PROGRAMS])
def test_it_derives(what: str, program: str, beside: dict[str, Any]) -> None:
    derivation = derive(program, **beside)
    assert derivation.report.unknown == 0, what
    assert all(str(formula).splitlines()[-1].startswith("d") for formula in derivation.gradients.values())
    assert derivation.compile().source.startswith("import")


def test_differences_have_sizes_where_the_exact_check_is_too_large() -> None:
    derivation = derive("Y = conv2d(x, w, padding=1)", {"x": "N 4 5 6", "w": "4 4 3 3"})
    assert derivation.report.central is not None
    assert derivation.report.central < 1e-6
