"""Gradient bugs that real projects had, each in a few lines: the wrong `backward`, and the one that mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import Function


@dataclass(frozen=True)
class Bug:
    """One bug: what it is, where it was reported, the two Functions, and an example of the inputs."""

    what: str
    reported: str
    wrong: type[Function]
    mended: type[Function]
    inputs: tuple[Any, ...]


def real(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=GENERATOR).requires_grad_()


GENERATOR = torch.Generator().manual_seed(0)


def variant(base: type[Function], backward: Callable[..., Any]) -> type[Function]:
    """The same forward with another backward."""
    return type(f"{base.__name__}Mended", (base,), {"backward": staticmethod(backward)})


def rows(x: torch.Tensor) -> torch.Tensor:
    return x.mean(-1, keepdim=True)


# ---- ties ------------------------------------------------------------------------------------


class TotalVariation(Function):
    """½ Σ |p - q|; the sign has two branches, and p = q is a third."""

    @staticmethod
    def forward(ctx: Any, p: Any, q: Any) -> Any:
        ctx.save_for_backward(p, q)
        return 0.5 * (p - q).abs().sum()

    @staticmethod
    def backward(ctx: Any, dl: Any) -> Any:
        p, q = ctx.saved_tensors
        s = torch.where(p > q, 0.5, -0.5).to(p.dtype) * dl
        return s, -s


def total_variation(ctx: Any, dl: Any) -> Any:
    p, q = ctx.saved_tensors
    s = 0.5 * torch.sign(p - q) * dl
    return s, -s


# ---- norms -----------------------------------------------------------------------------------


class RMSNorm(Function):
    """The backward works out 1 / (rms + ε), the forward 1 / sqrt(mean x² + ε)."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, eps: Any) -> Any:
        ctx.save_for_backward(x, w)
        ctx.eps = eps
        return x * torch.rsqrt(rows(x * x) + eps) * w

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, w = ctx.saved_tensors
        r = 1 / (rows(x * x).sqrt() + ctx.eps)
        g = dy * w
        return r * (g - x * r * r * rows(g * x)), (dy * x * r).sum(0), None


def rms_norm(ctx: Any, dy: Any) -> Any:
    x, w = ctx.saved_tensors
    r = torch.rsqrt(rows(x * x) + ctx.eps)
    g = dy * w
    return r * (g - x * r * r * rows(g * x)), (dy * x * r).sum(0), None


class LayerNorm(Function):
    """A formula in circulation: it forgets the path through the mean, and mean(dy * x̂) with it."""

    @staticmethod
    def forward(ctx: Any, x: Any, eps: Any) -> Any:
        r = torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
        h = (x - rows(x)) * r
        ctx.save_for_backward(h, r)
        return h

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        h, r = ctx.saved_tensors
        return r * (dy - h * rows(dy * h)), None


def layer_norm(ctx: Any, dy: Any) -> Any:
    h, r = ctx.saved_tensors
    return r * (dy - rows(dy) - h * rows(dy * h)), None


class GroupNorm(Function):
    """Means over the last axis alone: right for [N, C, L], and tested there; wrong for images."""

    @staticmethod
    def forward(ctx: Any, x: Any, groups: int) -> Any:
        grouped = x.reshape(x.shape[0], groups, -1)
        r = torch.rsqrt(grouped.var(-1, unbiased=False, keepdim=True) + 1e-5)
        h = (grouped - rows(grouped)) * r
        ctx.save_for_backward(h, r)
        return h.reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        h, r = ctx.saved_tensors
        count = dy.shape[1] // h.shape[1] * dy.shape[2]
        g = dy.reshape(h.shape)
        total = g.sum(-1, keepdim=True) + h * (g * h).sum(-1, keepdim=True)
        return (r * (g - total / count)).reshape(dy.shape), None


def group_norm(ctx: Any, dy: Any) -> Any:
    h, r = ctx.saved_tensors
    g = dy.reshape(h.shape)
    return (r * (g - rows(g) - h * rows(g * h))).reshape(dy.shape), None


# ---- attention -------------------------------------------------------------------------------


