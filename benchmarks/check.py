"""How long `pullback.check` takes, a kind at a time: seconds beside the import of the framework, and ratios in one run.

Run with `python benchmarks/check.py`. The aim is under 1 s for a layer, under 10 s for a block.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pullback

RNG = np.random.default_rng(0)
Case = tuple[str, Any, list[Any]]


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def rows(x: Any) -> Any:
    return x.mean(-1, keepdims=True)


# ---- NumPy -----------------------------------------------------------------------------------


def norm(x: Any, g: Any) -> Any:
    r = 1 / np.sqrt(rows(x * x) + 1e-5)
    return x * r * g, (x, r, g)


def norm_back(dy: Any, cache: Any) -> Any:
    x, r, g = cache
    return r * (dy * g - x * r * r * rows(dy * g * x)), (dy * x * r).sum(0)


def attention(q: Any, k: Any, v: Any) -> Any:
    s = q @ k.T / np.sqrt(q.shape[1])
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return p @ v, (q, k, v, p)


def attention_back(do: Any, cache: Any) -> Any:
    q, k, v, p = cache
    dp = do @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ do


def block(x: Any, wq: Any, wk: Any, wv: Any, w1: Any, w2: Any) -> Any:
    """Attention and a feed-forward layer, both with their residual."""
    o, saved = attention(x @ wq, x @ wk, x @ wv)
    h = x + o
    a = h @ w1
    return h + np.maximum(a, 0) @ w2, (x, wq, wk, wv, w1, w2, saved, h, a)


def block_back(dy: Any, cache: Any) -> Any:
    x, wq, wk, wv, w1, w2, saved, h, a = cache
    da = dy @ w2.T * (a > 0)
    dh = dy + da @ w1.T
    dq, dk, dv = attention_back(dh, saved)
    dx = dh + dq @ wq.T + dk @ wk.T + dv @ wv.T
    return dx, x.T @ dq, x.T @ dk, x.T @ dv, h.T @ da, np.maximum(a, 0).T @ dy


def of_numpy() -> list[Case]:
    return [
        ("RMS norm", (norm, norm_back), [normal(4, 6), normal(6)]),
        ("attention", (attention, attention_back), [normal(3, 4), normal(5, 4), normal(5, 2)]),
        ("transformer block", (block, block_back),
         [normal(3, 4), normal(4, 4), normal(4, 4), normal(4, 4), normal(4, 5), normal(5, 4)]),
    ]  # fmt: skip


# ---- PyTorch and JAX --------------------------------------------------------------------------


def of_torch() -> list[Case]:
    import torch

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, g: Any) -> Any:
            r = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5)
            ctx.save_for_backward(x, r, g)
            return x * r * g

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            x, r, g = ctx.saved_tensors
            return r * (dy * g - x * r * r * (dy * g * x).mean(-1, keepdim=True)), (dy * x * r).sum(0)

    class Conv(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return torch.nn.functional.conv2d(x, w, padding=1)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            x, w = ctx.saved_tensors
            by_input = torch.nn.grad.conv2d_input(x.shape, w, dy, padding=1)
            return by_input, torch.nn.grad.conv2d_weight(x, w.shape, dy, padding=1)

    def tensors(*shapes: tuple[int, ...]) -> list[Any]:
        return [torch.from_numpy(normal(*shape)) for shape in shapes]

    return [("RMS norm", Norm, tensors((4, 6), (6,))), ("conv2d", Conv, tensors((2, 3, 5, 4), (4, 3, 3, 2)))]


def of_jax() -> list[Case]:
    import jax

    def forward(x: Any, g: Any) -> Any:
        return x * jax.lax.rsqrt(rows(x * x) + 1e-5) * g

    def fwd(x: Any, g: Any) -> Any:
        r = jax.lax.rsqrt(rows(x * x) + 1e-5)
        return x * r * g, (x, r, g)

    made = jax.custom_vjp(forward)
    made.defvjp(fwd, lambda saved, dy: norm_back(dy, saved))
    return [("RMS norm", made, [normal(4, 6), normal(6)])]


def measured(case: Case) -> tuple[float, pullback.Verdict]:
    start = time.perf_counter()
    verdict = pullback.check(case[1], case[2])
    return time.perf_counter() - start, verdict


def main() -> None:
    kinds: list[tuple[str, Callable[[], list[Case]]]] = [
        ("NumPy", of_numpy), ("PyTorch", of_torch), ("JAX", of_jax),
    ]  # fmt: skip
    measured(of_numpy()[0])
    unit = measured(of_numpy()[0])[0]
    print(f"{'kind':8} {'what':20} {'first s':>8} {'again s':>8} {'× norm':>7}  verdict")
    for kind, cases in kinds:
        try:
            found = cases()
        except ImportError:
            print(f"{kind:8} is not installed")
            continue
        for case in found:
            first, _ = measured(case)
            again, verdict = measured(case)
            print(f"{kind:8} {case[0]:20} {first:8.2f} {again:8.2f} {again / unit:7.1f}  {verdict!r}")


if __name__ == "__main__":
    main()
