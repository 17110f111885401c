"""ATen's operations on arrays of numbers give what PyTorch gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.checking import check
from pullback.errors import PullbackError
from pullback.evaluator import HighPrecision
from pullback.tracing.aten import operation
from pullback.tracing.numbers import World, inside
from pullback.verify.code_compare import array_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
Function, F = torch.autograd.Function, torch.nn.functional
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


X, W = normal(2, 3, 4, 4), normal(3)
SPREAD = np.abs(W) + 1
POOLED = torch.ops.aten.max_pool2d_with_indices(torch.from_numpy(X), [2, 2], [2, 2])
CASES = [
    ("native_batch_norm", (X, W, W, None, None, True, 0.1, 1e-5)),
    ("native_batch_norm", (X, W, None, W, SPREAD, False, 0.1, 1e-5)),
    ("_native_batch_norm_legit", (X, None, W, W, SPREAD, True, 0.1, 1e-5)),
    ("_native_batch_norm_legit_no_training", (X, W, W, W, SPREAD, 0.1, 1e-5)),
    ("_native_batch_norm_legit_functional", (X, W, W, W, SPREAD, True, 0.1, 1e-5)),
    ("_cdist_forward", (normal(3, 2), normal(4, 2), 2.0, None)),
    ("_cdist_forward", (normal(2, 3, 2), normal(2, 4, 2), 1.0, None)),
    ("_adaptive_avg_pool2d", (normal(1, 2, 5, 4), [2, 3])),
    ("embedding_dense_backward", (normal(4, 2), np.array([1, 0, 1, 2]), 3, 2, False)),
    (
        "max_pool2d_with_indices_backward",
        (normal(2, 3, 2, 2), X, [2, 2], [2, 2], [0, 0], [1, 1], False, POOLED[1].numpy()),
    ),
    ("remainder", (np.array([5, -5]), np.array([3, 3]))),
    ("fmod", (np.array([5, -5]), np.array([3, 3]))),
    ("bitwise_xor", (np.array([True, False]), np.array([True, True]))),
    ("abs", (np.array([-2, 3]),)),
]


@pytest.mark.parametrize(("name", "args"), CASES)
def test_an_operation_gives_what_pytorch_gives(name: str, args: tuple[Any, ...]) -> None:
    world = World(HighPrecision())
    given = [torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x for x in args]
    expected = getattr(torch.ops.aten, name)(*given)
    with inside(world):
        numbered = [
            array_of(world, [world.number(float(v)).value for v in x.flat], x.shape)
            if isinstance(x, np.ndarray) and x.dtype.kind == "f"
            else x
            for x in args
        ]
        found = operation(name)(*numbered)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for a, b in pairs:
        with inside(world):
            values = [float(world.number(v).value) for v in np.asarray(a).flat]
        assert np.allclose(np.reshape(values, np.shape(a)), b.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "args"), [("_cdist_forward", (normal(1, 2), normal(1, 2), 3.0, None)), ("fmod", (2.5, 2.0))]
)
def test_what_has_no_meaning_is_refused(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(PullbackError, match="no meaning"):
        operation(name)(*args)


class CountedLabels(Function):
    """A count of labels as a number of Python, and labels as rows of zeros and ones."""

    @staticmethod
    def forward(ctx, x, t):
        keep = t != -100
        count = keep.sum().item()
        safe = torch.where(keep, t, 0)
        ctx.save_for_backward(x, safe, keep)
        ctx.count = count
        return (F.cross_entropy(x, safe, reduction="none") * keep).sum() / count

    @staticmethod
    def backward(ctx, g):
        x, safe, keep = ctx.saved_tensors
        p = x.softmax(1) - F.one_hot(safe, x.shape[1])
        return p * keep[:, None] / ctx.count * g, None


class Signed(Function):
    """Its path depends on the values."""

    @staticmethod
    def forward(ctx, x):
        ctx.positive = x.sum().item() > 0
        return 2 * x if ctx.positive else 3 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g if ctx.positive else 3 * g


def test_numbers_that_depend_on_labels_alone_are_traced() -> None:
    (verdict,) = check(
        CountedLabels, [torch.from_numpy(normal(5, 4)), torch.tensor([1, -100, 0, 3, 2])]
    ).verdicts
    assert verdict.ok is True and verdict.status == "exact"


def test_numbers_that_depend_on_values_are_not() -> None:
    (verdict,) = check(Signed, [torch.from_numpy(normal(3, 2))]).verdicts
    assert verdict.ok is True and verdict.status == "numerical" and "numerical" in verdict.reason
