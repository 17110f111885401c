"""The line of a wrong backward and the edit that mends it, in the words of the code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.checking import check

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def linear(x: Any, w: Any) -> Any:
    return x @ w


def linear_back(dout: Any, x: Any, w: Any) -> Any:
    dx = dout @ w.T
    dw = x.T @ dout / x.shape[0]  # wrong
    return dx, dw


def rms_norm(x: Any, g: Any) -> Any:
    s = np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-3)
    return x / s * g, (x, g, s)


def rms_norm_back(dout: Any, cache: Any) -> Any:
    x, g, s = cache
    dg = (dout * x / s).sum(axis=0)
    dn = dout * g
    dx = dn / s - x * (dn * x).mean(axis=1, keepdims=True) / s**2  # wrong
    return dx, dg


def tanh(x: Any) -> Any:
    return np.tanh(x)


def tanh_back(dout: Any, x: Any) -> Any:
    t = np.tanh(x)
    return dout * (1 - t)  # wrong


def loss(x: Any, y: Any) -> Any:
    return ((x - y) ** 2).mean()


def loss_back(dout: Any, x: Any, y: Any) -> Any:
    d = x - y
    return dout * d / x.size, -2 * dout * d / x.size  # wrong


def two_layers(x: Any, w: Any, v: Any) -> Any:
    h = x @ w
    a = np.tanh(h)
    return a @ v, (x, w, v, a)


def two_layers_back(dy: Any, cache: Any) -> Any:
    x, w, v, a = cache
    da = dy @ v.T
    dh = da * (1 + a**2)  # wrong
    return dh @ w.T, x.T @ dh, a.T @ dy


CASES = [
    (linear, linear_back, [normal(3, 4), normal(4, 2)], "w", "x.T @ dout / N", "x.T @ dout"),
    (rms_norm, rms_norm_back, [normal(3, 4), normal(4)], "x", "s ** 2", "s ** 3"),
    (tanh, tanh_back, [normal(3)], "x", "dout * (1 - t)", "dout * (1 - t ** 2)"),
    (loss, loss_back, [normal(3, 4), normal(3, 4)], "x", "dout * d / (", "2 * dout * d / ("),
    (
        two_layers,
        two_layers_back,
        [normal(3, 4), normal(4, 2), normal(2, 5)],
        "x",
        "1 + a ** 2",
        "1 - a ** 2",
    ),
    (
        two_layers,
        two_layers_back,
        [normal(3, 4), normal(4, 2), normal(2, 5)],
        "w",
        "1 + a ** 2",
        "1 - a ** 2",
    ),
]


def marked(backward: Callable[..., Any]) -> str:
    """File and number of the line of a function that says it is wrong."""
    lines, start = inspect.getsourcelines(backward)
    (found,) = (start + k for k, line in enumerate(lines) if "# wrong" in line)
    return f"{inspect.getsourcefile(backward)}:{found}"


@pytest.mark.parametrize(("forward", "backward", "inputs", "wrt", "before", "after"), CASES)
def test_the_line_and_the_edit_of_a_wrong_backward_are_told(
    forward: Any, backward: Any, inputs: Any, wrt: str, before: str, after: str
) -> None:
    verdict = next(v for v in check((forward, backward), inputs).verdicts if v.wrt == wrt)
    assert verdict.ok is False and verdict.mend is not None
    assert before in verdict.mend.before and after in verdict.mend.after
    assert verdict.line == marked(backward)


def test_the_line_stands_in_the_words_and_in_the_data() -> None:
    verdict = check((tanh, tanh_back), [normal(3)])
    assert f"  line:  {marked(tanh_back)}" in verdict.explain()
    assert json.loads(verdict.json())["verdicts"][0]["line"] == marked(tanh_back)


def test_a_backward_that_cannot_be_read_keeps_its_verdict() -> None:
    def backward(dout: Any, x: Any) -> Any:
        return dout * np.array([float(v) for v in x])  # wrong

    verdict = check((tanh, backward), [normal(3)])
    assert verdict.ok is False and verdict.mend is None
    assert verdict.verdicts[0].line == marked(backward)  # type: ignore[attr-defined]


def test_a_right_backward_has_no_line() -> None:
    verdict = check((tanh, lambda dout, x: dout * (1 - np.tanh(x) ** 2)), [normal(3)])
    assert verdict.ok and verdict.verdicts[0].line == ""  # type: ignore[attr-defined]
