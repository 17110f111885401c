"""Index notation: the sum over what is absent on the left, ranges, and reads under brackets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.errors import IndexProblem
from pullback.reading import read_program

# program, shapes, ranges, its last definition
READINGS: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("Y[i,k] = W[i,j] * X[j,k]", {"W": "M N", "X": "N K"}, {}, "Y[i,k] = Σ_j W[i,j]*X[j,k]"),
    ("f = a[i] * X[i,j] * a[j]", {"a": "N", "X": "N N"}, {}, "f = Σ_i,j a[i]*X[i,j]*a[j]"),
    ("L = l[n] / N", {"l": "N"}, {}, "L = Σ_n l[n]*N^(-1)"),
    ("y[i] = -x[i] + +x[i] - (x[i] - 1)", {"x": "N"}, {}, "y[i] = (-1*x[i] + x[i] + -1*x[i] + 1)"),
    ("f = X[i,j] * (i == j)", {"X": "N N"}, {}, "f = Σ_i,j X[i,j]*[i == j]"),
    ("f = x[i] * (0 <= i <= 1)", {"x": "N"}, {}, "f = Σ_i x[i]*[0 <= i]*[i <= 1]"),
    ("y[p] = x[p+r] / 3", {"x": "L"}, {"p": "L-2", "r": "3"}, "y[p] = Σ_r 1/3*x[(p + r)]"),
    ("y[i] = x[(i-3) % N]", {"x": "N"}, {"i": "N"}, "y[i] = x[mod((i + -3), N)]"),
    ("y[k] = x[k % N]", {"x": "N"}, {"k": "3*N"}, "y[k] = x[mod(k, N)]"),
    ("y[i] = x[i-1] * (i >= 1)", {"x": "N"}, {"i": "N"}, "y[i] = x[(i + -1)]*[i >= 1]"),
    ("Y[n,m] = a[n,0] * b[m] * c", {"a": "N 1", "b": "M", "c": ""}, {}, "Y[n,m] = a[n,0]*b[m]*c"),
    ("Y[n] = maximum(x[n], sqrt(x[n]))", {"x": "N"}, {}, "Y[n] = maximum(x[n], x[n]^(1/2))"),
    (
        "y[j] = k[j] * x[(i-j) % N] * w[i]",
        {"k": "N", "x": "N", "w": "N"},
        {},
        "y[j] = Σ_i k[j]*x[mod((i + -1*j), N)]*w[i]",
    ),
    ("Y[i,j] = (i // 2 == j)", {"x": "N"}, {"i": "2*N", "j": "N"}, "Y[i,j] = [floordiv(i, 2) == j]"),
    ("y[i] = 0.1 * x[i] ** 2 * 3", {"x": "N"}, {}, "y[i] = 3/10*x[i]^(2)"),
]


@pytest.mark.parametrize(("program", "shapes", "ranges", "expected"), READINGS, ids=[r[0] for r in READINGS])
def test_readings(
    program: str, shapes: dict[str, str], ranges: dict[str, str], expected: str, lines: Any
) -> None:
    assert lines(read_program(program, shapes=shapes, ranges=ranges).definitions)[-1] == expected


def test_integer_tensors_stand_in_slots(lines: Any) -> None:
    program = read_program("t: [B] in V\nW: [V, D]\nY[b,d] = W[t[b],d] * (t[b] > 0)")
    assert lines(program.definitions) == ["Y[b,d] = W[t[b],d]*[t[b] > 0]"]
    assert [tensor.is_integer for tensor in program.inputs] == [False, True]


def test_one_integer_stands_in_a_slot(lines: Any) -> None:
    program = read_program("t: [] in V\nW: [V, D]\ny[d] = W[t,d]")
    assert lines(program.definitions) == ["y[d] = W[t,d]"]


def test_lines_of_both_notations_mix(lines: Any) -> None:
    program = read_program("Y = X @ W\nl[n] = Y[n,m]**2\nL = sum(l)", shapes={"X": "N D", "W": "D M"})
    assert lines(program.definitions) == [
        "Y[n,m] = Σ_d X[n,d]*W[d,m]",
        "l[n] = Σ_m Y[n,m]^(2)",
        "L = Σ_n l[n]",
    ]


# reads that are inside for all sizes, and reads that are not: program, ranges
SAFE: list[tuple[str, dict[str, str]]] = [
    ("y[p] = x[2*p+r]", {"p": "(N-3)//2+1", "r": "3"}),
    ("y[i] = x[N-1-i]", {"i": "N"}),
    ("y[i] = x[i//2]", {"i": "2*N"}),
    ("y[i] = x[i-j] * (j <= i)", {"i": "N", "j": "N"}),
    ("y[i] = x[i+1] * (i + 1 < N)", {"i": "N"}),
    ("y[i] = x[i+1] * exp(x[i+1]) * (i < N-1)", {"i": "N"}),
    ("y[i] = x[3] * x[i]", {}),
    ("y[i] = x[i] * x[0] * x[N-1]", {}),
    ("y[i] = x[i+j-1] * (1 <= i+j <= N)", {"i": "N", "j": "3"}),
]
UNSAFE: list[tuple[str, dict[str, str]]] = [
    ("y[p] = x[2*p+r]", {"p": "(N-3)//2+2", "r": "3"}),
    ("y[i] = x[N-i]", {"i": "N"}),
    ("y[i] = x[i//2]", {"i": "2*N+1"}),
    ("y[i] = x[i-j] * (i <= j)", {"i": "N", "j": "N"}),
    ("y[i] = x[i+1] + (i + 1 < N)", {"i": "N"}),
    ("y[i] = x[-1] * x[i]", {}),
    ("y[i] = x[i] * x[N]", {}),
    ("y[i] = where(i + 1 < N, x[i+1], 0)", {"i": "N"}),
    ("y[i] = x[i]", {"i": "M"}),
]


@pytest.mark.parametrize(("program", "ranges"), SAFE, ids=[row[0] for row in SAFE])
def test_reads_that_stay_inside(program: str, ranges: dict[str, str]) -> None:
    assert read_program(program, shapes={"x": "N"}, ranges=ranges).output.name == "y"


@pytest.mark.parametrize(("program", "ranges"), UNSAFE, ids=[row[0] for row in UNSAFE])
def test_reads_that_leave(program: str, ranges: dict[str, str]) -> None:
    with pytest.raises(IndexProblem, match="leaves axis 0 of x"):
        read_program(program, shapes={"x": "N"}, ranges=ranges)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 2))
def test_a_strided_window_is_safe_exactly_up_to_its_length(stride: int, window: int, extra: int) -> None:
    text = f"y[p] = x[{stride}*p+r]"
    ranges = {"p": f"(N-{window})//{stride}+{1 + extra}", "r": f"{window}"}
    if extra == 0:
        assert read_program(text, shapes={"x": "N"}, ranges=ranges).output.rank == 1
    else:
        with pytest.raises(IndexProblem):
            read_program(text, shapes={"x": "N"}, ranges=ranges)
