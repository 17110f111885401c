"""Further lines on top of known tensors: claims and gradient programs."""

from __future__ import annotations

from typing import Any

import pytest

from pullback.errors import IndexProblem, NameProblem, PullbackError, ShapeProblem, SyntaxProblem
from pullback.expression import Size, Tensor
from pullback.program import upstream_of
from pullback.reading import read_lines, read_program

PROGRAM = read_program("Y = X @ W", shapes={"X": "N D", "W": "D M"})
KNOWN = {**PROGRAM.by_name, "dY": upstream_of(PROGRAM.output)}


def goal(name: str) -> dict[str, Tensor]:
    return {f"d{name}": Tensor(f"d{name}", KNOWN[name].shape)}


def read(text: str, wrt: str = "W", **options: Any) -> Any:
    return read_lines(text, KNOWN, sizes=PROGRAM.sizes, targets=goal(wrt), **options)


# a claim of dW, its definitions
CLAIMS: list[tuple[str, list[str]]] = [
    ("X.T @ dY", ["dW[d,m] = Σ_n X[n,d]*dY[n,m]"]),
    ("dW = X.T @ dY", ["dW[d,m] = Σ_n X[n,d]*dY[n,m]"]),
    ("dW[d,m] = X[n,d] * dY[n,m]", ["dW[d,m] = Σ_n X[n,d]*dY[n,m]"]),
    ("dW[a,b] = X[n,a] * dY[n,b]", ["dW[a,b] = Σ_n X[n,a]*dY[n,b]"]),
    ("G = X.T\nG @ dY", ["G[d,n] = X[n,d]", "dW[d,m] = Σ_n G[d,n]*dY[n,m]"]),
    ("G[i,j] = dY[i,j]; dW = X.T @ G", ["G[i,j] = dY[i,j]", "dW[d,m] = Σ_n X[n,d]*G[n,m]"]),
    ("dW[i,j] = 0", ["dW[i,j] = 0"]),
    ("ones([D, M]) / N", ["dW[d,m] = N^(-1)"]),
    ("exp(X.T @ dY)", ["Z[d,m] ?= Σ_n X[n,d]*dY[n,m]", "dW[d,m] = exp(Z[d,m])"]),
]


@pytest.mark.parametrize(("text", "expected"), CLAIMS, ids=[row[0] for row in CLAIMS])
def test_claims(text: str, expected: list[str], lines: Any) -> None:
    assert lines(read(text)) == expected


@pytest.mark.parametrize(
    ("text", "error", "message", "place", "hint"),
    [
        ("dY.T @ X", ShapeProblem, "dW has the shape D×M, the expression gives M×D", (1, 1), "transpose"),
        (
            "dW = dY.T @ X",
            ShapeProblem,
            "dW has the shape D×M, the expression gives M×D",
            (1, 6),
            "transpose",
        ),
        (
            "sum(X)",
            ShapeProblem,
            "the shape D×M, the expression gives a scalar",
            (1, 1),
            "shape of its variable",
        ),
        ("X @ dY", ShapeProblem, "N×D and N×M do not meet", (1, 5), "A.T @ B"),
        ("dW[d] = X[n,d] * dY[n,m]", ShapeProblem, "dW has the shape D×M, 1 indices are given", (1, 1), ""),
        ("dW[m,d] = X[n,d] * dY[n,m]", IndexProblem, "index d ranges over M and over D", (1, 15), ""),
        (
            "X.T @ dZ",
            NameProblem,
            "`dZ` is not declared or defined",
            (1, 7),
            "the names here are X, W, Y, dY",
        ),
        ("X[n,d] * dY[n,m]", ShapeProblem, "the shape D×M, 0 indices are given", (1, 1), "dW[i, j] = …"),
        ("G = X\nG", ShapeProblem, "the expression gives N×D", (2, 1), ""),
        ("G = X\nG = W\nG", NameProblem, "`G` is defined already", (2, 1), "another name"),
        ("N = X\nN", NameProblem, "`N` is a size", (1, 1), "another name"),
        ("exp = X\nexp", NameProblem, "`exp` is a name of the language", (1, 1), "another name"),
        ("X\nX.T @ dY", SyntaxProblem, "a bare expression stands only in the last line", (1, 1), ""),
        ("X: [N, D]\nX.T @ dY", SyntaxProblem, "a definition is expected", (1, 1), ""),
        ("", SyntaxProblem, "an expression is expected", None, "X.T @ dY"),
        ("import os", SyntaxProblem, "an import is not part of the language", (1, 1), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refusals(
    text: str, error: type[PullbackError], message: str, place: tuple[int, int] | None, hint: str
) -> None:
    with pytest.raises(PullbackError) as caught:
        read(text)
    assert type(caught.value) is error, caught.value
    assert message in caught.value.message
    assert caught.value.where == place
    assert hint in caught.value.hint


def test_a_line_may_define_a_known_name_anew(lines: Any) -> None:
    """Its tensor gets another name, so that both can be evaluated together."""
    assert lines(read("Y = X\nY.T @ dY")) == ["Y2[n,d] = X[n,d]", "dW[d,m] = Σ_n Y2[n,d]*dY[n,m]"]


def test_reserved_names_are_kept_from_hidden_definitions(lines: Any) -> None:
    assert lines(read("exp(X.T @ dY)", reserved=("Z",)))[0] == "S[d,m] ?= Σ_n X[n,d]*dY[n,m]"
    assert lines(read("Z = X.T\nZ @ dY", reserved=("Z",)))[0] == "Z2[d,n] = X[n,d]"


def test_a_bare_expression_keeps_the_name_of_its_target(lines: Any) -> None:
    assert lines(read("dW = dY\nX.T @ dW")) == ["dW2[n,m] = dY[n,m]", "dW[d,m] = Σ_n X[n,d]*dW2[n,m]"]


def test_several_targets_and_no_bare_expression() -> None:
    definitions = read_lines(
        "dP = dY\ndX = dP @ W.T\ndW = X.T @ dP",
        KNOWN,
        sizes=PROGRAM.sizes,
        targets={**goal("X"), **goal("W")},
    )
    assert [d.tensor.name for d in definitions] == ["dP", "dX", "dW"]
    with pytest.raises(SyntaxProblem, match="bare expression"):
        read_lines("dY @ W.T", KNOWN, sizes=PROGRAM.sizes, targets={**goal("X"), **goal("W")})


def test_the_left_side_gives_ranges(lines: Any) -> None:
    n = Size("N")
    target = {"J": Tensor("J", (n, n))}
    definitions = read_lines("J[i,k] = (i == k) * y[i]", {"y": Tensor("y", (n,))}, sizes=(), targets=target)
    assert lines(definitions) == ["J[i,k] = [i == k]*y[i]"]
    with pytest.raises(IndexProblem, match="the range of index k is unknown"):
        read_lines("J[i,k] = (i == k) * y[i]", {"y": Tensor("y", (n,))}, sizes=())
