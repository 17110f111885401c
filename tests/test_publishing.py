"""The form that a person would publish: whole gradient programs, as they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pullback.api import derive

LSTM = """A = reshape(x @ Wx + h @ Wh + b, [N, 4, H])
i = sigmoid(take(A, 0, axis=1))
f = sigmoid(take(A, 1, axis=1))
o = sigmoid(take(A, 2, axis=1))
g = tanh(take(A, 3, axis=1))
Y = f * c + i * g"""

BLOCKS: list[tuple[str, dict[str, str], str, Sequence[str]]] = [
    (
        LSTM,
        {"x": "N D", "h": "N H", "c": "N H", "Wx": "D 4*H", "Wh": "H 4*H", "b": "4*H"},
        "Wx",
        [
            "dZ = concatenate([dY * g * i * (1 - i), dY * c * f * (1 - f), zeros([N, H]), dY * i * (1 - g ** 2)],"
            " axis=1)",
            "dWx = x.T @ dZ",
        ],
    ),
    (
        "Q = reshape(X @ W, [N, 2, H]); Y = tanh(take(Q, 0, axis=1)) * take(Q, 1, axis=1)",
        {"X": "N D", "W": "D 2*H"},
        "X",
        [
            "dZ = concatenate([dY * (Q[:, 1] - tanh(Q[:, 0]) * Y), dY * tanh(Q[:, 0])], axis=1)",
            "dX = dZ @ W.T",
        ],
    ),
    (
        "Z = X @ W; Y = reshape(tanh(Z), [N, H, P])",
        {"X": "N D", "W": "D H*P"},
        "W",
        ["dW = X.T @ reshape(dY * (1 - Y ** 2), [N, H * P])"],
    ),
]


def lines(program: str, shapes: dict[str, str], wrt: str, **facts: Any) -> list[str]:
    derivation = derive(program, shapes, wrt=[wrt], **facts)
    assert derivation.report.unknown == 0
    return list(derivation.gradients[wrt].lines)


@pytest.mark.parametrize(("program", "shapes", "wrt", "expected"), BLOCKS)
def test_blocks_of_an_axis_stand_side_by_side(
    program: str, shapes: dict[str, str], wrt: str, expected: list[str]
) -> None:
    assert lines(program, shapes, wrt) == list(expected)


FORMS: list[tuple[str, dict[str, str], str, Sequence[str]]] = [
    # what divides a term in brackets cancels against a factor outside
    ("p = sigmoid(x); L = sum(log(p) + log(1 - p))", {"x": "N"}, "x", ["dx = 1 - 2 * p"]),
    (
        "p = sigmoid(y * x); L = -mean((1 - p)**2 * log(p))",
        {"x": "N", "y": "N"},
        "x",
        ["dx = (1 - p) ** 2 * y * (2 * log(p) * p + p - 1) / N"],
    ),
    # signs and sizes
    ("L = sum(abs(x)**3)", {"x": "N"}, "x", ["dx = 3 * x * abs(x)"]),
    ("L = sum(log(abs(x)))", {"x": "N"}, "x", ["dx = 1 / x"]),
    ("Y = sign(X) * sqrt(abs(X))", {"X": "N D"}, "X", ["dX = 0.5 * dY / sqrt(abs(X))"]),
    ("Y = x * abs(x)", {"x": "N"}, "x", ["dx = 2 * dY * abs(x)"]),
    # masks
    ("Y = relu(X)**2", {"X": "N D"}, "X", ["dX = 2 * dY * relu(X)"]),
    ("L = sum((C * (1 - eye(D)))**2)", {"C": "D D"}, "C", ["dC = 2 * C * (1 - eye(D))"]),
    (
        "P = softmax(where(tril(ones([T, T])) > 0, S, -1e9), axis=1); Y = P @ V",
        {"S": "T T", "V": "T D"},
        "S",
        ["dP = dY @ V.T", "dS = tril(P) * (dP - sum(dP * P, axis=1, keepdims=True))"],
    ),
    # a product keeps its name where it is read whole, and common factors come out of what reads it
    (
        "S = be * X @ K.T; P = softmax(S, axis=1); Y = P @ K",
        {"X": "N D", "K": "M D", "be": ""},
        "be",
        ["dP = dY @ K.T", "dbe = sum(P * (dP - sum(dP * P, axis=1, keepdims=True)) * (X @ K.T))"],
    ),
    # what is repeated has a name
    (
        "Y = (X @ W) * sigmoid(X @ V)",
        {"X": "N D", "W": "D F", "V": "D F"},
        "X",
        ["s = sigmoid(X @ V)", "dX = dY * s @ W.T + dY * Y * (1 - s) @ V.T"],
    ),
    (
        "L = mean(max(M, axis=1) - sum(M * T, axis=1))",
        {"M": "N K", "T": "N K"},
        "M",
        [
            "mask = M == max(M, axis=1, keepdims=True)",
            "dM = (mask / sum(mask, axis=1, keepdims=True) - T) / N",
        ],
    ),
    (
        "u = sqrt(2 / pi) * (x + 0.044715 * x**3); Y = 0.5 * x * (1 + tanh(u))",
        {"x": "N"},
        "x",
        [
            "t = tanh(u)",
            "dx = dY * (sqrt(2 / pi) * x * (1 - t ** 2) * (0.5 + 0.0670725 * x ** 2) + 0.5 * (1 + t))",
        ],
    ),
    (
        "s = sum(X**2, axis=1, keepdims=True); Y = s + s.T - 2 * X @ X.T",
        {"X": "N D"},
        "X",
        ["h = dY + dY.T", "dX = 2 * (X * sum(h, axis=1, keepdims=True) - h @ X)"],
    ),
    # what is the same for all classes drops out of a difference from the mean
    (
        "P = softmax(Z, axis=1); L = sum(C * P) + c * sum(P * log(P))",
        {"Z": "N K", "C": "N K", "c": ""},
        "Z",
        ["h = C + c * log(P)", "dZ = P * (h - sum(P * h, axis=1, keepdims=True))"],
    ),
    # a value whose axis was kept is read again
    (
        "p = softmax(z, axis=1); kl = sum(p * (log(p) - q), axis=1, keepdims=True); L = sum(kl) / N",
        {"z": "N K", "q": "N K"},
        "z",
        ["dz = p * (log(p) - q - kl) / N"],
    ),
    # an inverse is formed where it is read whole, and only there
    (
        "L = cholesky(S); z = solve(L, x)",
        {"S": "N N", "x": "N"},
        "S",
        [
            "G = -(outer(solve(L.T, dz), z).T @ L)",
            "dS = 0.5 * solve(L.T, solve(L.T, tril(G.T) + triu(G, 1)).T)",
        ],
    ),
    # the sign of what was rectified is that of the output
    ("Y = relu(X @ W + b)", {"X": "N D", "W": "D K", "b": "K"}, "W", ["dW = X.T @ (dY * (Y > 0))"]),
    ("Z = X @ W; Y = relu(Z)", {"X": "N D", "W": "D K"}, "W", ["dW = X.T @ (dY * (Z > 0))"]),
    ("M = relu(S - 1) * (1 - eye(N)); L = sum(M)", {"S": "N N"}, "S", ["dS = M > 0"]),
    # places that are evenly spaced are added up by a sum
    ("y = concatenate([x, x, x], axis=0)", {"x": "N"}, "x", ["dx = sum(reshape(dy, [3, N]), axis=0)"]),
    (
        "Y = take(X, 0, axis=0) * z + take(X, 1, axis=0) * z + take(X, 2, axis=0) * z",
        {"X": "3 N", "z": "N"},
        "z",
        ["dz = dY * sum(X, axis=0)"],
    ),
    ("d = norm(X, axis=1); h = relu(k - d); L = sum(h**2) / 2", {"X": "N D", "k": ""}, "k", ["dk = sum(h)"]),
    # the largest tensor says how the axes of an operator lie
    (
        "L = -sum(logsumexp(log(w) - D / 2, axis=1))",
        {"D": "N K", "w": "K"},
        "w",
        ["dw = -sum(softmax(log(w) - 0.5 * D, axis=1), axis=0) / w"],
    ),
    # a difference takes the minus in
    ("L = norm(V - W @ H)**2 / 2", {"V": "N M", "W": "N K", "H": "K M"}, "W", ["dW = (W @ H - V) @ H.T"]),
    (
        "L = sum(exp(X @ w) - y * (X @ w))",
        {"X": "N D", "y": "N", "w": "D"},
        "w",
        ["dw = X.T @ (exp(X @ w) - y)"],
    ),
    # a product of each element that two lines read has a name
    (
        "D2 = sum(X**2, axis=1, keepdims=True) - 2 * X @ Z.T; K = exp(-D2 / (2 * l**2))",
        {"X": "N D", "Z": "M D", "l": ""},
        "X",
        ["G = dK * K", "dX = (G @ Z - X * sum(G, axis=1, keepdims=True)) / l ** 2"],
    ),
    # parts that exclude or complete each other
    ("L = mean(r + softplus(-2 * r))", {"r": "N"}, "r", ["dr = tanh(r) / N"]),
    ("Y = where(X > 0, X, a * X)", {"X": "N D", "a": ""}, "X", ["dX = dY * where(X > 0, 1, a)"]),
    (
        "r = x - y; L = mean(log(0.5 * (exp(r) + exp(-r))))",
        {"x": "N", "y": "N"},
        "x",
        ["dx = tanh(r) / N"],
    ),
    (
        "L = mean(y * softplus(-x) + (1 - y) * softplus(x))",
        {"x": "N", "y": "N"},
        "x",
        ["dx = (sigmoid(x) - y) / N"],
    ),
    # exp of a log_softmax is the softmax
    (
        "lp = log_softmax(z, axis=1); p = exp(lp); L = sum(p * lp)",
        {"z": "N V"},
        "z",
        ["dz = p * (lp - sum(lp * p, axis=1, keepdims=True))"],
    ),
    # sums that are zero, over two axes
    (
        "mu = mean(X, axis=(1, 2), keepdims=True); v = mean((X - mu)**2, axis=(1, 2), keepdims=True);"
        "r = 1 / sqrt(v + 1e-5); Y = (X - mu) * r",
        {"X": "N H W"},
        "X",
        [
            "dX = r * (dY - Y * mean(dY * Y, axis=(1, 2), keepdims=True)"
            " - mean(dY, axis=(1, 2), keepdims=True))",
        ],
    ),
    (
        "h = a * h0 + b * x; y = sum(c * h, axis=1)",
        {"a": "N S", "h0": "N S", "b": "N S", "x": "N 1", "c": "N S"},
        "x",
        ["dx = reshape(dy, [N, 1]) * sum(c * b, axis=1, keepdims=True)"],
    ),
]


def test_a_value_is_read_without_its_scalar_where_that_is_no_zero() -> None:
    program, shapes = "A = c * tanh(Z / c); L = sum(A**3)", {"Z": "N", "c": ""}
    assert lines(program, shapes, "Z", assume={"c": "positive"}) == [
        "dZ = 3 * A ** 2 * (1 - A ** 2 / c ** 2)"
    ]
    assert lines(program, shapes, "Z") == ["dZ = 3 * A ** 2 * (1 - tanh(Z / c) ** 2)"]


@pytest.mark.parametrize(("program", "shapes", "wrt", "expected"), FORMS)
def test_the_form_of_a_gradient(program: str, shapes: dict[str, str], wrt: str, expected: list[str]) -> None:
    assert lines(program, shapes, wrt) == list(expected)


@pytest.mark.parametrize(
    "mixture", ["0.5 * (P + Q)", "(Q + P) * 0.5", "(P + Q) / 2", "P / 2 + Q / 2", "0.5 * Q + 0.5 * P"]
)
@pytest.mark.parametrize(
    "terms", ["P * (Y - log(M)) + Q * (X - log(M))", "Q * (X - log(M)) + P * (Y - log(M))"]
)
def test_a_sum_is_read_back_in_whatever_order_it_was_written(mixture: str, terms: str) -> None:
    program = f"P = exp(Y); Q = exp(X); M = {mixture}; L = 0.5 / N * sum({terms})"
    found = derive(program, {"X": "N V", "Y": "N V"}, wrt=["X"])
    assert str(found.gradients["X"]) == "dX = 0.5 / N * Q * (X - log(M))"


LABELLED = [
    ("P = softmax(X, axis=1); L = -mean(log(P[arange(N), t]))", "dX = (P - onehot(t, C)) / N"),
    (
        "E = exp(X); P = E / sum(E, axis=1, keepdims=True); L = -mean(log(P[arange(N), t]))",
        "dX = (P - onehot(t, C)) / N",
    ),
    ("P = softmax(X, axis=1); L = -mean(log(P[:, 0]))", "dX[j,k] = (-(0 == k) + P[j,k]) / N"),
]


@pytest.mark.parametrize(("program", "expected"), LABELLED)
def test_a_bracket_cancels_a_factor_against_the_same_at_its_place(program: str, expected: str) -> None:
    found = derive(program, {"X": "N C"}, integers={"t": ("N", "C")})
    assert str(found.gradients["X"]) == expected


PIECES = [
    ("g = x[:, :H]; u = x[:, H:]; Y = g * u", {"x": "N 2*H"}, "dx = concatenate([dY * u, dY * g], axis=1)"),
    (
        "g = x[:, :K]; u = x[:, K:]; L = sum(g**2) + sum(u**3)",
        {"x": "N M", "w": "K"},
        "dx = concatenate([2 * g, 3 * u ** 2], axis=1)",
    ),
    ("g = x[3:]; L = sum(g**2)", {"x": "N + 3"}, "dx = concatenate([zeros([3]), 2 * g], axis=0)"),
    (
        "g = x[:, 1:-1]; L = sum(g**2)",
        {"x": "N M"},
        "dx = concatenate([zeros([N, 1]), 2 * g, zeros([N, 1])], axis=1)",
    ),
    (
        "q = x[:, :D]; k = x[:, D:2*D]; v = x[:, 2*D:]; Y = softmax(q @ k.T) @ v",
        {"x": "N 3*D"},
        "P = softmax(q @ k.T, axis=1)\ndP = dY @ v.T\ndZ = P * (dP - sum(dP * P, axis=1, keepdims=True))\n"
        "dx = concatenate([dZ @ k, dZ.T @ q, P.T @ dY], axis=1)",
    ),
    # Pieces that overlap, or that may, stay brackets.
    ("y = x[1:] - x[:-1]", {"x": "N"}, "dx[j] = dy[j - 1] * (0 <= j - 1) - dy[j] * (j < N - 1)"),
    ("Y[i] = x[i] * (i < K)", {"x": "N", "w": "K"}, "dx[j] = dY[j] * (j < K)"),
]


@pytest.mark.parametrize(("program", "shapes", "expected"), PIECES)
def test_pieces_of_an_axis_are_laid_side_by_side(program: str, shapes: dict[str, str], expected: str) -> None:
    derivation = derive(program, shapes, wrt=["x"])
    assert str(derivation.gradients["x"]) == expected
    assert all(step.status == "exact" for step in derivation.steps)


LOGISTIC = "z = sigmoid(X @ w + b); L = -sum(y * log(z) + (1 - y) * log(1 - z)) / N"


def test_brackets_are_multiplied_out_once_denominators_have_gone() -> None:
    found = derive(LOGISTIC, {"X": "N D", "w": "D", "b": "", "y": "N"}, wrt=["X", "w"]).gradients
    assert {name: str(g) for name, g in found.items()} == {
        "X": "dX = outer(z - y, w) / N",
        "w": "dw = X.T @ (z - y) / N",
    }


def test_a_gradient_that_is_zero_whatever_the_input_goes() -> None:
    program = "S = Z - max(Z, axis=1, keepdims=True); l = S - log(sum(exp(S), axis=1, keepdims=True))"
    found = derive(f"{program}; L = -mean(l[arange(N), t])", {"Z": "N C"}, integers={"t": ("N", "C")})
    assert str(found.gradients["Z"]) == "dZ = (softmax(S, axis=1) - onehot(t, C)) / N"


def test_nothing_that_a_bracket_keeps_inside_is_named_without_it() -> None:
    program = "g = x[:, :H]; u = x[:, H:]; A = x @ W; B = x @ V; Y = g * u * sum(A) + g * u * sum(B)"
    derivation = derive(program, {"x": "N 2*H", "W": "2*H K", "V": "2*H K"})
    assert all(step.status == "exact" for step in derivation.steps)


@pytest.mark.parametrize(
    ("program", "shapes", "name", "expected"),
    [
        (
            "mu = mean(x, axis=1, keepdims=True)\nr = 1 / sqrt(mean((x - mu) ** 2, axis=1, keepdims=True) + 1e-5)\n"
            "h = (x - mu) * r\nY = h * w",
            {"x": "N 8", "w": "8"},
            "x",
            "dh = dY * w\n"
            "dx = r * (dh - h * mean(dh * h, axis=1, keepdims=True) - mean(dh, axis=1, keepdims=True))",
        ),
        ("Y = x - mean(x)", {"x": "4"}, "x", "dx = dY - mean(dY)"),
        ("Y = x - 0.5 * sum(x)", {"x": "4"}, "x", "dx = dY - 0.5 * sum(dY)"),
        ("Y = x * mean(x)", {"x": "5"}, "x", "dx = mean(x) * dY + dY @ x / 5"),
    ],
)
def test_means_over_a_known_size_stay_means(
    program: str, shapes: dict[str, str], name: str, expected: str
) -> None:
    assert str(derive(program, shapes, wrt=[name]).gradients[name]) == expected
