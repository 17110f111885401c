"""The line of a wrong PyTorch backward and the edit that mends it, in the words of the code."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pullback.checking import check

torch = pytest.importorskip("torch")
Function, once_differentiable = torch.autograd.Function, torch.autograd.function.once_differentiable
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


class LogSoftmax(Function):
    @staticmethod
    def forward(ctx, X):
        Y = torch.log_softmax(X, -1)
        ctx.save_for_backward(Y)
        return Y

    @staticmethod
    @once_differentiable
    def backward(ctx, G):
        (Y,) = ctx.saved_tensors
        return G - torch.exp(Y) * G.mean(-1, keepdim=True)  # wrong


class Normalised(Function):
    """Two outputs."""

    @staticmethod
    def forward(ctx, x):
        n = x.pow(2).sum(-1).sqrt()
        y = x / n[:, None]
        ctx.save_for_backward(y, n)
        return y, n

    @staticmethod
    def backward(ctx, gy, gn):
        y, n = ctx.saved_tensors
        dot = (gy * y).sum(-1, keepdim=True)
        dx = (gy - y * dot) / n[:, None] + 2 * gn[:, None] * y  # wrong
        return dx


class Affine(Function):
    """The gradient does not read the bias."""

    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return x.tanh() * w + b

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        t = x.tanh()
        return g * w * (1 - t * t), (g * t).mean(0), g.sum(0)  # wrong


class LayerNorm(Function):
    """What it saves is made of lines of the forward."""

    @staticmethod
    def forward(ctx, x, w):
        mu = x.mean(-1, keepdim=True)
        rstd = torch.rsqrt(((x - mu) ** 2).mean(-1, keepdim=True) + 1e-5)
        ctx.save_for_backward(x, w, mu, rstd)
        return (x - mu) * rstd * w

    @staticmethod
    def backward(ctx, g):
        x, w, mu, rstd = ctx.saved_tensors
        xh = (x - mu) * rstd
        gx = g * w
        c = (xh * gx).mean(0, keepdim=True)  # wrong
        return (gx - gx.mean(-1, keepdim=True) - xh * c) * rstd, (g * xh).sum(0)


class Contrastive(Function):
    """An identity matrix in the backward."""

    @staticmethod
    def forward(ctx, q, k):
        s = q @ k.T
        p = torch.softmax(s, -1)
        ctx.save_for_backward(q, k, p)
        return -torch.log_softmax(s, -1).diag().sum()

    @staticmethod
    def backward(ctx, g):
        q, k, p = ctx.saved_tensors
        d = (p - torch.eye(4, dtype=p.dtype)) * g
        dk = d @ q  # wrong
        return d @ k, dk


class Biased(Function):
    """An array that forward and backward make for themselves."""

    @staticmethod
    def forward(ctx, x, slope):
        distance = torch.arange(4, dtype=x.dtype)[None, :] - 1.5
        ctx.save_for_backward(x)
        return torch.tanh(x) + slope * distance

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        distance = torch.arange(4, dtype=x.dtype)[None, :] - 1.5
        ds = (g * distance * 2).sum(0)  # wrong
        return g * (1 - torch.tanh(x) ** 2), ds


class Square(Function):
    """The wrong product demands square weights."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, x.T @ g  # wrong


class Cosine(Function):
    """The other norm, inside an axis that is put in."""

    @staticmethod
    def forward(ctx, a, b):
        na = a.pow(2).sum(-1).sqrt()
        nb = b.pow(2).sum(-1).sqrt()
        cos = (a * b).sum(-1) / (na * nb)
        ctx.save_for_backward(a, b, na, nb, cos)
        return cos

    @staticmethod
    def backward(ctx, g):
        a, b, na, nb, cos = ctx.saved_tensors
        da = g[:, None] * (b / (na * nb)[:, None] - a * (cos / na**2)[:, None])
        db = g[:, None] * (a / (na * nb)[:, None] - b * (cos / na**2)[:, None])  # wrong
        return da, db


class Rows(Function):
    """Rows that occur twice are assigned, where they have to be added."""

    @staticmethod
    def forward(ctx, table, ids):
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return table[ids] * 2

    @staticmethod
    def backward(ctx, g):
        (ids,) = ctx.saved_tensors
        d = torch.zeros(ctx.shape, dtype=g.dtype)
        at = ids[:, None].expand(-1, g.shape[1])
        return d.scatter(0, at, g * 2), None  # wrong


WRONG = [
    (Rows, (normal(5, 3), torch.tensor([1, 3, 1, 0])), "dtable", "return d.scatter", "as derived"),
    (LayerNorm, (normal(3, 4), normal(4)), "dx", "c = (xh", "over axis 1"),
    (Contrastive, (normal(4, 3), normal(4, 3)), "dk", "dk = d @ q", "transpose"),
    (Biased, (normal(3, 4), normal(4)), "dslope", "ds = (g", "without the factor 2"),
    (Square, (normal(3, 4), normal(4, 4)), "dx", "return g @ w", "transpose w"),
    (Cosine, (normal(3, 4), normal(3, 4)), "db", "db = g", "instead of na"),
    (RMSNorm, (normal(3, 4), normal(4)), "dx", "(gw * xh).sum(", "mean instead of sum"),
    (Swish, (normal(3, 4), normal(3, 4)), "da", "da = grad_output", "1 - s instead of s"),
    (LogSoftmax, (normal(3, 4),), "dX", "return G", "sum instead of mean"),
    (Normalised, (normal(3, 4),), "dx", "dx = (gy", "without the factor 2"),
    (Affine, (normal(3, 4), normal(4), normal(4)), "dw", "return g * w", "sum instead of mean"),
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


def test_the_right_formula_of_several_outputs_weighs_them_with_their_upstream_gradients() -> None:
    (verdict,) = check(Normalised, (normal(3, 4),)).verdicts
    *forward, gradient = verdict.right
    assert any(line.startswith("L = ") for line in forward) and gradient.startswith("dx = ")
    assert all(any(name in line for line in verdict.right) for name in ("gy", "gn"))
