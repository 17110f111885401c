"""Hand-written NumPy backward passes: right ones are never called wrong, wrong ones are, and told why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.checking import check

RNG = np.random.default_rng(0)
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def rows(x: Any) -> Any:
    return x.mean(axis=-1, keepdims=True)


# ---- layers ---------------------------------------------------------------------------------


def linear(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b, (x, w)


def linear_back(dy: Any, cache: Any) -> Any:
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def layer_norm(x: Any, g: Any, b: Any) -> Any:
    mu = x.mean(axis=-1, keepdims=True)
    r = 1.0 / np.sqrt(((x - mu) ** 2).mean(axis=-1, keepdims=True) + 1e-5)
    h = (x - mu) * r
    return h * g + b, (h, r, g)


def layer_norm_back(dy: Any, cache: Any) -> Any:
    h, r, g = cache
    dh = dy * g
    return r * (dh - rows(dh) - h * rows(dh * h)), (dy * h).sum(0), dy.sum(0)


def rms_norm(x: Any, g: Any) -> Any:
    r = 1.0 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
    return x * r * g, (x, r, g)


def rms_norm_back(dy: Any, cache: Any) -> Any:
    x, r, g = cache
    return r * (dy * g - x * r * r * rows(dy * g * x)), (dy * x * r).sum(0)


def rms_norm_outside(dy: Any, cache: Any) -> Any:
    x, _, g = cache
    r = 1.0 / (np.sqrt((x * x).mean(axis=-1, keepdims=True)) + 1e-5)
    return r * (dy * g - x * r * r * rows(dy * g * x)), (dy * x * r).sum(0)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return p, p


def softmax_back(dp: Any, p: Any) -> Any:
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))


def cross_entropy(x: Any, t: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logp[np.arange(len(t)), t].mean(), (logp, t)


def cross_entropy_back(dl: Any, cache: Any) -> Any:
    logp, t = cache
    g = np.exp(logp)
    g[np.arange(len(t)), t] -= 1
    return dl * g / len(t)


def attention(q: Any, k: Any, v: Any) -> Any:
    s = q @ k.T / math.sqrt(q.shape[1])
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p @ v, (q, k, v, p)


def attention_back(do: Any, cache: Any) -> Any:
    q, k, v, p = cache
    dp = do @ v.T
    ds = p * (dp - (dp * p).sum(axis=1, keepdims=True))
    scale = 1.0 / np.sqrt(q.shape[1])
    return ds @ k * scale, ds.T @ q * scale, p.T @ do


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_back(dy: Any, x: Any) -> Any:
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x))


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def distance(p: Any, q: Any) -> Any:
    return 0.5 * np.abs(p - q).sum()


def huber(x: Any, t: Any) -> Any:
    d = x - t
    return np.where(np.abs(d) <= 1.5, 0.5 * d * d, 1.5 * (np.abs(d) - 0.75)).sum()


def huber_back(dl: Any, x: Any, t: Any) -> Any:
    g = dl * np.clip(x - t, -1.5, 1.5)
    return g, -g


def embedding(t: Any, table: Any) -> Any:
    return table[t], (t, table.shape)


def embedding_back(dy: Any, cache: Any) -> Any:
    t, shape = cache
    g = np.zeros(shape)
    np.add.at(g, t, dy)
    return g


def embedding_overwrites(dy: Any, cache: Any) -> Any:
    t, shape = cache
    g = np.zeros(shape)
    g[t] += dy
    return g


def pool(x: Any) -> Any:
    return x.reshape(x.shape[0], -1, 2).max(-1), x


def pool_back(dy: Any, x: Any) -> Any:
    pairs = x.reshape(x.shape[0], -1, 2)
    out = np.zeros_like(pairs)
    best = pairs.argmax(-1)
    for i in range(best.shape[0]):
        for j in range(best.shape[1]):
            out[i, j, best[i, j]] = dy[i, j]
    return out.reshape(x.shape)


def conv(x: Any, w: Any) -> Any:
    n, k = len(x), len(w)
    out = np.zeros(n - k + 1)
    for i in range(n - k + 1):
        out[i] = np.sum(x[i : i + k] * w)
    return out, (x, w)


def conv_back(dy: Any, cache: Any) -> Any:
    x, w = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(len(dy)):
        dx[i : i + len(w)] += dy[i] * w
        dw += dy[i] * x[i : i + len(w)]
    return dx, dw


def conv_reversed(dy: Any, cache: Any) -> Any:
    dx, dw = conv_back(dy, cache)
    return dx, dw[::-1].copy()


def recurrent(x: Any, w: Any) -> Any:
    h = [np.zeros(w.shape[0])]
    for row in x:
        h.append(np.tanh(w @ h[-1] + row))
    return h[-1], (h, w)


def recurrent_back(dh: Any, cache: Any) -> Any:
    h, w = cache
    dx, dw = [], np.zeros_like(w)
    for t in range(len(h) - 1, 0, -1):
        da = dh * (1 - h[t] ** 2)
        dw += np.outer(da, h[t - 1])
        dx.append(da)
        dh = w.T @ da
    return np.stack(dx[::-1]), dw


def solve(a: Any, b: Any) -> Any:
    x = np.linalg.solve(a, b)
    return x, (a, x)


def solve_back(dx: Any, cache: Any) -> Any:
    a, x = cache
    db = np.linalg.solve(a.T, dx)
    return -np.outer(db, x), db


def two_outputs(x: Any, y: Any) -> Any:
    return np.sin(x) * y, np.exp(y)


def mean_square(x: Any, t: Any) -> Any:
    return ((x - t) ** 2).mean()


def standardised(x: Any) -> Any:
    mu, sd = x.mean(axis=0), x.std(axis=0)
    return (x - mu) / sd, ((x - mu) / sd, sd)


def standardised_back(dy: Any, cache: Any) -> Any:
    h, sd = cache
    return (dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0)) / sd


def rounded(x: Any) -> Any:
    """It leaves NumPy, so it cannot be traced."""
    return np.array([math.tanh(float(v)) for v in x.ravel()]).reshape(x.shape)


def changed(back: Callable[..., Any], index: int, edit: Callable[[Any], Any]) -> Callable[..., Any]:
    """A backward with one of its gradients edited."""

    def wrong(dy: Any, *rest: Any) -> Any:
        found = list(back(dy, *rest))
        found[index] = edit(found[index])
        return tuple(found)

    return wrong


LINEAR = (normal(4, 3), normal(3, 5), normal(5))
NORM = (normal(4, 6), normal(6), normal(6))
TARGETS = (normal(4, 3), np.array([0, 2, 1, 1]))
TOKENS = (np.array([0, 2, 1, 1]), normal(3, 5))
ATTENTION = (normal(3, 4), normal(5, 4), normal(5, 2))
TWO = (normal(2, 3), normal(2, 3))


def soft_cross_entropy(x: Any, t: Any) -> Any:
    p = softmax(x)[0]
    return -(t * np.log(p)).sum() / len(x), (p, t)


def soft_cross_entropy_back(dl: Any, cache: Any) -> Any:
    p, t = cache
    return dl * (p - t) / len(p), -dl * np.log(p) / len(p)


def decayed(x: Any, a: Any) -> Any:
    return a * x + (1 - a) * x**2


def quadratic(s: Any, x: Any) -> Any:
    return x @ s @ x


DEFINITE = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.0], [0.5, 0.0, 2.0]])

RIGHT: list[tuple[str, Pair, tuple[Any, ...]]] = [
    (
        "labels that sum to 1",
        (soft_cross_entropy, soft_cross_entropy_back),
        (normal(2, 3), np.eye(3)[[0, 2]]),
    ),
    (
        "labels that sum to 1, soft",
        (soft_cross_entropy, soft_cross_entropy_back),
        (normal(2, 2), np.array([[0.25, 0.75], [0.5, 0.5]])),
    ),
    (
        "symmetric matrix",
        (quadratic, lambda d, s, x: (d * np.outer(x, x), 2 * d * s @ x)),
        (DEFINITE, normal(3)),
    ),
    (
        "number",
        (decayed, lambda d, x, a: (d * (a + 2 * (1 - a) * x), (d * (x - x**2)).sum())),
        (normal(3), np.array(0.9)),
    ),
    (
        "eigenvalues",
        (np.linalg.eigvalsh, lambda d, s: np.linalg.eigh(s)[1] @ np.diag(d) @ np.linalg.eigh(s)[1].T),
        (DEFINITE,),
    ),
    ("linear", (linear, linear_back), LINEAR),
    ("linear, square", (linear, linear_back), (normal(3, 3), normal(3, 3), normal(3))),
    ("layer norm", (layer_norm, layer_norm_back), NORM),
    ("rms norm", (rms_norm, rms_norm_back), NORM[:2]),
    ("softmax", (softmax, softmax_back), (normal(3, 4),)),
    ("cross entropy", (cross_entropy, cross_entropy_back), TARGETS),
    ("attention", (attention, attention_back), ATTENTION),
    ("gelu", (gelu, gelu_back), (normal(3, 4),)),
    ("relu", (relu, lambda dy, x: dy * (x > 0)), (normal(3, 4),)),
    ("relu, another convention", (relu, lambda dy, x: dy * (x >= 0)), (normal(3, 4),)),
    ("distance", (distance, lambda d, p, q: (d * 0.5 * np.sign(p - q), -d * 0.5 * np.sign(p - q))), TWO),
    ("huber", (huber, huber_back), TWO),
    ("embedding", (embedding, embedding_back), TOKENS),
    ("max pool", (pool, pool_back), (normal(3, 4),)),
    ("convolution", (conv, conv_back), (normal(7), normal(3))),
    ("recurrent", (recurrent, recurrent_back), (normal(4, 3), normal(3, 3))),
    ("solve", (solve, solve_back), (normal(3, 3), normal(3))),
    (
        "two outputs",
        (two_outputs, lambda d, x, y: (d[0] * np.cos(x) * y, d[0] * np.sin(x) + d[1] * np.exp(y))),
        TWO,
    ),
    ("mean square", (mean_square, lambda d, x, t: (2 * d * (x - t) / x.size, 2 * d * (t - x) / x.size)), TWO),
    ("standardised", (standardised, standardised_back), (normal(5, 3),)),
    ("not traceable", (rounded, lambda dy, x: dy * (1 - np.tanh(x) ** 2)), (normal(2, 3),)),
]


def in_place(dy: Any, x: Any) -> Any:
    dy *= x > 0
    return dy


def overwrites(dp: Any, p: Any) -> Any:
    s = (dp * p).sum(axis=1, keepdims=True)
    p *= dp - s
    return p.copy()


def random_back(dy: Any, x: Any) -> Any:
    return dy * (x > 0) * (1 + 1e-3 * np.random.rand())


def mean_back(d: Any, x: Any, t: Any) -> Any:
    return 2 * d * (x - t), 2 * d * (t - x) / x.size


WRONG: list[tuple[str, Pair, tuple[Any, ...], str, str]] = [
    ("dW × (1+1e-4)", (linear, changed(linear_back, 1, lambda g: g * (1 + 1e-4))), LINEAR, "w", "formula"),
    ("dW × (1+1e-9)", (linear, changed(linear_back, 1, lambda g: g * (1 + 1e-9))), LINEAR, "w", "formula"),
    ("dW transposed, square", (linear, changed(linear_back, 1, np.transpose)),
     (normal(3, 3), normal(3, 3), normal(3)), "w", "formula"),
    ("no batch sum", (linear, lambda dy, c: (*linear_back(dy, c)[:2], dy)), LINEAR, "b", "shape"),
    ("ε outside the root", (rms_norm, rms_norm_outside), NORM[:2], "x", "formula"),
    ("wrong axis, batch 1", (layer_norm, lambda dy, c: (
        c[1] * (dy * c[2] - rows(dy * c[2]) - c[0] * rows(dy * c[2] * c[0])), (dy * c[0]).sum(0), dy.mean(0))),
     (normal(1, 6), normal(6), normal(6)), "b", "formula"),
    ("softmax without its sum", (softmax, lambda dp, p: dp * p), (normal(3, 4),), "x", "formula"),
    ("no 1/N", (cross_entropy, lambda dl, c: cross_entropy_back(dl, c) * len(c[1])), TARGETS, "x", "formula"),
    ("no 1/N, at N = 1", (cross_entropy, lambda dl, c: cross_entropy_back(dl, c) * len(c[1])),
     (normal(2, 3), np.array([0, 1])), "x", "formula"),
    ("sign at ties", (distance, lambda d, p, q: (d * np.where(p > q, 0.5, -0.5), d * np.where(p > q, -0.5, 0.5))),
     TWO, "p", "ties"),
    ("no scale", (attention, changed(attention_back, 0, lambda g: g * 2)), ATTENTION, "q", "formula"),
    ("gelu without its second term", (gelu, lambda dy, x: dy * 0.5 * (1 + np.tanh(
        math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))), (normal(3, 4),), "x", "formula"),
    ("huber without its clip", (huber, lambda dl, x, t: (dl * (x - t), dl * (t - x))), TWO, "x", "formula"),
    ("repeated tokens", (embedding, embedding_overwrites), TOKENS, "table", "formula"),
    ("kernel reversed", (conv, conv_reversed), (normal(7), normal(3)), "w", "formula"),
    ("upstream in place", (relu, in_place), (normal(3, 4),), "x", "in place"),
    ("saved", (softmax, overwrites), (normal(3, 4),), "x", "saved"),
    ("random", (relu, random_back), (normal(3, 4),), "x", "nondeterminism"),
    ("too few", (linear, lambda dy, c: linear_back(dy, c)[:2]), LINEAR, "x", "count"),
    ("None", (linear, lambda dy, c: (*linear_back(dy, c)[:2], None)), LINEAR, "b", "none"),
    ("float32", (linear, changed(linear_back, 2, lambda g: g.astype(np.float32))), LINEAR, "b", "dtype"),
    ("1/N", (mean_square, mean_back), TWO, "x", "formula"),
    ("solve, not transposed", (solve, lambda dx, c: (
        -np.outer(np.linalg.solve(c[0], dx), c[1]), np.linalg.solve(c[0], dx))), (normal(3, 3), normal(3)), "b",
     "formula"),
    ("mean term forgotten", (standardised, lambda dy, c: (dy - c[0] * (dy * c[0]).mean(0)) / c[1]),
     (normal(5, 3),), "x", "formula"),
    ("not traceable", (rounded, lambda dy, x: dy * (1 - np.tanh(x) ** 2) * (1 + 1e-7)), (normal(2, 3),), "x",
     "formula"),
]  # fmt: skip


@pytest.mark.parametrize(("pair", "inputs"), [row[1:] for row in RIGHT], ids=[row[0] for row in RIGHT])
def test_a_right_backward_is_right(pair: Pair, inputs: tuple[Any, ...]) -> None:
    verdict = check(pair, inputs)
    assert verdict.ok is True, verdict.explain()
    assert verdict.witness is None


@pytest.mark.parametrize(
    ("pair", "inputs", "name", "kind"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_backward_is_wrong(pair: Pair, inputs: tuple[Any, ...], name: str, kind: str) -> None:
    verdict = check(pair, inputs)
    assert verdict.ok is False
    assert not verdict
    found = {v.wrt: v for v in verdict.verdicts}
    assert (found[name].ok, found[name].kind) == (False, kind), verdict.explain()  # type: ignore[attr-defined]
