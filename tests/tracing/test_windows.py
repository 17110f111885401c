"""Convolutions, their gradients and pooling on arrays of numbers give what PyTorch gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.tracing.arrays import numbers
from pullback.tracing.windows import average_pool, convolution, convolution_backward, largest_pool

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
RNG = np.random.default_rng(0)


def whole(*shape: int) -> Any:
    return RNG.integers(-4, 5, size=shape).astype(float)


def floats(x: Any) -> Any:
    return np.array(np.asarray(x).tolist(), dtype=float)


CASES = [
    (whole(2, 4, 7), whole(6, 2, 3), (2,), (1,), (1,), False, (0,), 2),
    (whole(1, 2, 5, 6), whole(3, 2, 2, 3), (1, 2), (0, 1), (2, 1), False, (0, 0), 1),
    (whole(2, 4, 3), whole(4, 3, 3), (2,), (1,), (1,), True, (1,), 2),
    (whole(1, 2, 3, 2), whole(2, 3, 2, 3), (2, 1), (0, 1), (1, 2), True, (0, 0), 1),
]


@pytest.mark.parametrize("case", CASES, ids=["grouped", "2-D", "transposed, grouped", "transposed 2-D"])
def test_a_convolution_and_its_gradients(case: Any) -> None:
    x, w, *options = case
    tensors = [torch.from_numpy(v) for v in (x, w)]
    bias = torch.zeros(w.shape[1] * options[-1] if options[3] else w.shape[0], dtype=torch.float64)
    expected = torch.ops.aten.convolution(*tensors, bias, *options)
    found = convolution(numbers(x), numbers(w), None, *options)
    np.testing.assert_array_equal(floats(found), expected.numpy())
    g = whole(*expected.shape)
    mask = [True, True, True]
    true = torch.ops.aten.convolution_backward(
        torch.from_numpy(g), *tensors, list(bias.shape), *options, mask
    )
    ours = convolution_backward(numbers(g), numbers(x), numbers(w), None, *options, mask)
    for mine, theirs in zip(ours, true, strict=True):
        np.testing.assert_array_equal(floats(mine), theirs.numpy())


@pytest.mark.parametrize(
    ("window", "stride", "padding"), [((2, 2), (), 0), ((3, 2), (1, 2), 1), ((2, 3), 2, (1, 0))]
)
def test_pooling(window: Any, stride: Any, padding: Any) -> None:
    x = whole(2, 1, 5, 6)
    given = torch.from_numpy(x)
    mean = torch.nn.functional.avg_pool2d(given, window, stride or None, padding)
    np.testing.assert_allclose(floats(average_pool(numbers(x), window, stride, padding)), mean.numpy())
    best, where = torch.ops.aten.max_pool2d_with_indices(
        given, window, [stride] * 2 if isinstance(stride, int) else list(stride),
        [padding] * 2 if isinstance(padding, int) else list(padding),
    )  # fmt: skip
    found, places = largest_pool(numbers(x), window, stride, padding)
    np.testing.assert_array_equal(floats(found), best.numpy())
    assert floats(found).shape == places.shape == tuple(where.shape)
