"""Slices, heads and blocks side by side: read back from index notation as a person writes them."""

from __future__ import annotations

import pytest

from pullback.api import derive

HEADS = "transpose(reshape({}, [B, T, H, D]), [0, 2, 1, 3])"
JOINED = "reshape(transpose({}, [0, 2, 1, 3]), [B, T, D * H])"
QUERIES = f"q = {HEADS.format('X[:, :, :D * H]')}"
KEYS = f"k = {HEADS.format('X[:, :, D * H:]')}"

# program, shapes, what is derived, its line
ROWS: list[tuple[str, dict[str, str], str, str]] = [
    ("Y = concatenate([A, B], axis=1)", {"A": "N K", "B": "N M"}, "Y", "concatenate([A, B], axis=1)"),
    ("Y = concatenate([A, B], axis=1)", {"A": "N K", "B": "N M"}, "dA", "dY[:, :K]"),
    ("Y = concatenate([A, B], axis=1)", {"A": "N K", "B": "N M"}, "dB", "dY[:, K:]"),
    ("Y = 3 * X[:, 2:]", {"X": "N M"}, "dX", "concatenate([zeros([N, 2]), 3 * dY], axis=1)"),
    ("Y = X[:, 2:4]", {"X": "N 6"}, "Y", "X[:, 2:4]"),
    ("Y = X[:, 2:4]", {"X": "N 6"}, "dX", "concatenate([zeros([N, 2]), dY, zeros([N, 2])], axis=1)"),
    ("Y = X[::2]", {"X": "8"}, "Y", "X[::2]"),
    ("Y = X[1:] - X[:-1]", {"X": "N"}, "Y", "X[1:] - X[:-1]"),
    ("Y = sigmoid(Z[:, :H]) * Z[:, H:]", {"Z": "N 2*H"}, "Y", "sigmoid(Z[:, :H]) * Z[:, H:]"),
    (f"Y = {HEADS.format('X')}", {"X": "B T H*D"}, "dX", JOINED.format("dY")),
    (f"{QUERIES}; Y = 2 * q", {"X": "B T 2*H*D"}, "q", HEADS.format("X[:, :, :D * H]")),
    (f"{QUERIES}; {KEYS}; Y = q * k", {"X": "B T 2*H*D"}, "dX",
     f"concatenate([{JOINED.format('dq')}, {JOINED.format('dk')}], axis=2)"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "shapes", "name", "line"), ROWS, ids=[f"{r[0]} {r[2]}" for r in ROWS])
def test_the_line(program: str, shapes: dict[str, str], name: str, line: str) -> None:
    derivation = derive(program, shapes)
    assert derivation.report.unknown == 0  # each line was read again, and checked exactly
    assert derivation.derived.lines[name].text == line


# Blocks that overlap, or whose order the sizes do not tell, are no blocks side by side.
OTHERS: list[tuple[str, dict[str, str], str]] = [
    ("Y = X[1:] - X[:-1]", {"X": "N"}, "dX"),
    ("Y = X[1:3] * 2", {"X": "N"}, "Y"),
    ("Y = X[1:3] * 2", {"X": "N"}, "dX"),
    (
        "Y = conv1d(X, K, stride=2, padding=1)",
        {"X": "2 3 6", "K": "4 3 2"},
        "dX",
    ),  # a block would begin at -1
]


@pytest.mark.parametrize(("program", "shapes", "name"), OTHERS, ids=[f"{r[0]} {r[2]}" for r in OTHERS])
def test_there_is_no_line(program: str, shapes: dict[str, str], name: str) -> None:
    assert name not in derive(program, shapes).derived.lines
