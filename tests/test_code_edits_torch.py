"""The line of a wrong PyTorch backward and the edit that mends it, in the words of the code."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pullback.checking import check

torch = pytest.importorskip("torch")
Function = torch.autograd.Function
pytestmark = pytest.mark.torch


def normal(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


class RMSNorm(Function):
    @staticmethod
    def forward(ctx, x, w, eps=1e-6):
        rs = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, w, rs)
        return x * rs * w

    @staticmethod
    def backward(ctx, g):
        x, w, rs = ctx.saved_tensors
        xh = x * rs
        gw = g * w
        dot = (gw * xh).sum(-1, keepdim=True)  # wrong
        dx = rs * (gw - xh * dot)
        return dx, (g * xh).sum(0), None


class Swish(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * torch.sigmoid(a) * b

    @staticmethod
    def backward(ctx, grad_output):
        a, b = ctx.saved_tensors
        s = torch.sigmoid(a)
        da = grad_output * b * (s + a * s * s)  # wrong
        return da, grad_output * a * s


class Tanh(Function):
    @staticmethod
    def forward(x):
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * (1 - y)  # wrong


WRONG = [
    (RMSNorm, (normal(3, 4), normal(4)), "dx", "(gw * xh).sum(", "mean instead of sum"),
    (Swish, (normal(3, 4), normal(3, 4)), "da", "da = grad_output", "1 - s instead of s"),
    (Tanh, (normal(3, 4),), "dx", "return grad", "** 2 instead of"),
]


@pytest.mark.parametrize(("made", "inputs", "name", "line", "words"), WRONG)
def test_the_line_and_the_edit_are_told(
    made: Any, inputs: tuple[Any, ...], name: str, line: str, words: str
) -> None:
    verdict = check(made, inputs)
    assert verdict.ok is False and f"{name} is wrong" in verdict.explain()
    source, first = inspect.getsourcelines(made.backward)
    (at,) = (k for k, text in enumerate(source) if line in text)
    assert f"{__file__}:{first + at}" in verdict.explain()
    assert words in verdict.explain()
