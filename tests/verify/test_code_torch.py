"""Hand-written `autograd.Function`s: right ones are never called wrong, wrong ones are, and told why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.checking import check

torch = pytest.importorskip("torch")
Function, F = torch.autograd.Function, torch.nn.functional
pytestmark = pytest.mark.torch
torch.manual_seed(0)


def normal(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64)


def function(forward: Callable[..., Any], backward: Callable[..., Any], name: str = "Made") -> Any:
    return type(name, (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def rows(x: Any) -> Any:
    return x.mean(-1, keepdim=True)


class Linear(Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return F.linear(x, w, b)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dx = dy @ w if ctx.needs_input_grad[0] else None
        return dx, dy.T @ x, dy.sum(0)


class LinearSplit(Function):
    """forward and setup_context apart; an argument that is no tensor."""

    @staticmethod
    def forward(x, w, scale):
        return (x @ w) * scale

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, scale = inputs
        ctx.save_for_backward(x, w)
        ctx.scale = scale

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return dy @ w.T * ctx.scale, x.T @ dy * ctx.scale, None


class LayerNorm(Function):
    @staticmethod
    def forward(ctx, x, w, b, eps):
        mu = x.mean(-1, keepdim=True)
        r = torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
        h = (x - mu) * r
        ctx.save_for_backward(h, r, w)
        return h * w + b

    @staticmethod
    def backward(ctx, dy):
        h, r, w = ctx.saved_tensors
        dh = dy * w
        return r * (dh - rows(dh) - h * rows(dh * h)), (dy * h).sum(0), dy.sum(0), None


class RMSNorm(Function):
    @staticmethod
    def forward(ctx, x, w, eps):
        r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, r, w)
        ctx.eps = eps
        return x * r * w

    @staticmethod
    def backward(ctx, dy):
        x, r, w = ctx.saved_tensors
        g = dy * w
        return r * (g - x * r * r * rows(g * x)), (dy * x * r).sum(0), None


class RMSNormOutside(RMSNorm):
    @staticmethod
    def backward(ctx, dy):
        x, _, w = ctx.saved_tensors
        r = 1 / (x.pow(2).mean(-1, keepdim=True).sqrt() + ctx.eps)
        g = dy * w
        return r * (g - x * r * r * rows(g * x)), (dy * x * r).sum(0), None


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx, x, t, ignore):
        logp = F.log_softmax(x, dim=1)
        keep = t != ignore
        safe = torch.where(keep, t, 0)
        count = keep.sum()
        ctx.save_for_backward(logp, safe, keep)
        return -(logp.gather(1, safe[:, None])[:, 0] * keep).sum() / count

    @staticmethod
    def backward(ctx, dl):
        logp, safe, keep = ctx.saved_tensors
        g = logp.exp()
        g.scatter_add_(1, safe[:, None], -torch.ones_like(g[:, :1]))
        return g * keep[:, None] * dl / keep.sum(), None, None


class CrossEntropyAll(CrossEntropy):
    """It divides by the batch, ignored targets included."""

    @staticmethod
    def backward(ctx, dl):
        g, _, _ = CrossEntropy.backward(ctx, dl)
        keep = ctx.saved_tensors[2]
        return g * keep.sum() / len(keep), None, None


class Attention(Function):
    @staticmethod
    def forward(ctx, q, k, v, causal):
        s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if causal:
            s = s.masked_fill(torch.ones_like(s).triu(1).bool(), float("-inf"))
        p = torch.softmax(s, -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx, do):
        q, k, v, p = ctx.saved_tensors
        dp = do @ v.transpose(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
        return ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ do, None


class GroupNorm(Function):
    @staticmethod
    def forward(ctx, x, w, b, groups):
        n, c = x.shape[:2]
        g = x.reshape(n, groups, -1)
        mu = g.mean(-1, keepdim=True)
        r = (g.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        h = ((g - mu) * r).reshape(x.shape)
        ctx.save_for_backward(h, r, w)
        ctx.groups = groups
        shape = (1, c) + (1,) * (x.dim() - 2)
        return h * w.view(shape) + b.view(shape)

    @staticmethod
    def backward(ctx, dy):
        h, r, w = ctx.saved_tensors
        n, c = dy.shape[:2]
        over = (0, *range(2, dy.dim()))
        dh = (dy * w.view((1, c) + (1,) * (dy.dim() - 2))).reshape(n, ctx.groups, -1)
        hg = h.reshape(n, ctx.groups, -1)
        dx = r * (dh - rows(dh) - hg * rows(dh * hg))
        return dx.reshape(dy.shape), (dy * h).sum(over), dy.sum(over), None


class Both(Function):
    """Two outputs, one of them of integers; work in place on temporaries."""

    @staticmethod
    def forward(ctx, x):
        y = x.clone()
        y.mul_(2).add_(1)
        best = x.argmax(-1)
        ctx.mark_non_differentiable(best)
        ctx.save_for_backward(x)
        return y, x.sin(), best

    @staticmethod
    def backward(ctx, dy, ds, _):
        (x,) = ctx.saved_tensors
        dx = torch.zeros_like(x)
        for i in range(x.shape[0]):
            dx[i] = 2 * dy[i]
        dx += ds * x.cos()
        return dx


class SwiGLU(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return F.silu(a) * b

    @staticmethod
    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        s = torch.sigmoid(a)
        return dc * b * (s + a * s * (1 - s)), dc * a * s


class Distance(Function):
    @staticmethod
    def forward(ctx, p, q):
        ctx.save_for_backward(p, q)
        return 0.5 * (p - q).abs().sum()

    @staticmethod
    def backward(ctx, d):
        p, q = ctx.saved_tensors
        s = torch.sign(p - q) * 0.5 * d
        return s, -s


class DistanceAtTies(Distance):
    @staticmethod
    def backward(ctx, d):
        p, q = ctx.saved_tensors
        s = ((p > q).to(p.dtype) - 0.5) * d
        return s, -s


class Conv(Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return F.conv1d(x, w, padding=1)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dx = F.conv1d(dy, w.flip(-1).transpose(0, 1), padding=w.shape[-1] - 2)
        dw = F.conv1d(x.transpose(0, 1), dy.transpose(0, 1), padding=1).transpose(0, 1)
        return dx, dw


class Embedding(Function):
    @staticmethod
    def forward(ctx, t, table):
        ctx.save_for_backward(t)
        ctx.rows = table.shape[0]
        return table[t]

    @staticmethod
    def backward(ctx, dy):
        (t,) = ctx.saved_tensors
        g = dy.new_zeros(ctx.rows, dy.shape[-1])
        g.index_put_((t,), dy, accumulate=True)
        return None, g


class Branches(Function):
    """A path that depends on values: it cannot be traced."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 3 if x.sum().item() > 0 else x * 2

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * 3 if x.sum().item() > 0 else dy * 2


