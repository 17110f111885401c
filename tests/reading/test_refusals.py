"""Every refusal: which error, its sentence, its place, and the mend it proposes."""

from __future__ import annotations

import pytest

from pullback.errors import (
    DomainProblem,
    IndexProblem,
    LimitProblem,
    NameProblem,
    PullbackError,
    ShapeProblem,
    SyntaxProblem,
)
from pullback.limits import MAX_CHARACTERS
from pullback.reading import read_program

Row = tuple[str, type[PullbackError], str, "tuple[int, int] | None", str]

# program, error, a part of its message, its place, a part of its hint
SYNTAX: list[Row] = [
    ("", SyntaxProblem, "the program has no definition", None, "Y = X @ W"),
    ("# a comment\n", SyntaxProblem, "the program has no definition", None, "Y = X @ W"),
    ("Y = X @", SyntaxProblem, "not an expression", (1, 8), "one definition a line"),
    ("Y = (X @ W", SyntaxProblem, "was never closed", (1, 5), "one definition a line"),
    ("Y = X\nZ = Y Y", SyntaxProblem, "not an expression", (2, 7), "one definition a line"),
    ("  Y = X @ @ W", SyntaxProblem, "not an expression", (1, 11), "one definition a line"),
    ("Y = X^2", SyntaxProblem, "operator BitXor", (1, 5), "**"),
    ("Y = X; X @ Y", SyntaxProblem, "bare expression", (1, 8), "Y = X @ W"),
    ("Y = X = W", SyntaxProblem, "one name stands on the left", (1, 5), "one definition a line"),
    ("Y, Z = X", SyntaxProblem, "one name stands on the left", (1, 1), "one definition a line"),
    ("Y = 'text'", SyntaxProblem, "a text is not a value", (1, 5), "numbers, names and functions"),
    ("Y = True", SyntaxProblem, "`True` is not a value", (1, 5), "numbers"),
    ("Y = 0x10 * X", SyntaxProblem, "`0x…` is neither", (1, 5), "decimal numbers"),
    ("Y = 2j * X", SyntaxProblem, "`2j…` is neither", (1, 5), "decimal numbers"),
    ("Y = [X, X]", SyntaxProblem, "a value is expected", (1, 5), "a list stands only where"),
    ("X: N\nY = X", SyntaxProblem, "a shape stands in brackets", (1, 1), "X: [N, D]"),
    ("X: [N] = 3", SyntaxProblem, "a declaration is a name, a colon and a shape", (1, 1), "X: [N, D]"),
    ("Y = sum(X, foo=1)", SyntaxProblem, "no argument `foo`", (1, 16), "sum(x, axis=None, keepdims=False)"),
    ("Y = sum(X, axis=0.5)", SyntaxProblem, "`axis` of sum is a whole number", (1, 17), ""),
    ("Y = max(X, X)", SyntaxProblem, "`axis` of max is a whole number", (1, 12), "maximum(a, b)"),
    ("Y = sum(X, keepdims=1)", SyntaxProblem, "True or False", (1, 21), ""),
    ("Y = sum(X, 0, axis=0)", SyntaxProblem, "given twice", (1, 20), "sum("),
    ("Y = sum()", SyntaxProblem, "lacks its argument `x`", (1, 5), "sum("),
    ("Y = exp(X, X)", SyntaxProblem, "exp takes fewer arguments", (1, 12), "exp(x)"),
    ("Y = einsum(X, X)", SyntaxProblem, "einsum begins with its spec", (1, 12), 'einsum("nd,dm->nm", X, W)'),
    ("Y = X\x00", SyntaxProblem, "control character", (1, 6), "A-Z"),
    ("Y = X\x1b[31m", SyntaxProblem, "control character", (1, 6), "A-Z"),
    ("\u03b1 = X", SyntaxProblem, "letter outside ASCII", (1, 1), "A-Z"),
    ("Y = \uff58", SyntaxProblem, "letter outside ASCII", (1, 5), "A-Z"),
    ("Y = X\ud800", SyntaxProblem, "control character", (1, 6), "A-Z"),
]
PYTHON: list[Row] = [
    ("import os", SyntaxProblem, "an import is not part of the language", (1, 1), "Y = X @ W"),
    ("from os import path", SyntaxProblem, "an import is not part", (1, 1), "Y = X @ W"),
    ("def f(x): return x", SyntaxProblem, "a function definition is not part", (1, 1), "Y = X @ W"),
    ("class A: pass", SyntaxProblem, "a class is not part", (1, 1), "Y = X @ W"),
    ("for i in X: pass", SyntaxProblem, "a loop is not part", (1, 1), "Y = X @ W"),
    ("while 1: pass", SyntaxProblem, "a loop is not part", (1, 1), "Y = X @ W"),
    ("del X", SyntaxProblem, "a statement is not part", (1, 1), "Y = X @ W"),
    ("X += 1", SyntaxProblem, "an augmented assignment is not part", (1, 1), "Y = X @ W"),
    ("Y = lambda x: x", SyntaxProblem, "a lambda is not part", (1, 5), "Y = X @ W"),
    ("Y = [x for x in X]", SyntaxProblem, "a comprehension is not part", (1, 5), "Y = X @ W"),
    ("Y = sum(x for x in X)", SyntaxProblem, "a comprehension is not part", (1, 8), "Y = X @ W"),
    ("Y = {1: X}", SyntaxProblem, "a dictionary is not part", (1, 5), "Y = X @ W"),
    ("Y = f'{X}'", SyntaxProblem, "an f-string is not part", (1, 5), "Y = X @ W"),
    ("Y = (Z := X)", SyntaxProblem, "an assignment inside an expression", (1, 6), "Y = X @ W"),
    ("Y = X if X else X", SyntaxProblem, "a conditional expression", (1, 5), "Y = X @ W"),
    ("Y = X and X", SyntaxProblem, "`and`/`or`", (1, 5), "Y = X @ W"),
    ("Y = not X", SyntaxProblem, "operator Not", (1, 5), "-x"),
    ("Y = sum(*X)", SyntaxProblem, "a starred expression", (1, 9), "Y = X @ W"),
    ("Y = sum(X, **X)", SyntaxProblem, "`**` before an argument", (1, 14), ""),
    ("Y = X + ...", SyntaxProblem, "`...` stands for axes", (1, 9), "X[..., 0]"),
    ("X: [N, M]\nY = X[..., ...]", SyntaxProblem, "`...` stands twice", (2, 12), "X[..., 0]"),
    ("X: [N]\nY[...] = X[i]", SyntaxProblem, "on the left stand plain indices", (2, 3), "Y[i,j]"),
    ("class = X", SyntaxProblem, "`class` is a Python keyword", (1, 1), "Y = X @ W"),
    ("Y = __import__('os')", NameProblem, "`__import__` is not a name", (1, 5), "a letter first"),
    ("Y = X.__class__", SyntaxProblem, "`.__class__` is not part", (1, 5), "functions stand in front"),
    ("Y = X.sum()", SyntaxProblem, "only the functions of the language are called", (1, 5), "sum(X, axis=0)"),
    ("Y = (exp)(X)(X)", SyntaxProblem, "only the functions of the language", (1, 5), ""),
    ("Y = eval(X)", NameProblem, "unknown function `eval`", (1, 5), "the functions are"),
    ("_x = X", NameProblem, "`_x` is not a name", (1, 1), "a letter first"),
]
NAMES: list[Row] = [
    ("Y = sofmax(X)", NameProblem, "unknown function `sofmax`", (1, 5), "softmax(x, axis=-1)"),
    (
        "Y = X\nZ = exp(Y) + cosh(Y)",
        NameProblem,
        "unknown function `cosh`",
        (2, 14),
        "(exp(x) + exp(-x)) / 2",
    ),
    ("Y = silu(X)", NameProblem, "unknown function `silu`", (1, 5), "x * sigmoid(x)"),
    ("Y = argmax(X)", NameProblem, "unknown function `argmax`", (1, 5), "it has no derivative"),
    ("Y = exp + X", NameProblem, "`exp` is a function", (1, 5), "exp(x)"),
    ("Y = X(X)", NameProblem, "`X` is a tensor, not a function", (1, 5), ""),
    ("Y = X\nY = X", NameProblem, "`Y` is defined twice", (2, 1), "Y1, Y2"),
    ("X: [N]\nt: [N] in V\nt = X", NameProblem, "`t` is defined twice", (3, 1), ""),
    (
        "Y = Z @ W\nZ = X @ W",
        NameProblem,
        "`Z` is used before it is defined",
        (1, 5),
        "move its definition up",
    ),
    ("Y = X @ dX", NameProblem, "`dX` is the name of the gradient of X", (1, 9), "another name"),
    ("Y = X\ndY = X", NameProblem, "`dY` is the name of the gradient of Y", (2, 1), "another name"),
    ("sum = X", NameProblem, "`sum` is a name of the language", (1, 1), "another name"),
    ("X: [N]\nN = sum(X)", NameProblem, "`N` is a size", (2, 1), "another name"),
    ("X: [N]\nN: [N]\nY = X", NameProblem, "`N` is a size and a tensor", None, "another name"),
    ("symetric(A)\nY = A @ A", NameProblem, "`symetric` is not a fact", (1, 1), "symmetric"),
    ("X: [N]\ny[N] = X[i]", NameProblem, "`N` is a size, not an index", (2, 3), "another letter"),
    ("X: [N]\na: []\ny[i] = X[a]", NameProblem, "`a` is a tensor, not an index", (3, 10), "another letter"),
]
SHAPES: list[Row] = [
    (
        "X: [N, D]\nW: [M, K]\nY = X @ W",
        ShapeProblem,
        "N×D and M×K do not meet: the last size D",
        (3, 9),
        ".T",
    ),
    ("X: [N, D]\nW: [M, D]\nY = X @ W", ShapeProblem, "size D of the left against size M", (3, 9), "A @ B.T"),
    (
        "X: [N, D]\nb: [K]\nY = X + b",
        ShapeProblem,
        "N×D and K do not meet: size D against size K",
        (3, 9),
        "keepdims",
    ),
    ("X: [N]\nY = concatenate([X, zeros([-1])])", ShapeProblem, "a size is not negative: -1", (2, 21), ""),
    ("X: [N]\nY = concatenate([X, ones([1-N])])", ShapeProblem, "a size is not negative", (2, 21), ""),
    ("Y = X @ 2", ShapeProblem, "@ takes no scalar", (1, 9), "use *"),
    ("Y = X @ W + b", ShapeProblem, "the shape of b cannot be inferred", (1, 13), "b: [M]"),
    ("L = sum(X @ W) / N", ShapeProblem, "the shape of N cannot be inferred", (1, 18), "X: [N]"),
    ("X: [N, D]\nY = det(X)", ShapeProblem, "det: takes a square matrix, not N×D", (2, 5), "X.T @ X"),
    ("X: [N, D]\nY = sum(X, axis=2)", ShapeProblem, "axis 2 of a tensor with 2 axes", (2, 17), "0 to 1"),
    ("X: [A, B, C]\nY = X.T", ShapeProblem, ".T of a tensor with 3 axes", (2, 5), "transpose(x, [0, 2, 1])"),
    ("x: [N]\ny = reshape(x, [N, 2])", ShapeProblem, "N against 2*N", (2, 5), ""),
    ("x: [N]\ny = reshape(x, [M, -1])", ShapeProblem, "the size that -1 stands for", (2, 5), "write it out"),
    ("X: [N, 3]\nY = X[:, 3]", ShapeProblem, "entry 3 of an axis of size 3", (2, 10), ""),
    ("X: [N]\nY = X[0, 0]", ShapeProblem, "2 slots for a tensor of shape N", (2, 5), "one slot an axis"),
    ("X: [N]\nX: [M]\nY = X", ShapeProblem, "the shape of X is given twice: N and M", (2, 1), ""),
    ("X: [N]\nY: [M]\nY = X", ShapeProblem, "Y has the shape M, the expression gives N", (3, 5), ""),
    (
        "X: [N, M]\nt: [B] in N\ns: [K] in M\nY = X[t, s]",
        ShapeProblem,
        "the integer tensors have shapes B and K",
        (4, 5),
        "X[t][:, s]",
    ),
    ("x: [V]\nt: [B] in W\ny = take(x, t)", ShapeProblem, "ranges over W", (3, 5), "t: [B] in V"),
    ("x: [V]\ny = onehot(x, V)", ShapeProblem, "takes an integer tensor", (2, 5), "t: [N] in V"),
    (
        "A: [N, D]\nY = einsum('ij,jk->ik', A, A)",
        ShapeProblem,
        "index j ranges over D and over N",
        (2, 5),
        "",
    ),
    ("A: [N, D]\nY = einsum('i->i', A)", ShapeProblem, "`i` for an operand of shape N×D", (2, 5), ""),
    ("A: [N, D]\nY = einsum('...d->d', A)", ShapeProblem, "`...` stands for have no place", (2, 5), "..."),
    ("X: [N, D]\ny = diag(X)", ShapeProblem, "which of N and D is smaller", (2, 5), "diag(X[:K, :K])"),
    (
        "X: [N, D]\nY = roll(X, (1, 2, 3), axis=(0, 1))",
        ShapeProblem,
        "3 shifts for 2 axes",
        (2, 5),
        "one shift",
    ),
    ("X: [N]\nY = X[::0]", ShapeProblem, "a step is a number other than 0", (2, 7), "X[::-1]"),
    ("Y = x / 0", DomainProblem, "division by zero", (1, 9), ""),
]
INDICES: list[Row] = [
    (
        "A: [N, M]\nB: [K, D]\nC[i,k] = A[i,j] * B[j,k]",
        IndexProblem,
        "index j ranges over M and over K",
        (3, 21),
        "",
    ),
    ("X: [N, D]\nY[n] = X[n,d] + 1", IndexProblem, "the sum over d is ambiguous", (2, 17), "line of its own"),
    ("X: [N]\ny[i] = X[i+1]", IndexProblem, "the range of index i is unknown", (2, 10), '"i": "N-1"'),
    ("X: [N]\ny[i] = X[i] * lam", IndexProblem, "the range of index lam is unknown", (2, 15), "lam: []"),
    ("X: [N]\ny[i,i] = X[i]", IndexProblem, "index i stands twice on the left", (2, 5), "(i == j)"),
    (
        "X: [N]\nL = X[i] * X[i+1]",
        IndexProblem,
        "index i+1 leaves axis 0 of X: entry 7 of 7 at N = 7",
        (2, 5),
        "(0 <= i+1)",
    ),
    (
        "X: [N]\nL = X[i] * X[i+1] * (i <= N-1)",
        IndexProblem,
        "index i+1 leaves axis 0",
        (2, 5),
        "another range",
    ),
    ("x: [N]\nt: [N] in V\ny[n] = x[t[n]]", IndexProblem, "index t[n] leaves axis 0 of x", (3, 8), ""),
    ("x: [N]\ny[n] = x[n] * x[n/2]", IndexProblem, "an index is made of whole numbers", (2, 17), ""),
    (
        "X: [N, D]\nY[n] = X[n]",
        ShapeProblem,
        "X has 2 axes (N×D), 1 indices are given",
        (2, 8),
        "one index an axis",
    ),
    (
        "X: [N, D]\nY[n] = X[n,d] * X",
        ShapeProblem,
        "X has 2 axes and stands here without indices",
        (2, 17),
        "X[i, j]",
    ),
    (
        "x: [N]\ny[n] = sum(x[n])",
        NameProblem,
        "`sum` is not a function of index notation",
        (2, 8),
        "leaving an index out",
    ),
    (
        "x: [N]\ny[n] = x[n] @ x[n]",
        SyntaxProblem,
        "@ has no place in index notation",
        (2, 8),
        "A[i,j] * B[j,k]",
    ),
    ("x: [N]\ny[n] = x.T[n]", SyntaxProblem, "only a name has indices", (2, 8), "A[i,j]"),
    ("x: [N]\ny[n+1] = x[n]", SyntaxProblem, "on the left stand plain indices", (2, 3), "Y[i,j]"),
    ("y[i] = x[i+1] * z[i]", ShapeProblem, "the size of axis 0 of x cannot be inferred", (1, 8), "x: [N]"),
]
LIMITS: list[Row] = [
    (
        "x" * 1_000_000,
        LimitProblem,
        f"1,000,000 characters where at most {MAX_CHARACTERS:,}",
        None,
        "split it",
    ),
    (
        "Y = " + "(" * 10_000 + "X" + ")" * 10_000,
        LimitProblem,
        "nest more than 100 deep",
        (1, 105),
        "line of its own",
    ),
    ("Y = " + "-" * 500 + "X", LimitProblem, "nests more than 100 deep", (1, 106), "line of its own"),
    ("Y = " + "-" * 20_000 + "X", LimitProblem, "nests too deeply", None, ""),
    ("Y = " + "9" * 5_000 + " * X", LimitProblem, "a number of more than 30 digits", (1, 5), "shorter"),
    ("Y = 1e999999 * X", LimitProblem, "a number with an exponent beyond 64", (1, 5), "shorter"),
    ("Y = X ** 1000", LimitProblem, "an exponent beyond 64", (1, 10), "exp(n * log(x))"),
    ("Y = X ** 2 ** 20", LimitProblem, "an exponent beyond 64", (1, 10), ""),
    ("Y = X * ((2**64)**64)**64", LimitProblem, "a number grows too large", (1, 5), "smaller exponents"),
    ("x: [N]\ny[n] = x[n] ** 65", LimitProblem, "an exponent beyond 64", (2, 16), ""),
    ("X: [" + ", ".join("N" * 17) + "]\nY = X", LimitProblem, "17 where at most 16", (1, 1), ""),
    ("Y = " + " + ".join(["X"] * 45_000), LimitProblem, "nests too deeply", None, ""),
]


@pytest.mark.parametrize(
    ("program", "error", "message", "place", "hint"),
    SYNTAX + PYTHON + NAMES + SHAPES + INDICES + LIMITS,
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_refusals(
    program: str, error: type[PullbackError], message: str, place: tuple[int, int] | None, hint: str
) -> None:
    with pytest.raises(PullbackError) as caught:
        read_program(program)
    assert type(caught.value) is error, caught.value
    assert message in caught.value.message
    assert caught.value.where == place
    assert hint in caught.value.hint


def test_a_message_shows_the_line_and_a_caret() -> None:
    with pytest.raises(NameProblem) as caught:
        read_program("X: [N, D]\n  # with a comment\nY = X + tahn(X)")
    assert str(caught.value).splitlines() == [
        "line 3, column 9: unknown function `tahn`",
        "    Y = X + tahn(X)",
        "            ^",
        "  try: tanh(x)",
    ]


def test_no_message_carries_control_characters() -> None:
    with pytest.raises(PullbackError) as caught:
        read_program("Y = X \x1b[31m")
    assert "\x1b" not in str(caught.value)
