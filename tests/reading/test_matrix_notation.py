"""Matrix notation: what one element is, with the names and the order in which it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.reading import read_program

# program, shapes, its definitions; `?=` marks the ones that the reader introduced
READINGS: list[tuple[str, dict[str, str], list[str]]] = [
    ("Y = X @ W", {"X": "N D", "W": "D M"}, ["Y[n,m] = Σ_d X[n,d]*W[d,m]"]),
    ("Y = X @ W + b", {"X": "N D", "W": "D M", "b": "M"}, ["Y[n,m] = (Σ_d X[n,d]*W[d,m] + b[m])"]),
    ("y = W @ x", {"W": "M N", "x": "N"}, ["y[m] = Σ_n W[m,n]*x[n]"]),
    ("f = a @ X @ a", {"X": "N N", "a": "N"}, ["f = Σ_n,i a[n]*X[n,i]*a[i]"]),
    ("Y = A @ (B @ C)", {"A": "N D", "B": "D M", "C": "M K"}, ["Y[n,k] = Σ_d,m A[n,d]*B[d,m]*C[m,k]"]),
    ("Y = (A * B) @ C", {"A": "N D", "B": "N D", "C": "D M"}, ["Y[n,m] = Σ_d A[n,d]*B[n,d]*C[d,m]"]),
    ("f = trace(A @ X.T @ B)", {"X": "M N", "A": "P N", "B": "M P"}, ["f = Σ_p,n,m A[p,n]*X[m,n]*B[m,p]"]),
    ("L = mean(Y)", {"Y": "N D"}, ["L = Σ_n,d Y[n,d]*N^(-1)*D^(-1)"]),
    ("Y = mean(X, axis=1, keepdims=True)", {"X": "N D"}, ["Y[n,i] = Σ_d X[n,d]*D^(-1)"]),
    ("Y = X - mean(X, axis=0)", {"X": "N D"}, ["Y[n,d] = (X[n,d] + -1*Σ_i X[i,d]*N^(-1))"]),
    ("Y = A @ C", {"A": "B N K", "C": "K P"}, ["Y[b,n,p] = Σ_k A[b,n,k]*C[k,p]"]),
    (
        "P = softmax(Q @ K.T)",
        {"Q": "N D", "K": "M D"},
        ["Z[n,m] ?= Σ_d Q[n,d]*K[m,d]", "P[n,m] = softmax<i: Z[n,i]>[m]"],
    ),
    (
        "L = -sum(log_softmax(X @ W, axis=1) * T)",
        {"X": "N D", "W": "D K", "T": "N K"},
        ["Z[n,k] ?= Σ_d X[n,d]*W[d,k]", "R[n,k] ?= log_softmax<i: Z[n,i]>[k]", "L = -1*Σ_n,k R[n,k]*T[n,k]"],
    ),
    (
        "Y = inv(X + A).T",
        {"X": "N N", "A": "N N"},
        ["Z[n,i] ?= (X[n,i] + A[n,i])", "V[n,i] ?= inv<j,k: Z[j,k]>[n,i]", "Y[n,i] = V[i,n]"],
    ),
    (
        "Y = inv(A) @ B @ inv(A)",
        {"A": "N N", "B": "N N"},
        ["V[n,i] ?= inv<j,k: A[j,k]>[n,i]", "Y[n,i] = Σ_j,k V[n,j]*B[j,k]*V[k,i]"],
    ),
    (
        "y = exp(X @ w) / sum(exp(X @ w))",
        {"X": "N D", "w": "D"},
        ["z[n] ?= Σ_d X[n,d]*w[d]", "s ?= Σ_n exp(z[n])", "y[n] = exp(z[n])*s^(-1)"],
    ),
    (
        "Y = X / norm(X, axis=1, keepdims=True)",
        {"X": "N D"},
        ["Z[n,i] ?= Σ_d X[n,d]^(2)", "Y[n,d] = X[n,d]*Z[n,0]^(-1/2)"],
    ),
    ("f = norm(x)**2", {"x": "N"}, ["z ?= Σ_n x[n]^(2)", "f = z"]),
    ("Y = 0.044715 * X**3 - 1e-5", {"X": "N D"}, ["Y[n,d] = (8943/200000*X[n,d]^(3) + -1/100000)"]),
    ("Y = sqrt(2 / pi) * X", {"X": "N D"}, ["Y[n,d] = 2*pi^(-1)^(1/2)*X[n,d]"]),
    ("Y = X / 2 / a * b", {"X": "N", "a": "", "b": ""}, ["Y[n] = 1/2*X[n]*a^(-1)*b"]),
    ("Y = a - (b - c)", {"a": "N", "b": "N", "c": "N"}, ["Y[n] = (a[n] + -1*b[n] + c[n])"]),
    ("Y = (X > 0) * (0 <= X <= 1)", {"X": "N"}, ["Y[n] = [X[n] > 0]*[0 <= X[n]]*[X[n] <= 1]"]),
    ("Y = relu(X @ W)", {"X": "N D", "W": "D M"}, ["Z[n,m] ?= Σ_d X[n,d]*W[d,m]", "Y[n,m] = relu(Z[n,m])"]),
    ("y = reshape(x, [N, 1])", {"x": "N"}, ["y[n,i] = x[n]"]),
    ("y = reshape(X, [N * D])", {"X": "N D"}, ["y[i] = X[floordiv(i, D),mod(i, D)]"]),
    ("y = reshape(x, [N, -1])", {"x": "N*D"}, ["y[n,d] = x[(D*n + d)]"]),
    ("Y = reshape(X, [B*T, D])", {"X": "B T D"}, ["Y[i,d] = X[floordiv(i, T),mod(i, T),d]"]),
    ("Y = reshape(X, [D, N])", {"X": "N D"}, ["Y[d,n] = X[floordiv((N*d + n), D),mod((N*d + n), D)]"]),
    (
        "y = concatenate([a, b, c])",
        {"a": "N", "b": "M", "c": "K"},
        [
            "y[i] = ([i < N]*a[i] + [N <= i]*[i < (M + N)]*b[(i + -1*N)]"
            " + [(M + N) <= i]*c[(i + -1*M + -1*N)])"
        ],
    ),
    (
        "y = concatenate([log(a), b])",
        {"a": "N", "b": "M"},
        ["z[n] ?= log(a[n])", "y[i] = ([i < N]*z[i] + [N <= i]*b[(i + -1*N)])"],
    ),
    ("Y = X[:, 0]", {"X": "N D"}, ["Y[n] = X[n,0]"]),
    ("y = x[1:] - x[:-1]", {"x": "N"}, ["y[i] = (x[(i + 1)] + -1*x[i])"]),
    ("y = x[::-1]", {"x": "N"}, ["y[n] = x[(N + -1*n + -1)]"]),
    ("Y = x[:, None] * x[None, :]", {"x": "N"}, ["Y[n,i] = x[n]*x[i]"]),
    ("Y = tril(X) + triu(X, 1)", {"X": "N N"}, ["Y[n,i] = (X[n,i]*[i <= n] + X[n,i]*[i >= (n + 1)])"]),
    ("y = cumsum(x)", {"x": "N"}, ["y[n] = Σ_i x[i]*[i <= n]"]),
    ("y = roll(x, 1)", {"x": "N"}, ["y[n] = x[mod((n + -1), N)]"]),
    (
        "Y = kron(A, B)",
        {"A": "M N", "B": "P Q"},
        ["Y[i,j] = A[floordiv(i, P),floordiv(j, Q)]*B[mod(i, P),mod(j, Q)]"],
    ),
    (
        "Y = conv1d(X, K, padding=1)",
        {"X": "N C L", "K": "O C R"},
        ["Y[n,o,i] = Σ_c,r X[n,c,(i + r + -1)]*K[o,c,r]*[0 <= (i + r + -1)]*[(i + r + -1) < L]"],
    ),
    ("Y = max_pool2d(X, 2)", {"X": "N C 2*P 2*Q"}, ["Y[n,c,p,q] = max<i,j: X[n,c,(2*p + i),(2*q + j)]>[]"]),
    (
        "Y = einsum('bhid,bhjd->bhij', Q, K)",
        {"Q": "B H N D", "K": "B H N D"},
        ["Y[b,h,i,j] = Σ_d Q[b,h,i,d]*K[b,h,j,d]"],
    ),
    ("f = einsum('ii', A)", {"A": "N N"}, ["f = Σ_i A[i,i]"]),
    (
        "f = logsumexp(x) - max(x)",
        {"x": "N"},
        ["z ?= logsumexp<n: x[n]>[]", "s ?= max<n: x[n]>[]", "f = (z + -1*s)"],
    ),
    ("Y = N * eye(N) + ones([N, N])", {"x": "N"}, ["Y[n,i] = (N*[n == i] + 1)"]),
    ("d = x + x\nY = d * d", {"x": "D"}, ["d[i] = (x[i] + x[i])", "Y[i] = d[i]*d[i]"]),
    ("x = a * a\nY = x @ X", {"a": "X0", "X": "X0 N"}, ["x[i] = a[i]*a[i]", "Y[n] = Σ_i x[i]*X[i,n]"]),
]


@pytest.mark.parametrize(("program", "shapes", "expected"), READINGS, ids=[row[0] for row in READINGS])
def test_readings(program: str, shapes: dict[str, str], expected: list[str], lines: Any) -> None:
    assert lines(read_program(program, shapes=shapes).definitions) == expected


SIZES = {"N": 4, "D": 3, "M": 5, "C": 4, "O": 6, "H": 7, "L": 6}
SHAPES = {
    "X": "N D", "A": "N N", "x": "N", "y": "D", "s": "", "I": "N C H L", "K": "O C 3 2", "G": "O 2 3 2",
    "E": "M D",
}  # fmt: skip
RNG = np.random.default_rng(7)
INPUTS: dict[str, Any] = {
    "X": RNG.normal(size=(4, 3)), "A": RNG.normal(size=(4, 4)) + 4 * np.eye(4), "x": RNG.normal(size=4),
    "y": RNG.normal(size=3), "s": np.asarray(0.7), "I": RNG.normal(size=(4, 4, 7, 6)),
    "K": RNG.normal(size=(6, 4, 3, 2)), "G": RNG.normal(size=(6, 2, 3, 2)), "E": RNG.normal(size=(5, 3)),
    "t": RNG.integers(0, 5, size=4), "u": RNG.integers(0, 4, size=4), "v": RNG.integers(0, 6, size=4),
    "w": RNG.integers(0, 4, size=4),
}  # fmt: skip
V = INPUTS
INTEGERS = {"t": ("N", "M"), "u": ("N", "C"), "v": ("N", "L"), "w": ("N", "N")}


def correlate(x: Any, k: Any, stride: int, padding: int, dilation: int, groups: int) -> Any:
    """conv2d by its definition, one output at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (n, _, h, w), (o, c, r, q) = x.shape, k.shape
    rows, columns = (h - dilation * (r - 1) - 1) // stride + 1, (w - dilation * (q - 1) - 1) // stride + 1
    out = np.zeros((n, o, rows, columns))
    for a, i, j in np.ndindex(o, rows, columns):
        first = (a // (o // groups)) * c
        for u, v in np.ndindex(r, q):
            part = x[:, first : first + c, stride * i + dilation * u, stride * j + dilation * v]
            out[:, a, i, j] += part @ k[a, :, u, v]
    return out


def windows(x: Any, size: int, stride: int) -> Any:
    """The pooling windows of an image, on two last axes."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


# expression, its value in NumPy; shapes and inputs are those above
MEANINGS: list[tuple[str, Any]] = [
    ("X[0]", V["X"][0]),
    ("X[-1]", V["X"][-1]),
    ("X[:, 1]", V["X"][:, 1]),
    ("X[1:3]", V["X"][1:3]),
    ("X[:-1] - X[1:]", V["X"][:-1] - V["X"][1:]),
    ("X[::2]", V["X"][::2]),
    ("X[1:N:2, ::-1]", V["X"][1::2, ::-1]),
    ("X[::-2]", V["X"][::-2]),
    ("X[-1:0:-1, -2::-1]", V["X"][-1:0:-1, -2::-1]),
    ("I[:, :, H-2:0:-2, 5:1:-3]", V["I"][:, :, 5:0:-2, 5:1:-3]),
    ("cumsum(ones([5]))[9:0:-2]", np.asarray([5.0, 3.0])),
    ("cumsum(ones([5]))[-9:2]", np.asarray([1.0, 2.0])),
    ("x[:, None] + y[None, :]", V["x"][:, None] + V["y"]),
    ("E[t]", V["E"][V["t"]]),
    ("E[t, 1:]", V["E"][V["t"], 1:]),
    ("take(E, t)", V["E"][V["t"]]),
    ("I[..., 0]", V["I"][..., 0]),
    ("I[0, ..., :2]", V["I"][0, ..., :2]),
    ("I[..., None, 1, :]", V["I"][..., None, 1, :]),
    ("I[w, u]", V["I"][V["w"], V["u"]]),
    ("I[:, u, 1, v]", V["I"][:, V["u"], 1, V["v"]]),
    ("I[w, :, :, v]", V["I"][V["w"], :, :, V["v"]]),
    ("I[..., u, :, v]", V["I"][..., V["u"], :, V["v"]]),
    ("I[0, :, :, v]", V["I"][0, :, :, V["v"]]),
    ("I[arange(N), u]", V["I"][np.arange(4), V["u"]]),
    ("onehot(t, M) @ E", V["E"][V["t"]]),
    ("flip(X)", np.flip(V["X"])),
    ("flip(X, axis=1)", np.flip(V["X"], axis=1)),
    ("roll(x, 1)", np.roll(V["x"], 1)),
    ("roll(X, -2, axis=0)", np.roll(V["X"], -2, axis=0)),
    ("roll(X, (1, -2), axis=(0, -1))", np.roll(V["X"], (1, -2), axis=(0, -1))),
    ("roll(X, 1, axis=(0, 1))", np.roll(V["X"], 1, axis=(0, 1))),
    ("roll(X, 2)", np.roll(V["X"], 2)),
    ("transpose(I, [0, 2, 3, 1])", V["I"].transpose(0, 2, 3, 1)),
    ("transpose(X)", V["X"].T),
    ("reshape(I, [N*C, H, -1])", V["I"].reshape(16, 7, 6)),
    ("reshape(X, [D, N])", V["X"].reshape(3, 4)),
    ("reshape(reshape(X, [D*N]), [N, D])", V["X"]),
    ("concatenate([X, E, X], axis=0)", np.concatenate([V["X"], V["E"], V["X"]])),
    ("concatenate([X, exp(X)], axis=-1)", np.concatenate([V["X"], np.exp(V["X"])], axis=-1)),
    ("concatenate([x, ones([2])])[N]", np.asarray(1.0)),
    ("tril(A, -1) + triu(A, 2)", np.tril(V["A"], -1) + np.triu(V["A"], 2)),
    ("diag(x) + diag(diag(A))", np.diag(V["x"]) + np.diag(np.diag(V["A"]))),
    ("diag(A[:3, :2]) * diag(A[:2, :3])", np.diag(V["A"])[:2] ** 2),
    ("diag(ones([N, N+2]) * x[:, None])", V["x"]),
    ("outer(x, y) * s", np.outer(V["x"], V["y"]) * V["s"]),
    ("kron(X, A)", np.kron(V["X"], V["A"])),
    ("kron(x, y)", np.kron(V["x"], V["y"])),
    ("cumsum(X, axis=1)", np.cumsum(V["X"], axis=1)),
    ("sum(I, axis=(0, -1), keepdims=True)", V["I"].sum(axis=(0, -1), keepdims=True)),
    ("mean(I, axis=[1, 2])", V["I"].mean(axis=(1, 2))),
    ("max(I, axis=(2, 3))", V["I"].max(axis=(2, 3))),
    ("min(X) + max(X, axis=0, keepdims=True)", V["X"].min() + V["X"].max(axis=0, keepdims=True)),
    ("prod(X, axis=1)", V["X"].prod(axis=1)),
    ("logsumexp(X, axis=0)", np.log(np.exp(V["X"]).sum(axis=0))),
    ("norm(X, axis=1, keepdims=True)", np.linalg.norm(V["X"], axis=1, keepdims=True)),
    ("inv(A) @ X", np.linalg.inv(V["A"]) @ V["X"]),
    ("solve(A, X)", np.linalg.solve(V["A"], V["X"])),
    ("solve(A, x)", np.linalg.solve(V["A"], V["x"])),
    ("cholesky(A @ A.T)", np.linalg.cholesky(V["A"] @ V["A"].T)),
    ("det(A) + logdet(A)", np.linalg.det(V["A"]) + np.linalg.slogdet(V["A"])[1]),
    ("einsum('nd,md', X, E)", np.einsum("nd,md", V["X"], V["E"])),
    ("einsum('ii->i', A)", np.einsum("ii->i", V["A"])),
    ("einsum('n...,...m->n...m', A, A)", np.einsum("n...,...m->n...m", V["A"], V["A"])),
    ("einsum('...d,...', X, x[:, None])", np.einsum("...d,...", V["X"], V["x"][:, None])),
    ("einsum('ba', X)", V["X"].T),
    ("einsum('nn,n,nd->d', A, x, X)", np.einsum("nn,n,nd->d", V["A"], V["x"], V["X"])),
    ("where(X > 0, X, s)", np.where(V["X"] > 0, V["X"], V["s"])),
    ("maximum(X, y) - minimum(X, 0)", np.maximum(V["X"], V["y"]) - np.minimum(V["X"], 0)),
    ("(X >= 0) + (X != X) + (X == X) * (X < y)", (V["X"] >= 0) + 1.0 * (V["X"] < V["y"])),
    ("2 ** X + abs(X) ** y", 2 ** V["X"] + np.abs(V["X"]) ** V["y"]),
    ("x @ X + y", V["x"] @ V["X"] + V["y"]),
    ("x @ x", np.asarray(V["x"] @ V["x"])),
    ("I @ ones([L, D])", V["I"] @ np.ones((6, 3))),
    ("-X + +X - (-X)", V["X"]),
    ("softmax(I, axis=(-1, 1))", np.exp(V["I"]) / np.exp(V["I"]).sum(axis=(1, 3), keepdims=True)),
    ("log_softmax(X, axis=None)", V["X"] - np.log(np.exp(V["X"]).sum())),
    ("softmax(I, axis=1)", np.exp(V["I"]) / np.exp(V["I"]).sum(axis=1, keepdims=True)),
    ("x ** 2 ** 3", V["x"] ** 8),
    ("N * pi + N // 3 + N % 3", np.asarray(4 * np.pi + 2)),
    ("conv2d(I, K)", correlate(V["I"], V["K"], 1, 0, 1, 1)),
    ("conv2d(I, K, stride=2, padding=1)", correlate(V["I"], V["K"], 2, 1, 1, 1)),
    ("conv2d(I, K, dilation=2)", correlate(V["I"], V["K"], 1, 0, 2, 1)),
    ("max_pool2d(I, 2)", windows(V["I"], 2, 2).max(axis=(4, 5))),
    ("max_pool2d(I, 3, stride=2)", windows(V["I"], 3, 2).max(axis=(4, 5))),
    ("avg_pool2d(I, 3, stride=1)", windows(V["I"], 3, 1).mean(axis=(4, 5))),
]


@pytest.mark.parametrize(("expression", "expected"), MEANINGS, ids=[row[0] for row in MEANINGS])
def test_meanings(expression: str, expected: Any, floats: Any) -> None:
    program = read_program(f"out = {expression}", shapes=SHAPES, integers=INTEGERS)
    meaning = floats(INPUTS, SIZES)
    for definition in program.definitions:
        result = meaning.define(definition)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_grouped_convolution(floats: Any) -> None:
    program = read_program("out = conv2d(I, G, groups=2)", shapes={"I": "N 4 H L", "G": "6 2 3 2"})
    result = floats(INPUTS, SIZES).define(program.definitions[-1])
    np.testing.assert_allclose(result, correlate(V["I"], V["G"], 1, 0, 1, 2), rtol=1e-12, atol=1e-12)


def test_one_definition_for_a_repeated_subexpression() -> None:
    program = read_program("y = tanh(X @ w) * exp(X @ w) + tanh(X @ w)")
    assert [d.tensor.name for d in program.definitions] == ["z", "y"]


@pytest.mark.parametrize(
    ("program", "hidden"),
    [("Z = X @ W\nS = exp(Z @ V)", "U"), ("Z = X @ W\nS = exp(Z @ V + dU)", "R"), ("y = exp(W @ z)", "s")],
)
def test_a_hidden_name_avoids_every_name_of_the_program(program: str, hidden: str) -> None:
    shapes = {"dU": "N K", "X": "N D", "W": "D M", "V": "M K", "z": "M"}
    shapes = {name: shape for name, shape in shapes.items() if name in program}
    assert [d.tensor.name for d in read_program(program, shapes=shapes).definitions if not d.source] == [
        hidden
    ]


def test_more_indices_than_letters(lines: Any) -> None:
    terms = " + ".join("sum(x * x)" for _ in range(40))
    program = read_program(f"f = {terms}", shapes={"x": "N"})
    names = [index for line in lines(program.definitions) for index in line.split("Σ_")[1:]]
    assert len({name.split()[0] for name in names}) == 40


@pytest.mark.parametrize("operator", ["+", "*", "@"])
def test_a_thousand_operands(operator: str) -> None:
    program = read_program("Y = " + f" {operator} ".join(["X"] * 1000), shapes={"X": "N N"})
    assert program.output.rank == 2
    assert len(program.definitions) == 1


def test_a_thousand_layers() -> None:
    text = "\n".join(f"H{k + 1} = tanh(H{k} @ W{k})" for k in range(1000))
    program = read_program(text)
    assert len(program.definitions) == 2000
    assert len(program.inputs) == 1001