class Attention(Function):
    """D has one number a row, Σ_j dP P; here it has one a column of dO."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any) -> Any:
        p = torch.softmax(q @ k.T, -1)
        o = p @ v
        ctx.save_for_backward(q, k, v, p, o)
        return o

    @staticmethod
    def backward(ctx: Any, do: Any) -> Any:
        q, k, v, p, o = ctx.saved_tensors
        ds = p * (do @ v.T - (do * o).sum(0).mean())
        return ds @ k, ds.T @ q, p.T @ do


def attention(ctx: Any, do: Any) -> Any:
    q, k, v, p, o = ctx.saved_tensors
    ds = p * (do @ v.T - (do * o).sum(-1, keepdim=True))
    return ds @ k, ds.T @ q, p.T @ do


class CausalAttention(Function):
    """The mask is forgotten where the backward works P out again."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any) -> Any:
        s = q @ k.T
        seen = torch.ones_like(s, dtype=torch.bool).tril()
        s = s.masked_fill(~seen, float("-inf"))
        lse = torch.logsumexp(s, -1, keepdim=True)
        ctx.save_for_backward(q, k, v, lse, seen)
        return torch.exp(s - lse) @ v

    @staticmethod
    def backward(ctx: Any, do: Any) -> Any:
        q, k, v, lse, _ = ctx.saved_tensors
        p = torch.exp(q @ k.T - lse)
        dp = do @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        return ds @ k, ds.T @ q, p.T @ do


def causal_attention(ctx: Any, do: Any) -> Any:
    q, k, v, lse, seen = ctx.saved_tensors
    p = torch.where(seen, torch.exp(q @ k.T - lse), 0.0)
    dp = do @ v.T
    ds = p * (dp - (dp * p).sum(-1, keepdim=True))
    return ds @ k, ds.T @ q, p.T @ do


class GroupedQueries(Function):
    """Query head h reads key head h // share; the backward takes h // kv_heads, right for square ratios alone."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any) -> Any:
        shared = k.repeat_interleave(q.shape[0] // k.shape[0], 0)
        ctx.save_for_backward(q, shared)
        ctx.kv_heads = k.shape[0]
        return q @ shared.mT

    @staticmethod
    def backward(ctx: Any, ds: Any) -> Any:
        q, shared = ctx.saved_tensors
        every = ds.mT @ q
        split = every.reshape(q.shape[0] // ctx.kv_heads, ctx.kv_heads, *every.shape[1:])
        return ds @ shared, split.sum(0)


def grouped_queries(ctx: Any, ds: Any) -> Any:
    q, shared = ctx.saved_tensors
    every = ds.mT @ q
    split = every.reshape(ctx.kv_heads, q.shape[0] // ctx.kv_heads, *every.shape[1:])
    return ds @ shared, split.sum(1)


# ---- losses ----------------------------------------------------------------------------------


class CrossEntropy(Function):
    """The mean is over the targets that count, the backward divides by all of them."""

    @staticmethod
    def forward(ctx: Any, x: Any, t: Any, ignored: int) -> Any:
        kept = t != ignored
        logp = torch.log_softmax(x, -1)
        picked = logp.gather(1, torch.where(kept, t, 0)[:, None]).squeeze(1)
        ctx.save_for_backward(logp, t, kept)
        return -(picked * kept).sum() / kept.sum()

    @staticmethod
    def backward(ctx: Any, dl: Any) -> Any:
        logp, t, kept = ctx.saved_tensors
        return dl * minus_target(logp, t, kept) / len(t), None, None


def minus_target(logp: Any, t: Any, kept: Any) -> Any:
    """P - T, zero where the target does not count."""
    p = logp.exp()
    one = torch.zeros_like(p).scatter(1, torch.where(kept, t, 0)[:, None], 1.0)
    return (p - one) * kept[:, None]


def cross_entropy(ctx: Any, dl: Any) -> Any:
    logp, t, kept = ctx.saved_tensors
    return dl * minus_target(logp, t, kept) / kept.sum(), None, None


class TokenLosses(Function):
    """One loss a token: the kernel reads the first entry of the upstream gradient for all of them."""

    @staticmethod
    def forward(ctx: Any, x: Any, t: Any) -> Any:
        logp = torch.log_softmax(x, -1)
        ctx.save_for_backward(logp, t)
        return -logp.gather(1, t[:, None]).squeeze(1)

    @staticmethod
    def backward(ctx: Any, dl: Any) -> Any:
        logp, t = ctx.saved_tensors
        return dl[0] * minus_target(logp, t, torch.ones_like(t, dtype=torch.bool)), None


def token_losses(ctx: Any, dl: Any) -> Any:
    logp, t = ctx.saved_tensors
    return dl[:, None] * minus_target(logp, t, torch.ones_like(t, dtype=torch.bool)), None


class LinearLosses(Function):
    """Σ_n of g x is formed in the forward: no factor that comes later can weigh the tokens apart."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        y = x @ w
        ctx.save_for_backward(x, w, (2 * y[:, None] * x).sum(0))
        return y * y

    @staticmethod
    def backward(ctx: Any, dl: Any) -> Any:
        x, w, collected = ctx.saved_tensors
        return 2 * (dl * (x @ w))[:, None] * w, dl[0] * collected


