"""Programs that once failed, each with what went wrong. They must derive, check and run."""

from __future__ import annotations

from typing import Any

import pytest

from pullback import derive

PROGRAMS: list[tuple[str, str, dict[str, Any]]] = [
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
]


@pytest.mark.parametrize(("what", "program", "beside"), PROGRAMS, ids=[row[0] for row in PROGRAMS])
def test_it_derives(what: str, program: str, beside: dict[str, Any]) -> None:
    derivation = derive(program, **beside)
    assert derivation.report.unknown == 0, what
    assert all(str(formula).splitlines()[-1].startswith("d") for formula in derivation.gradients.values())
    assert derivation.compile().source.startswith("import")
