"""How fast emitted Functions are beside autograd's own backward, as ratios measured in one run.

python benchmarks/emitted.py: for each layer the backward of the emitted Function, and forward with backward, over
those of the plain forward under autograd (float32, one thread, the smallest of several times of the processor);
below 1 is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

import pullback

NORM = """mu = mean(x, axis=1, keepdims=True)
v = mean((x - mu)**2, axis=1, keepdims=True)
r = 1 / sqrt(v + 1e-5)
y = (x - mu) * r * gamma + beta"""
LOSS = "L = mean(logsumexp(Z, axis=1) - sum(Z * onehot(t, C), axis=1))"
RMS = "r = 1 / sqrt(mean(x**2, axis=1, keepdims=True) + 1e-5); y = x * r * gamma"
SWIGLU = "A = X @ W; Y = (A * sigmoid(A) * (X @ V)) @ U"
ATTENTION = "P = softmax(Q @ K.T / sqrt(D), axis=1); O = P @ V"


def layers() -> list[tuple[str, Any, Callable[..., Any], list[Any]]]:
    """Name, derivation, the forward as a user of PyTorch writes it, and arguments."""

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, requires_grad=True)

    functional = torch.nn.functional
    qkv = [drawn(512, 64) for _ in range(3)]
    derive = pullback.derive
    labels = torch.randint(0, 1000, (512,))
    norm = derive(NORM, {"x": "N D", "gamma": "D", "beta": "D"})
    rms = derive(RMS, {"x": "N D", "gamma": "D"})
    loss = derive(LOSS, {"Z": "N C"}, integers={"t": ("N", "C")})
    attention = derive(ATTENTION, {"Q": "N D", "K": "M D", "V": "M E"})
    convolution = derive("Y = conv2d(X, K, stride=2, padding=1)", {"X": "N C H W", "K": "O C 3 3"})
    gated = derive(SWIGLU, {"X": "N D", "W": "D F", "V": "D F", "U": "F D"})
    return [
        ("linear", derive("Y = X @ W"), lambda x, w: x @ w, [drawn(512, 512), drawn(512, 512)]),
        ("cross entropy", loss, functional.cross_entropy, [drawn(512, 1000), labels]),
        ("layer norm", norm, lambda x, g, b: functional.layer_norm(x, (512,), g, b),
         [drawn(1024, 512), drawn(512), drawn(512)]),
        ("rms norm", rms, lambda x, g: functional.rms_norm(x, (512,), g, 1e-5), [drawn(1024, 512), drawn(512)]),
        ("conv2d", convolution, lambda x, k: functional.conv2d(x, k, stride=2, padding=1),
         [drawn(8, 16, 32, 32), drawn(32, 16, 3, 3)]),
        ("swiglu", gated, lambda x, w, v, u: (functional.silu(x @ w) * (x @ v)) @ u,
         [drawn(256, 128), drawn(128, 512), drawn(128, 512), drawn(512, 128)]),
        ("attention", attention, lambda q, k, v: torch.softmax(q @ k.mT / 8, 1) @ v, qkv),
    ]  # fmt: skip


def seconds(functions: list[Callable[..., Any]], arguments: list[Any]) -> list[tuple[float, float]]:
    """For each function the smallest time of a backward pass, and of both passes; they run in turns."""
    real = [a for a in arguments if a.requires_grad]
    found: list[list[tuple[float, float]]] = [[] for _ in functions]
    for _ in range(40):
        for function, times in zip(functions, found, strict=True):
            start = time.process_time()
            output = function(*arguments)
            middle = time.process_time()
            torch.autograd.grad(output, real, torch.ones_like(output))
            end = time.process_time()
            times.append((end - middle, end - start))
    return [(min(each[0] for each in times), min(each[1] for each in times)) for times in found]


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'layer':<16}{'backward':>10}{'both':>8}")
    for name, derivation, plain, arguments in layers():
        namespace: dict[str, Any] = {}
        exec(derivation.emit("torch", name="layer"), namespace)
        own, other = seconds([namespace["layer"], plain], arguments)
        print(f"{name:<16}{own[0] / other[0]:>10.2f}{own[1] / other[1]:>8.2f}")


if __name__ == "__main__":
    main()