def linear_losses(ctx: Any, dl: Any) -> Any:
    x, w, _ = ctx.saved_tensors
    g = 2 * dl * (x @ w)
    return g[:, None] * w, g @ x


# ---- plumbing --------------------------------------------------------------------------------


class Embedding(Function):
    """Rows that are looked up twice keep the last gradient instead of the sum."""

    @staticmethod
    def forward(ctx: Any, t: Any, table: Any) -> Any:
        ctx.save_for_backward(t)
        ctx.rows = len(table)
        return table[t]

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (t,) = ctx.saved_tensors
        found = dy.new_zeros(ctx.rows, dy.shape[1])
        found[t] = dy
        return None, found


def embedding(ctx: Any, dy: Any) -> Any:
    (t,) = ctx.saved_tensors
    return None, dy.new_zeros(ctx.rows, dy.shape[1]).index_add(0, t, dy)


class SwiGLU(Function):
    """Gradients are written over the tensors that the forward saved, which others may need."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a * torch.sigmoid(a) * b

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        s = torch.sigmoid(a)
        da, db = dc * b * (s + a * s * (1 - s)), dc * a * s
        return a.copy_(da), b.copy_(db)


def swiglu(ctx: Any, dc: Any) -> Any:
    a, b = ctx.saved_tensors
    s = torch.sigmoid(a)
    return dc * b * (s + a * s * (1 - s)), dc * a * s


class Filter(Function):
    """A backward that forgot one argument of the forward."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, scale: float) -> Any:
        ctx.save_for_backward(x, w)
        ctx.scale = scale
        return x * w * scale

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, w = ctx.saved_tensors
        return dy * w * ctx.scale, dy * x * ctx.scale


def filtered(ctx: Any, dy: Any) -> Any:
    x, w = ctx.saved_tensors
    return dy * w * ctx.scale, dy * x * ctx.scale, None


class Bias(Function):
    """The gradient of the bias keeps the batch: PyTorch sums it silently, a kernel or JAX does not."""

    @staticmethod
    def forward(ctx: Any, x: Any, b: Any) -> Any:
        return x + b

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy, dy


def bias(ctx: Any, dy: Any) -> Any:
    return dy, dy.sum(0)


def bugs() -> list[Bug]:
    """All of them, with fresh inputs."""
    t, ignored = torch.tensor([0, 2, 1, 1]), torch.tensor([0, -100, 1, 1])

    def of(what: str, reported: str, wrong: type[Function], mended: Callable[..., Any], *inputs: Any) -> Bug:
        return Bug(what, reported, wrong, variant(wrong, mended), inputs)

    return [
        of("total variation: sign at ties", "linkedin/Liger-Kernel#1373", TotalVariation, total_variation,
           real(3, 4), real(3, 4)),
        of("RMS norm: ε outside the root", "textbooks and kernels", RMSNorm, rms_norm, real(4, 6), real(6), 1e-5),
        of("layer norm: no path through the mean", "formulas on the web", LayerNorm, layer_norm, real(4, 6), 1e-5),
        of("group norm: tested on [N, C, L] only", "linkedin/Liger-Kernel#1375", GroupNorm, group_norm,
           real(2, 4, 3, 2), 2),
        of("attention: D of the wrong shape", "Dao-AILab/flash-attention#2555", Attention, attention,
           real(3, 4), real(5, 4), real(5, 2)),
        of("causal attention: mask forgotten", "triton-lang/triton#5660", CausalAttention, causal_attention,
           real(4, 3), real(4, 3), real(4, 2)),
        of("grouped queries: heads split wrongly", "XunhaoLai/native-sparse-attention-triton#27", GroupedQueries,
           grouped_queries, real(8, 3, 2), real(2, 5, 2)),
        of("cross entropy: denominator", "huggingface/transformers#34191", CrossEntropy, cross_entropy,
           real(4, 3), ignored, -100),
        of("token losses: first upstream for all", "NVIDIA/TransformerEngine#2139", TokenLosses, token_losses,
           real(4, 3), t),
        of("fused linear losses: weights come too late", "linkedin/Liger-Kernel#1298", LinearLosses, linear_losses,
           real(4, 3), real(3)),
        of("embedding: repeated rows", "tenstorrent/tt-metal#6232", Embedding, embedding, t, real(5, 3)),
        of("SwiGLU: saved tensors overwritten", "linkedin/Liger-Kernel#254", SwiGLU, swiglu, real(3, 4), real(3, 4)),
        of("filter: one gradient too few", "sczhou/STFAN#8", Filter, filtered, real(3, 4), real(3, 4), 0.5),
        of("bias: batch not summed", "pytorch/pytorch#65244", Bias, bias, real(3, 4), real(4)),
    ]  # fmt: skip
