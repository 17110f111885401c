"""Where a wrong gradient is made: the line of the backward that is named when no edit of one line mends it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from pullback import check


def forward(x: Any, w: Any) -> Any:
    return np.tanh(x) @ w, (x, w)


def last_assigned(dy: Any, cache: Any) -> Any:
    x, w = cache
    dx = dy @ w.T
    dx *= 1 - np.tanh(x) ** 2 / 7  # WRONG
    dw = np.tanh(x).T @ dy
    return dx, dw


def in_the_return(dy: Any, cache: Any) -> Any:
    x, w = cache
    dx = dy @ w.T * (1 - np.tanh(x) ** 2)
    return (
        dx,
        np.tanh(x).T @ dy + w.sum(),  # WRONG
    )


def in_a_loop(dy: Any, cache: Any) -> Any:
    x, w = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n in range(len(x)):
        dx[n] = w @ dy[n] * (1 - np.tanh(x[n]))  # WRONG
        dw += np.outer(np.tanh(x[n]), dy[n])
    return dx.astype(x.dtype), dw


def by_name(dy: Any, cache: Any) -> Any:
    x, w = cache
    grads = {}
    grads["dx"] = dy @ w.T * (1 - np.tanh(x) ** 2)
    grads["dw"] = np.tanh(x).T @ (dy + dy.mean())  # WRONG
    return grads


def none_returned(dy: Any, cache: Any) -> Any:
    x, w = cache
    dw = None  # WRONG
    return dy @ w.T * (1 - np.tanh(x) ** 2), dw


def of_another_shape(dy: Any, cache: Any) -> Any:
    x, w = cache
    dx = dy @ w.T * (1 - np.tanh(x) ** 2)
    dw = np.tanh(x).T @ dy
    dw = dw.sum(axis=0)  # WRONG
    return dx, dw


def too_few(dy: Any, cache: Any) -> Any:
    x, w = cache
    return (dy @ w.T * (1 - np.tanh(x) ** 2),)  # WRONG


def marked(f: Any) -> int:
    lines, start = inspect.getsourcelines(f)
    return start + next(k for k, line in enumerate(lines) if "WRONG" in line)


@pytest.mark.parametrize(
    "backward", [last_assigned, in_the_return, in_a_loop, by_name, none_returned, of_another_shape, too_few]
)
def test_the_line_of_a_pair(backward: Any) -> None:
    rng = np.random.default_rng(0)
    found = check((forward, backward), [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))])
    wrong = [v for v in found.verdicts if v.ok is False]
    assert wrong
    assert {v.line for v in wrong} == {f"{__file__}:{marked(backward)}"}
    assert all(not v.line for v in found.verdicts if v.ok)


class Layer:
    def __init__(self) -> None:
        self.W = np.random.default_rng(0).normal(size=(4, 2))

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x) @ self.W

    def backward(self, dy: Any) -> Any:
        self.dW = np.exp(self.x).T @ dy  # WRONG
        return dy @ self.W.T * (1 - np.tanh(self.x) ** 2)


def test_the_line_of_a_layer() -> None:
    found = check(Layer(), [np.random.default_rng(1).normal(size=(3, 4))])
    assert [v.line for v in found.verdicts] == ["", f"{__file__}:{marked(Layer.backward)}"]


def rule_back(saved: Any, g: Any) -> Any:
    x, w = saved
    dx = g @ w["a"].T
    dw = {"a": x.T @ (g + g.mean())}  # WRONG
    return dx, dw


def test_the_line_of_a_rule() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def product(x: Any, w: Any) -> Any:
        return x @ w["a"]

    product.defvjp(lambda x, w: (x @ w["a"], (x, w)), rule_back)
    rng = np.random.default_rng(0)
    inputs = [jax.numpy.asarray(rng.normal(size=(3, 4))), {"a": jax.numpy.asarray(rng.normal(size=(4, 2)))}]
    assert [v.line for v in check(product, inputs).verdicts] == ["", f"{__file__}:{marked(rule_back)}"]


# ---- several outputs, and arguments in trees --------------------------------------------------


def statistics(x: Any) -> Any:
    mu = x.mean(axis=0)
    return (mu, ((x - mu) ** 2).mean(axis=0)), (x, mu)


def without_the_mean(douts: Any, cache: Any) -> Any:
    _, dvar = douts
    x, mu = cache
    return 2 * dvar * (x - mu) / x.shape[0]


def of_a_dictionary(saved: Any, g: Any) -> Any:
    x, w = saved
    return g @ w["a"].T, {"a": x.T @ g, "b": g.mean(0)}


def test_a_mend_for_several_outputs() -> None:
    (verdict,) = check(
        (statistics, without_the_mean), [np.random.default_rng(0).normal(size=(3, 4))]
    ).verdicts
    assert verdict.right
    assert verdict.mend is not None
    assert "douts0 / N" in verdict.mend.after


def test_a_mend_for_arguments_in_a_tree() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def layer(x: Any, w: Any) -> Any:
        return x @ w["a"] + w["b"]

    layer.defvjp(lambda x, w: (x @ w["a"] + w["b"], (x, w)), of_a_dictionary)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((3, 4), (4, 2), (2,))]
    x, a, b = (jax.numpy.asarray(v) for v in arrays)
    wrong = [v for v in check(layer, [x, {"a": a, "b": b}]).verdicts if not v.ok]
    assert [(v.wrt, v.mend.after) for v in wrong] == [("w_b", "sum(g, axis=0)")]
    assert wrong[0].right[-1] == "dw_b = sum(dY, axis=0)"


def cross_entropy(x: Any, t: Any) -> Any:
    n = x.shape[0]
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.sum(logp[np.arange(n), t]) / n, (logp, t)


def summed(dl: Any, cache: Any) -> Any:
    logp, t = cache
    g = np.exp(logp)
    g[np.arange(len(t)), t] -= 1
    return dl * g


def test_code_that_makes_arrays_of_its_sizes_is_read() -> None:
    """`arange(n)` has to be one that records, inside the functions of the pair, too."""
    inputs = [np.random.default_rng(0).normal(size=(3, 4)), np.array([0, 3, 1])]
    (verdict,) = check((cross_entropy, summed), inputs).verdicts
    assert verdict.right[-1] == "dx = (softmax(x, axis=1) - onehot(t, D)) / N"
