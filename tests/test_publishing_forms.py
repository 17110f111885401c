"""Forms that textbooks and papers print: each gradient of a short program, all of them asked for at once."""

from __future__ import annotations

import pytest

from pullback import derive

Row = tuple[str, dict[str, str], dict[str, str], dict[str, str]]
ROWS: list[Row] = [
    # denominators inside a sum meet the factors around it
    (
        "r = y - X @ w; L = 0.5 * (nu + 1) * sum(log(1 + r**2 / (nu * s2)))",
        {"X": "N D", "w": "D", "y": "N", "nu": "", "s2": ""},
        {"nu": "positive", "s2": "positive"},
        {"w": "dw = -(nu + 1) * (X.T @ (r / (nu * s2 + r ** 2)))"},
    ),
    (
        "r = y - X @ w; L = sum(r**2 / (s + r**2))",
        {"X": "N D", "w": "D", "y": "N", "s": ""},
        {"s": "positive"},
        {"w": "dw = -2 * s * (X.T @ (r / (s + r ** 2) ** 2))"},
    ),
    ("Y = X / (1 + abs(X))", {"X": "N D"}, {}, {"X": "dX = dY / (1 + abs(X)) ** 2"}),
    # the diagonal of a matrix that is not square
    ("f = trace(X)", {"X": "N M"}, {}, {"X": "dX[i,j] = (i == j)"}),
    # a sum that divides another
    ("t = tanh(x); y = log(1 - t)", {"x": "N"}, {}, {"x": "dx = -dy * (1 + t)"}),
    ("y = log(1 + tanh(x))", {"x": "N"}, {}, {"x": "dx = dy * (1 - tanh(x))"}),
    # a mean over the axes that one factor alone has
    (
        "Y = mean(X, axis=(2, 3)) @ W",
        {"X": "N C H V", "W": "C K"},
        {},
        {
            "X": "dX = reshape(dY @ W.T, [N, C, 1, 1]) / (H * V) * ones([N, C, H, V])",
            "W": "dW = mean(X, axis=(2, 3)).T @ dY",
        },
    ),
    # a softmax over several axes
    (
        "P = softmax(X, axis=(1, 2)); L = sum(P * G)",
        {"X": "N H V", "G": "N H V"},
        {},
        {"X": "dX = P * (G - sum(G * P, axis=(1, 2), keepdims=True))"},
    ),
    (
        "L = -sum(T * log_softmax(X, axis=(1, 2))) / N",
        {"X": "N H V", "T": "N H V"},
        {},
        {"X": "P = softmax(X, axis=(1, 2))\ndX = (P * sum(T, axis=(1, 2), keepdims=True) - T) / N"},
    ),
    # a uniform gradient is a number
    (
        "P = softmax(Z, axis=1); H = -sum(P * log(P), axis=1); L = mean(H)",
        {"Z": "N A"},
        {},
        {"Z": "dZ = -P * (log(P) + reshape(H, [N, 1])) / N"},
    ),
    # a diagonal collapses in the softmax's Jacobian
    (
        "S = X @ Y.T / tau; P = softmax(S, axis=1); L = -trace(log(P)) / N",
        {"X": "N D", "Y": "N D", "tau": ""},
        {"tau": "positive"},
        {"X": "dX = (P - eye(N)) @ Y / (N * tau)", "Y": "dY = (P - eye(N)).T @ X / (N * tau)"},
    ),
    # powers with a letter as their exponent
    (
        "L = sum(x**a * log(x))",
        {"x": "N", "a": ""},
        {"x": "positive"},
        {"x": "dx = x ** (a - 1) * (a * log(x) + 1)"},
    ),
    (
        "L = sum(x**a * exp(-b * x))",
        {"x": "N", "a": "", "b": ""},
        {"x": "positive"},
        {"x": "dx = x ** (a - 1) * exp(-b * x) * (a - b * x)"},
    ),
    ("y = x**p / p", {"x": "N", "p": ""}, {"x": "positive"}, {"x": "dx = dy * x ** (p - 1)"}),
    # one root of a quotient
    (
        "L = 0.5 * sum((sqrt(p) - sqrt(q))**2)",
        {"p": "K", "q": "K"},
        {"p": "positive", "q": "positive"},
        {"p": "dp = 0.5 * (1 - sqrt(q / p))"},
    ),
    # the loss is read where its terms come together again
    (
        "P = softmax(z); L = sum(P * (log(P) - l))",
        {"z": "K", "l": "K"},
        {},
        {"z": "dz = P * (log(P) - l - L)"},
    ),
    # one sum over differences
    (
        "s = (m - x) / v; L = 0.5 * mean(sum((s - t)**2, axis=1))",
        {"x": "N D", "m": "D", "t": "N D", "v": ""},
        {"v": "positive"},
        {"m": "dm = mean(s - t, axis=0) / v"},
    ),
    # two matrices between two vectors
    (
        "K = exp(-g * D2); f = K @ a",
        {"D2": "N M", "a": "M", "g": ""},
        {},
        {"g": "dg = -(df @ (K * D2) @ a)"},
    ),
    # a maximum is 0 where its tie is
    (
        "m = 1 - y * (X @ w); L = sum(maximum(0, m)**2)",
        {"X": "N D", "w": "D", "y": "N"},
        {},
        {"w": "dw = -2 * X.T @ (maximum(0, m) * y)"},
    ),
    # the norm of a vector that nothing names
    (
        "L = norm(A @ x - b) / norm(b)",
        {"A": "M N", "x": "N", "b": "M"},
        {},
        {"x": "z = A @ x - b\ndx = A.T @ z / norm(z) / norm(b)"},
    ),
    # factors of one row meet before they are laid out
    (
        "K = exp(-C / e); v = b / (K.T @ u); L = sum(v * f)",
        {"C": "N M", "u": "N", "b": "M", "f": "M", "e": ""},
        {"e": "positive"},
        {"C": "dC = outer(u, f / (K.T @ u) * v) * K / e"},
    ),
    # a contraction of a difference
    (
        "T = einsum('ir,jr,kr->ijk', A, B, G); L = 0.5 * sum((T - X)**2)",
        {"A": "N R", "B": "M R", "G": "K R", "X": "N M K"},
        {},
        {"A": 'dA = einsum("nmk,mr,kr->nr", T - X, B, G)'},
    ),
    # a program that solves systems is answered with systems
    (
        "Z = solve(C, (X - m).T).T; L = 0.5 * sum(Z**2)",
        {"X": "N D", "C": "D D", "m": "D"},
        {"C": "invertible"},
        {"X": "dX = solve(C.T, Z.T).T"},
    ),
    # a root that was differentiated again, over one denominator
    ("y = x / sqrt(1 + x**2)", {"x": "N"}, {}, {"x": "dx = dy / (1 + x ** 2) ** 1.5"}),
    # an axis of size 1 is read at its only place
    ("y = prod(X, axis=1, keepdims=True)", {"X": "N D"}, {"X": "nonzero"}, {"X": "dX = dy * y / X"}),
    # a sum of ones counts them
    (
        "A = log_softmax(a, axis=0) - S; L = -sum(logsumexp(A, axis=1))",
        {"S": "N K", "a": "K"},
        {},
        {"a": "da = N * softmax(a) - sum(softmax(A, axis=1), axis=0)"},
    ),
    # differences are compared, not their sign
    ("L = sum(relu(a - b))", {"a": "N", "b": "N"}, {}, {"a": "da = a > b", "b": "db = -(a > b)"}),
    (
        "Y = relu(X) - a * relu(-X)",
        {"X": "N D", "a": "D"},
        {},
        {"X": "dX = dY * ((X > 0) + a * (X < 0))", "a": "da = -sum(dY * relu(-X), axis=0)"},
    ),
    (
        "m = 1 - y * (X @ w); L = 0.5 * (w @ w) + C * sum(relu(m)**2)",
        {"X": "N D", "w": "D", "y": "N", "C": ""},
        {},
        {"w": "dw = w - 2 * C * X.T @ (relu(m) * y)"},
    ),
    # an outer product instead of a column times a row
    (
        "K = exp(-M / e); u = a / (K @ v); L = sum(u)",
        {"M": "N M2", "v": "M2", "a": "N", "e": ""},
        {"e": "positive", "v": "positive", "a": "positive"},
        {"M": "dM = outer(u / (K @ v), v) * K / e"},
    ),
    # one transpose around a sum
    (
        "L = trace(X @ X @ X @ A)",
        {"X": "N N", "A": "N N"},
        {},
        {"X": "dX = (X @ (X @ A + A @ X) + A @ (X @ X)).T"},
    ),
    # a product that is known is found on both sides of a third
    (
        "K = P @ H.T @ inv(H @ P @ H.T + R); Y = (eye(N) - K @ H) @ P",
        {"P": "N N", "H": "M N", "R": "M M"},
        {"P": "spd", "R": "spd"},
        {"R": "dR = K.T @ dY @ K"},
    ),
    # a bias before a norm over another axis: what the norm sends back has a name already
    (
        "z = x + b[:, None]; r = transpose(z, [0, 2, 1]); m = mean(r, axis=2, keepdims=True); "
        "s = 1 / sqrt(mean((r - m)**2, axis=2, keepdims=True) + 1e-6); h = (r - m) * s; Y = (h * g) @ W",
        {"x": "N 4 T", "b": "4", "g": "4", "W": "4 M"},
        {},
        {
            "x": "dh = g * (dY @ W.T)\n"
            "dr = s * (dh - h * mean(dh * h, axis=2, keepdims=True) - mean(dh, axis=2, keepdims=True))\n"
            "dx = transpose(dr, [0, 2, 1])",
            "b": "dh = g * (dY @ W.T)\n"
            "dr = s * (dh - h * mean(dh * h, axis=2, keepdims=True) - mean(dh, axis=2, keepdims=True))\n"
            "db = sum(dr, axis=(0, 1))",
        },
    ),
    # patches behind a class token
    (
        "p = conv2d(x, W, stride=2); "
        "Y = concatenate([c * ones([N, 1, M]), reshape(transpose(p, [0, 2, 3, 1]), [N, 4, M])], axis=1)",
        {"x": "N C 4 4", "W": "M C 2 2", "c": "M"},
        {},
        {
            "W": 'dW = einsum("nijm,ncitju->mctu", reshape(dY[:, 1:], [N, 2, 2, M]), '
            "reshape(x, [N, C, 2, 2, 2, 2]))",
            "c": "dc = sum(dY[:, 0], axis=0)",
        },
    ),
    # batch norm in steps, with every gradient
    (
        "mu = mean(X, axis=0); xc = X - mu; var = mean(xc**2, axis=0); std = sqrt(var + eps); "
        "xn = xc / std; Y = g * xn + b",
        {"X": "N D", "g": "D", "b": "D", "eps": ""},
        {"eps": "positive"},
        {
            "X": "dX = g / std * (dY - xn * mean(dY * xn, axis=0) - mean(dY, axis=0))",
            "g": "dg = sum(dY * xn, axis=0)",
            "b": "db = sum(dY, axis=0)",
            "eps": "deps = -0.5 * sum(g / std * sum(dY * xn, axis=0) / std)",
        },
    ),
]


@pytest.mark.parametrize(
    ("program", "shapes", "assume", "expected"), ROWS, ids=[str(k) for k in range(len(ROWS))]
)
def test_the_published_form(
    program: str, shapes: dict[str, str], assume: dict[str, str], expected: dict[str, str]
) -> None:
    found = derive(program, shapes, assume=assume or None, wrt=list(expected))
    assert {name: str(formula) for name, formula in found.gradients.items()} == expected
    assert all(step.status == "exact" for step in found.steps)
