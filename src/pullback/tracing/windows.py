"""Convolutions and pooling on arrays of numbers: what each window sees, and the same backwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from pullback.tracing.arrays import numbers, wrapped
from pullback.tracing.indexing import padded
from pullback.tracing.numbers import Untraceable


def _each(values: Sequence[int] | int, rank: int) -> list[int]:
    given = [values] if isinstance(values, int) else list(values)
    return given * rank if len(given) == 1 else given


def _spread(padding: Sequence[int]) -> list[int]:
    """PyTorch's order: the last axis first, both sides."""
    return [v for v in reversed(list(padding)) for v in (v, v)]


def _taps(
    window: Sequence[int], stride: Sequence[int], dilation: Sequence[int], out: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """For each place in the window: the entries that it meets, one for each output."""
    for at in np.ndindex(*window):
        yield (
            at,
            tuple(
                slice(p * d, p * d + s * (o - 1) + 1, s)
                for p, d, s, o in zip(at, dilation, stride, out, strict=True)
            ),
        )


def convolution(
    x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> Any:  # fmt: skip
    """ATen's convolution; the transposed one is the gradient by the input of the other."""
    rank = np.ndim(x) - 2
    stride, padding, dilation = _each(stride, rank), _each(padding, rank), _each(dilation, rank)
    if not transposed:
        return convolved(x, w, bias, stride, padding, dilation, groups)
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, s, p, d, k, e in zip(
            x.shape[2:], stride, padding, dilation, w.shape[2:], _each(output_padding, rank), strict=True
        )
    ]
    found = by_input(x, w, (x.shape[0], w.shape[1] * groups, *size), stride, padding, dilation, groups)
    return found if bias is None else numbers(found + np.reshape(bias, (1, -1, *(1,) * rank)))


def _patches(
    x: Any, window: Sequence[int], stride: Sequence[int], dilation: Sequence[int], out: Sequence[int],
    groups: int,
) -> Any:  # fmt: skip
    """What each window sees: example, group, channel of the group, output place, place in the window."""
    seen = [x[(slice(None), slice(None), *cut)] for _, cut in _taps(window, stride, dilation, out)]
    return np.stack(seen, axis=-1).reshape(
        x.shape[0], groups, x.shape[1] // groups, math.prod(out), len(seen)
    )


def convolved(
    x: Any, w: Any, bias: Any, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> Any:  # fmt: skip
    """Y[n,m,…] = Σ over channels of the group and the window; not the transposed kind."""
    x = padded(x, _spread(padding))
    window = w.shape[2:]
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], window, stride, dilation, strict=True)
    ]
    seen = _patches(x, window, stride, dilation, out, groups)
    kernel = w.reshape(groups, w.shape[0] // groups, w.shape[1], -1)
    found = np.einsum("ngcow,gmcw->ngmo", seen, kernel).reshape(x.shape[0], w.shape[0], *out)
    if bias is not None:
        found = found + np.reshape(bias, (1, -1, *(1,) * len(out)))
    return numbers(found)


def by_input(
    g: Any, w: Any, shape: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> Any:  # fmt: skip
    """dX[n,c,…] = Σ over output channels and the window of g w."""
    wide = [n + 2 * p for n, p in zip(shape[2:], padding, strict=True)]
    total: Any = numbers(np.zeros((shape[0], shape[1], *wide), dtype=np.int64))
    given = g.reshape(g.shape[0], groups, w.shape[0] // groups, -1)
    kernel = w.reshape(groups, w.shape[0] // groups, w.shape[1], -1)
    parts = np.einsum("ngmo,gmcw->ngcow", given, kernel)
    parts = parts.reshape(shape[0], shape[1], *g.shape[2:], kernel.shape[-1])
    for k, (_, cut) in enumerate(_taps(w.shape[2:], stride, dilation, g.shape[2:])):
        where = (slice(None), slice(None), *cut)
        total[where] = total[where] + parts[..., k]
    kept = tuple(slice(p, p + n) for p, n in zip(padding, shape[2:], strict=True))
    return wrapped(total[(slice(None), slice(None), *kept)])


def by_kernel(
    g: Any, x: Any, shape: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> Any:  # fmt: skip
    """dW[m,c,…] = Σ over examples and outputs of g x."""
    seen = _patches(padded(x, _spread(padding)), shape[2:], stride, dilation, g.shape[2:], groups)
    given = g.reshape(g.shape[0], groups, shape[0] // groups, -1)
    return wrapped(np.einsum("ngmo,ngcow->gmcw", given, seen).reshape(tuple(shape)))


def convolution_backward(
    g: Any, x: Any, w: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, mask: Sequence[bool],
) -> Any:  # fmt: skip
    """ATen's gradients by the input, the kernel and the bias."""
    rank = np.ndim(x) - 2
    steps = _each(stride, rank), _each(padding, rank), _each(dilation, rank)
    axes = (0, *range(2, np.ndim(g)))
    if transposed:
        by_x = convolved(g, w, None, *steps, groups) if mask[0] else None
        by_w = by_kernel(x, g, w.shape, *steps, groups) if mask[1] else None
    else:
        by_x = by_input(g, w, x.shape, *steps, groups) if mask[0] else None
        by_w = by_kernel(g, x, w.shape, *steps, groups) if mask[1] else None
    return by_x, by_w, wrapped(np.sum(g, axis=axes)) if mask[2] else None


# ---- pooling --------------------------------------------------------------------------------


def _outputs(
    shape: Sequence[int], window: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], ceil: bool,
) -> list[int]:  # fmt: skip
    if ceil:
        raise Untraceable("pooling with ceil_mode has no meaning here")
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape, window, stride, padding, dilation, strict=True)
    ]


def average_pool(
    x: Any, window: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, count_padding: bool = True,
    divisor: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window, over its last axes."""
    rank = len(window)
    stride, padding = _each(stride or window, rank), _each(padding, rank)
    if any(padding) and not count_padding:
        raise Untraceable("pooling that leaves out its padding has no meaning here")
    out = _outputs(x.shape[-rank:], window, stride, padding, [1] * rank, ceil)
    wide = padded(x, _spread(padding))
    total: Any = 0
    for _, cut in _taps(window, stride, [1] * rank, out):
        total = total + wide[(..., *cut)]
    return numbers(total * Fraction(1, divisor or int(np.prod(window))))


def largest_pool(
    x: Any, window: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Any:
    """The first largest entry of each window and its place among the last axes of `x`."""
    rank = len(window)
    stride, padding, dilation = _each(stride or window, rank), _each(padding, rank), _each(dilation, rank)
    out = _outputs(x.shape[-rank:], window, stride, padding, dilation, ceil)
    places = np.arange(int(np.prod(x.shape[-rank:]))).reshape(x.shape[-rank:])
    places = np.pad(places, [(p, p) for p in padding], constant_values=-1)
    lead = x.shape[: x.ndim - rank]
    flat = x.view(np.ndarray).reshape(*lead, -1)
    seen = np.stack([places[cut].reshape(-1) for _, cut in _taps(window, stride, dilation, out)])
    best = np.empty((*lead, *out), dtype=object)
    where = np.empty((*lead, *out), dtype=np.int64)
    for at in np.ndindex(*lead):
        for k, spot in enumerate(np.ndindex(*out)):
            inside = [int(p) for p in seen[:, k] if p >= 0]
            chosen = inside[0]
            for p in inside[1:]:
                if flat[at][p] > flat[at][chosen]:
                    chosen = p
            best[at + spot], where[at + spot] = flat[at][chosen], chosen
    return numbers(best), where