def softmax(ctx: Any, x: Any) -> Any:
    p = torch.softmax(x, 1)
    ctx.save_for_backward(p)
    return p


def softmax_back(ctx: Any, dp: Any) -> Any:
    (p,) = ctx.saved_tensors
    return p * (dp - (dp * p).sum(1, keepdim=True))


def relu(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x.clamp(min=0)


def edited(base: Any, index: int, edit: Callable[[Any], Any]) -> Any:
    def backward(ctx: Any, *dy: Any) -> Any:
        found = list(base.backward(ctx, *dy))
        found[index] = edit(found[index])
        return tuple(found)

    return type("Edited", (base,), {"backward": staticmethod(backward)})


LINEAR = (normal(4, 3), normal(5, 3), normal(5))
NORM = (normal(4, 6), normal(6), normal(6), 1e-5)
TARGETS = (normal(4, 3), torch.tensor([0, 2, -100, 1]), -100)
ATTENTION = (normal(3, 4), normal(3, 4), normal(3, 4))


class Experts(Function):
    """The path depends on whole numbers."""

    @staticmethod
    def forward(ctx, x, t, w):
        ctx.save_for_backward(x, t, w)
        return torch.stack([x[i] @ w[e] for i, e in enumerate(t.tolist())])

    @staticmethod
    def backward(ctx, dy):
        x, t, w = ctx.saved_tensors
        dw = torch.zeros_like(w)
        for i, e in enumerate(t.tolist()):
            dw[e] += torch.outer(x[i], dy[i])
        return torch.einsum("no,nio->ni", dy, w[t]), None, dw


class OutsideTorch(Function):
    """A trace would freeze what NumPy works out."""

    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(np.tanh(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        return dy * (1 - ctx.saved_tensors[0] ** 2)


class ConvGradients(Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return F.conv_transpose1d(x, w, stride=2)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return F.conv1d(dy, w, stride=2), torch.nn.grad.conv1d_weight(dy, w.shape, x, stride=2)


class Unused(Function):
    """It asks for no zeros, so the gradient of an output that is not used is None."""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x.exp(), x.sin()

    @staticmethod
    def backward(ctx, a, b):
        (x,) = ctx.saved_tensors
        parts = [g * d for g, d in ((a, x.exp()), (b, x.cos())) if g is not None]
        return sum(parts)


def forgets_none(ctx: Any, a: Any, b: Any) -> Any:
    (x,) = ctx.saved_tensors
    return a * x.exp() + b * x.cos()


RIGHT: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("experts", Experts, (normal(3, 2), torch.tensor([0, 1, 1]), normal(2, 2, 3))),
    ("outside torch", OutsideTorch, (normal(2, 2),)),
    ("transposed convolution", ConvGradients, (normal(1, 2, 3), normal(2, 3, 2))),
    ("an output that is not used", Unused, (normal(3),)),
    ("linear", Linear, LINEAR),
    ("float32", Linear, tuple(x.float() for x in LINEAR)),
    ("setup_context", LinearSplit, (normal(4, 3), normal(3, 5), 0.5)),
    ("layer norm", LayerNorm, NORM),
    ("rms norm", RMSNorm, (*NORM[:2], 1e-6)),
    ("cross entropy", CrossEntropy, TARGETS),
    ("attention", Attention, (*ATTENTION, False)),
    ("attention in heads", Attention, (normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6), False)),
    ("causal attention", Attention, (*ATTENTION, True)),
    ("group norm", GroupNorm, (normal(2, 4, 3), normal(4), normal(4), 2)),
    ("group norm of images", GroupNorm, (normal(2, 4, 3, 5), normal(4), normal(4), 2)),
    ("two outputs", Both, (normal(3, 4),)),
    ("swiglu", SwiGLU, (normal(3, 4), normal(3, 4))),
    ("distance", Distance, (normal(2, 3), normal(2, 3))),
    ("convolution", Conv, (normal(2, 3, 6), normal(4, 3, 3))),
    ("embedding", Embedding, (torch.tensor([0, 2, 1, 1]), normal(3, 5))),
    ("branches", Branches, (normal(2, 3),)),
    ("softmax", function(softmax, softmax_back), (normal(3, 4),)),
    ("clamp", function(relu, lambda ctx, dy: dy * (ctx.saved_tensors[0] > 0)), (normal(3, 4),)),
    ("clamp, closed", function(relu, lambda ctx, dy: dy * (ctx.saved_tensors[0] >= 0)), (normal(3, 4),)),
]


def in_place(ctx: Any, dy: Any) -> Any:
    return dy.mul_(ctx.saved_tensors[0] > 0)


def overwrites(ctx: Any, dp: Any) -> Any:
    (p,) = ctx.saved_tensors
    s = (dp * p).sum(1, keepdim=True)
    return p.mul_(dp - s).clone()


def tripled(ctx: Any, x: Any) -> Any:
    x.mul_(3).sigmoid_()
    ctx.mark_dirty(x)
    ctx.save_for_backward(x)
    return x


WRONG: list[tuple[str, Any, tuple[Any, ...], str, str]] = [
    ("dW × (1+1e-4)", edited(Linear, 1, lambda g: g * (1 + 1e-4)), LINEAR, "w", "formula"),
    ("dW × (1+1e-9)", edited(Linear, 1, lambda g: g * (1 + 1e-9)), LINEAR, "w", "formula"),
    ("dW transposed, square", edited(Linear, 1, lambda g: g.T), (normal(3, 3), normal(3, 3), normal(3)), "w",
     "formula"),
    ("no batch sum", type("NoSum", (Linear,), {"backward": staticmethod(
        lambda ctx, dy: (*Linear.backward(ctx, dy)[:2], dy))}), LINEAR, "b", "shape"),
    ("ε outside the root", RMSNormOutside, (*NORM[:2], 1e-5), "x", "formula"),
    ("ignored targets", CrossEntropyAll, TARGETS, "x", "formula"),
    ("no scale", edited(Attention, 0, lambda g: g * 2), (*ATTENTION, False), "q", "formula"),
    ("ds not transposed", type("Same", (Attention,), {"backward": staticmethod(
        lambda ctx, do: (*Attention.backward(ctx, do)[:2], ctx.saved_tensors[3] @ do, None))}),
     (*ATTENTION, False), "v", "formula"),
    ("sign at ties", DistanceAtTies, (normal(2, 3), normal(2, 3)), "p", "ties"),
    ("softmax without its sum", function(softmax, lambda ctx, dp: dp * ctx.saved_tensors[0]), (normal(3, 4),), "x",
     "formula"),
    ("silu's derivative", edited(SwiGLU, 0, lambda g: g * 0.5), (normal(3, 4), normal(3, 4)), "a", "formula"),
    ("kernel reversed", edited(Conv, 1, lambda g: g.flip(-1)), (normal(2, 3, 6), normal(4, 3, 3)), "w", "formula"),
    ("upstream in place", function(relu, in_place), (normal(3, 4),), "x", "in place"),
    ("saved", function(softmax, overwrites), (normal(3, 4),), "x", "saved"),
    ("random", function(relu, lambda ctx, dy: dy * (ctx.saved_tensors[0] > 0) * torch.rand(1)), (normal(3, 4),), "x",
     "nondeterminism"),
    ("too few", type("Few", (LayerNorm,), {"backward": staticmethod(
        lambda ctx, dy: LayerNorm.backward(ctx, dy)[:3])}), NORM, "x", "count"),
    ("None", edited(Linear, 2, lambda g: None), LINEAR, "b", "none"),
    ("float32", edited(Linear, 0, lambda g: g.float()), LINEAR, "x", "dtype"),
    ("second output forgotten", type("One", (Both,), {"backward": staticmethod(
        lambda ctx, dy, ds, _: 2 * dy)}), (normal(3, 4),), "x", "formula"),
    ("unused outputs", type("Forgets", (Unused,), {"backward": staticmethod(forgets_none)}), (normal(3),), "x",
     "error"),
    ("an argument changed in place", function(tripled, lambda ctx, dy: dy * ctx.saved_tensors[0]), (normal(2, 3),), "x",
     "formula"),
    ("branches", type("Off", (Branches,), {"backward": staticmethod(
        lambda ctx, dy: Branches.backward(ctx, dy) * 1.001)}), (normal(2, 3),), "x", "formula"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "inputs"), [row[1:] for row in RIGHT], ids=[row[0] for row in RIGHT])
def test_a_right_backward_is_right(made: Any, inputs: tuple[Any, ...]) -> None:
    verdict = check(made, inputs)
    assert verdict.ok is True, verdict.explain()


@pytest.mark.parametrize(
    ("made", "inputs", "name", "kind"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_backward_is_wrong(made: Any, inputs: tuple[Any, ...], name: str, kind: str) -> None:
    verdict = check(made, inputs)
    assert verdict.ok is False
    found = {v.wrt: v for v in verdict.verdicts}
    assert (found[name].ok, found[name].kind) == (False, kind), verdict.explain()  # type: ignore[attr-defined]


def doubled(ctx: Any, x: Any) -> Any:
    return 2 * x


def in_memory_order(x: Any) -> Any:
    """What lies in memory, as though `x` were contiguous."""
    return torch.as_strided(x, (x.numel(),), (1,)).reshape(x.shape)


def kept(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x**2


STRIDES = [
    (doubled, lambda ctx, g: 2 * g.reshape(-1).view(g.shape), True, ""),
    (doubled, lambda ctx, g: 2 * g.view(-1).view(g.shape), True, "upstream gradient that is not contiguous"),
    (doubled, lambda ctx, g: 2 * in_memory_order(g), False, "for an upstream gradient that is not contig"),
    (kept, lambda ctx, g: 2 * g * in_memory_order(ctx.saved_tensors[0]), False, "for inputs that are not"),
]


@pytest.mark.parametrize(("forward", "backward", "ok", "said"), STRIDES)
def test_what_depends_on_strides(forward: Any, backward: Any, ok: bool, said: str) -> None:
    verdict = check(function(forward, backward), (normal(4, 5),))
    assert verdict.ok is ok
    assert said in verdict.explain()
    if not ok:
        assert "strides: dx has other values" in verdict.explain()


def test_a_mask_drawn_in_the_order_of_memory_is_no_fault() -> None:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mask = (torch.rand_like(x) > 0.5).to(x.dtype)
        return x * ctx.mask

    verdict = check(function(forward, lambda ctx, g: g * ctx.mask), (normal(4, 5),))
    assert verdict.ok is not False


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_digits_that_the_order_of_a_sum_moves_are_no_fault(kind: Any) -> None:
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x @ w

    def backward(ctx: Any, g: Any) -> Any:
        x, w = (v.to(kind) for v in ctx.saved_tensors)
        return (g.to(kind) @ w.T).to(g.dtype), (x.T @ g.to(kind)).to(g.dtype)

    verdict = check(function(forward, backward), (normal(24, 40), normal(40, 33)))
    assert "strides" not in verdict.explain()
