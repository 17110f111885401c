"""Attention with heads: written with reshape and transposes, as a person writes it, and right."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from pullback.api import Derivation, derive

from .emitted import load

torch = pytest.importorskip("torch")

HEADS = "transpose(reshape(A[:, :, {}:{}], [B, T, 3, 4]), [0, 2, 1, 3])"
PROGRAM = f"""A = X @ W
Q = {HEADS.format(0, 12)}
K = {HEADS.format(12, 24)}
V = {HEADS.format(24, 36)}
P = softmax(Q @ transpose(K, [0, 1, 3, 2]) / 2, axis=3)
O = P @ V
Y = reshape(transpose(O, [0, 2, 1, 3]), [B, T, 12]) @ U"""


@cache
def attention() -> Derivation:
    return derive(PROGRAM, {"X": "B T 12", "W": "12 36", "U": "12 12"})


def plain(x: Any, w: Any, u: Any) -> Any:
    q, k, v = ((x @ w)[..., n : n + 12].unflatten(2, (3, 4)).transpose(1, 2) for n in (0, 12, 24))
    p = torch.softmax(q @ k.mT / 2, dim=3)
    return (p @ v).transpose(1, 2).flatten(2) @ u


@pytest.mark.parametrize("target", ["numpy", "torch", "jax"])
def test_no_entry_is_gathered(target: str) -> None:
    code = attention().emit(target, name="layer")
    assert "arange" not in code
    assert code.count("reshape") >= 7


def test_products_of_batches_are_written_as_such() -> None:
    code = attention().emit("torch", name="layer").split("def backward")[1]
    assert "dP = " in code and "@ V.mT" in code
    assert "torch.cat([" in code


def test_the_function_has_the_gradients_of_the_plain_one() -> None:
    layer = load(attention().emit("torch", name="layer"), "layer")
    torch.manual_seed(0)
    shapes = [(2, 5, 12), (12, 36), (12, 12)]
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    upstream = torch.randn(2, 5, 12, dtype=torch.float64)
    found = torch.autograd.grad(layer(*given), given, upstream)
    wanted = torch.autograd.grad(plain(*given), given, upstream)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
