"""Reading and writing parts of arrays of numbers: slices, gathers, scatters, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.tracing.arrays import Numbers, wrapped
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
