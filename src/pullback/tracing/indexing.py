"""Reading and writing parts of arrays of numbers: slices, gathers, scatters, padding, convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.tracing.arrays import Numbers, numbers, wrapped
from pullback.tracing.numbers import Untraceable


def selected(x: Any, dim: int, index: int) -> Any:
    return wrapped(np.asarray(np.moveaxis(x, dim, 0)[index], dtype=x.dtype))


def sliced(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    where = [slice(None)] * np.ndim(x)
    where[dim] = slice(start, None if end is not None and end > 2**40 else end, step)
    return x[tuple(where)]


def _index(indices: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        slice(None) if i is None else (np.asarray(i) if not isinstance(i, Numbers) else _refuse())
        for i in indices
    )


def _refuse() -> Any:
    raise Untraceable("values are used as indices")


def indexed(x: Any, indices: Sequence[Any]) -> Any:
    return wrapped(np.asarray(x[_index(indices)], dtype=x.dtype))


def put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    found = x.copy()
    plain = found.view(np.ndarray)
    given = values.view(np.ndarray) if isinstance(values, np.ndarray) else values
    if accumulate:
        np.add.at(plain, _index(indices), given)
    else:
        plain[_index(indices)] = given
    return found


def _along(index: Any, dim: int) -> tuple[Any, ...]:
    grid = list(np.indices(index.shape))
    grid[dim] = index
    return tuple(grid)


def gathered(x: Any, dim: int, index: Any, **_: Any) -> Any:
    return wrapped(np.asarray(x[_along(index, dim)], dtype=x.dtype)) if np.ndim(x) else x


def scattered(x: Any, dim: int, index: Any, src: Any, add: bool = False, **options: Any) -> Any:
    if options.get("reduce") not in (None, "add"):
        raise Untraceable("this kind of scatter has no meaning here")
    if isinstance(src, np.ndarray) and np.ndim(src):
        src = src[tuple(slice(n) for n in index.shape)]
    return put(x, _along(index, dim), src, accumulate=add or options.get("reduce") == "add")


def cumulated(x: Any, dim: int, **_: Any) -> Any:
    found = x.copy()
    along = np.moveaxis(found.view(np.ndarray), dim, 0)
    for k in range(1, len(along)):
        along[k] = along[k - 1] + along[k]
    return found


def padded(x: Any, pad: Sequence[int], value: Any = 0) -> Any:
    widths = [(0, 0)] * np.ndim(x)
    for k in range(len(pad) // 2):
        widths[np.ndim(x) - 1 - k] = (pad[2 * k], pad[2 * k + 1])
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(widths, np.shape(x), strict=True))
    shape = [n + a + b for (a, b), n in zip(widths, np.shape(x), strict=True)]
    found = np.full(shape, value, dtype=x.dtype)
    place = tuple(slice(max(0, a), s - max(0, b)) for (a, b), s in zip(widths, shape, strict=True))
    found[place] = x[cut]
    return wrapped(found)


def convolved(
    x: Any, w: Any, bias: Any, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    transposed: bool, output_padding: Sequence[int], groups: int,
) -> Any:  # fmt: skip
    """Y[n,m,…] = Σ over channels of the group and the window; not the transposed kind."""
    if transposed:
        raise Untraceable("a transposed convolution has no meaning here")
    rank = np.ndim(x) - 2
    spread = [v for v in reversed(list(padding)) for v in (v, v)]
    x = padded(x, spread)
    steps = [list(v) * rank if len(v) == 1 else list(v) for v in (stride, dilation)]
    window = w.shape[2:]
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], window, steps[0], steps[1], strict=True)
    ]
    per_in, per_out = w.shape[1], w.shape[0] // groups
    total: Any = 0
    for at in np.ndindex(*window):
        cut = tuple(
            slice(p * d, p * d + s * (o - 1) + 1, s)
            for p, d, s, o in zip(at, steps[1], steps[0], out, strict=True)
        )
        part = x[(slice(None), slice(None), *cut)]
        kernel = w[(slice(None), slice(None), *at)]
        pieces = [
            np.moveaxis(
                np.tensordot(
                    part[:, g * per_in : (g + 1) * per_in], kernel[g * per_out : (g + 1) * per_out], (1, 1)
                ),
                -1,
                1,
            )
            for g in range(groups)
        ]
        total = total + np.concatenate(pieces, axis=1)
    if bias is not None:
        total = total + np.reshape(bias, (1, -1, *(1,) * rank))
    return numbers(total)
