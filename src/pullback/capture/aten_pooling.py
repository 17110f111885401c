"""What slides a window in ATen: pooling, and the sum over windows that `fold` is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import NEGATIVE, Row, refuse
from pullback.capture.aten_layers import option_text, pair
from pullback.capture.aten_views import length
from pullback.capture.writing import Style, Value, Writer
from pullback.sizes import size_text


def _pool(name: str) -> Row:
    is_max = name == "max_pool2d"

    def row(w: Writer, x: Value, size: Any, stride: Any = None, padding: Any = 0, *more: Any) -> Value:
        if x.rank == 3:
            return phrases.squeeze(w, row(w, phrases.new_axis(w, x, 0), size, stride, padding, *more), 0)
        window, steps, pads = pair(size), pair(stride) if stride else pair(size), pair(padding)
        gaps = pair(more[0]) if is_max and more else [1, 1]
        ceil = more[1:2] == (True,) if is_max else more[:1] == (True,)
        reach = [g * (n - 1) + 1 for g, n in zip(gaps, window, strict=True)]
        surplus = [0, 0]
        if ceil:
            surplus = [_surplus(length(x, k + 2), reach[k], steps[k], pads[k]) for k in (0, 1)]
        found = _padded(w, x, pads, surplus, NEGATIVE if is_max else 0.0)
        if gaps != [1, 1]:
            return _dilated(w, found, window, steps, gaps)
        pooled = _pooled(w, name, found, window, steps)
        return pooled if is_max else _averaged(w, x, pooled, window, steps, pads, surplus, more[1:])

    return row


def _padded(w: Writer, x: Value, pads: Sequence[int], surplus: Sequence[int], fill: float) -> Value:
    if not any((*pads, *surplus)):
        return x
    around = [(p, p + more) for p, more in zip(pads, surplus, strict=True)]
    return phrases.pad(w, x, [(0, 0), (0, 0), *around], fill)


def _pooled(w: Writer, name: str, x: Value, window: Sequence[int], steps: Sequence[int]) -> Value:
    lengths = [f"({size_text(x.shape[k + 2])} - {window[k]})//{steps[k]} + 1" for k in (0, 1)]
    shown = str(window[0]) if window[0] == window[1] else f"({window[0]}, {window[1]})"
    option = "" if steps == window else option_text("stride", steps, 0)
    style: Style = "operator" if name == "max_pool2d" else "contraction"
    return w.define(f"{name}({{0}}, {shown}{option})", x, shape=(*x.shape[:2], *lengths), style=style)


def _surplus(size: int, reach: int, step: int, pad: int) -> int:
    """What `ceil_mode` adds at the end, so that a last window begins inside; PyTorch's rule."""
    count = math.ceil((size + 2 * pad - reach) / step) + 1
    if (count - 1) * step >= size + pad:
        count -= 1
    return max((count - 1) * step + reach - size - 2 * pad, 0)


def _averaged(
    w: Writer,
    x: Value,
    pooled: Value,
    window: Sequence[int],
    steps: Sequence[int],
    pads: Sequence[int],
    surplus: Sequence[int],
    more: Sequence[Any],
) -> Value:
    """The mean over what counts: not what `ceil_mode` added, and the padding only with `count_include_pad`."""
    includes = more[0] if more else True
    divisor = more[1] if len(more) > 1 else None
    if divisor is not None:
        return w.elementwise(f"{window[0] * window[1]} / {divisor} * {{0}}", pooled)
    counted = pads if includes else [0, 0]
    if not any(surplus) and counted == pads:
        return pooled
    sizes = [f"{size_text(x.shape[k + 2])} + {2 * counted[k]}" for k in (0, 1)]
    ones = w.filled(1.0, (1, 1, *sizes))
    zone = _padded(w, ones, [p - c for p, c in zip(pads, counted, strict=True)], surplus, 0.0)
    share = _pooled(w, "avg_pool2d", zone, window, steps)
    return w.elementwise("{0} / {1}", pooled, share)


def _dilated(w: Writer, x: Value, window: Sequence[int], steps: Sequence[int], gaps: Sequence[int]) -> Value:
    """max over r, t of X[n, c, s p + d r, s q + d t]"""
    reach = [g * (n - 1) + 1 for g, n in zip(gaps, window, strict=True)]
    lengths = [f"({size_text(x.shape[k + 2])} - {reach[k]})//{steps[k]} + 1" for k in (0, 1)]
    slots = (
        f"{_times(steps[0], 'p')} + {_times(gaps[0], 'r')}, {_times(steps[1], 'q')} + {_times(gaps[1], 't')}"
    )
    windows = w.define(
        f"{{0}}[n, c, {slots}]",
        x,
        shape=(*x.shape[:2], *lengths, *window),
        indices=["n", "c", "p", "q", "r", "t"],
    )
    windows.declared = True
    return phrases.reduce(w, "max", windows, (-2, -1), False)


def _times(n: int, index: str) -> str:
    return index if n == 1 else f"{n}*{index}"


def _fold(
    w: Writer, x: Value, size: Any, window: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Value:
    """Y[n,c,h,l] = Σ X[n,c,r,t,p,q] [s p + d r - e = h] [s q + d t - e = l]: each window is added at its place."""
    if x.rank == 2:
        wide = _fold(w, phrases.new_axis(w, x, 0), size, window, dilation, padding, stride)
        return phrases.squeeze(w, wide, 0)
    sizes, windows, gaps, pads, steps = (pair(n) for n in (size, window, dilation, padding, stride))
    counts = [(sizes[k] + 2 * pads[k] - gaps[k] * (windows[k] - 1) - 1) // steps[k] + 1 for k in (0, 1)]
    channels = length(x, 1) // (windows[0] * windows[1])
    split = phrases.reshape(w, x, [x.shape[0], channels, *windows, *counts])
    places = [
        f"({_times(steps[k], 'pq'[k])} + {_times(gaps[k], 'rt'[k])}{f' - {pads[k]}' if pads[k] else ''} == {'hl'[k]})"
        for k in (0, 1)
    ]
    made = w.define(
        f"{{0}}[n, c, r, t, p, q] * {places[0]} * {places[1]}",
        split,
        shape=(x.shape[0], channels, *sizes),
        indices=["n", "c", "h", "l"],
    )
    made.declared = True
    return made


def _one_axis(row: Row) -> Row:
    """Pooling along one axis, as pooling along two of which one has size 1."""

    def pooled(w: Writer, x: Value, size: Any, stride: Any = None, padding: Any = 0, *more: Any) -> Value:
        one, step, edge = ((pair(n)[0] if n else n) for n in (size, stride, padding))
        tall = phrases.new_axis(w, x, x.rank - 1)
        return phrases.squeeze(w, row(w, tall, [1, one], [1, step or one], [0, edge or 0], *more), -2)

    return pooled


def _adaptive(name: str) -> Row:
    def row(w: Writer, x: Value, size: Any) -> Any:
        target = [n if n is not None else x.shape[x.rank - 2 + k] for k, n in enumerate(pair(size))]
        if target == [1, 1]:
            return phrases.reduce(w, "mean" if name == "avg" else "max", x, (-2, -1), True)
        lengths = [length(x, k) for k in (-2, -1)]
        if any(n % t for n, t in zip(lengths, target, strict=True)):
            raise refuse(f"adaptive pooling of {lengths} to {target}, which does not divide")
        window = [n // t for n, t in zip(lengths, target, strict=True)]
        return x if window == [1, 1] else _pool(f"{name}_pool2d")(w, x, window)

    return row


def _adaptive_1d(name: str) -> Row:
    def row(w: Writer, x: Value, size: Any) -> Any:
        return phrases.squeeze(
            w, _adaptive(name)(w, phrases.new_axis(w, x, x.rank - 1), [1, pair(size)[0]]), -2
        )

    return row


TABLE: Final[dict[str, Row]] = {
    "max_pool2d": _pool("max_pool2d"),
    "avg_pool2d": _pool("avg_pool2d"),
    "col2im": _fold,
    "max_pool1d": _one_axis(_pool("max_pool2d")),
    "avg_pool1d": _one_axis(_pool("avg_pool2d")),
    "adaptive_avg_pool2d": _adaptive("avg"),
    "adaptive_avg_pool1d": _adaptive_1d("avg"),
    "adaptive_max_pool2d": lambda w, x, s: (_adaptive("max")(w, x, s), None),
    "adaptive_max_pool1d": lambda w, x, s: (_adaptive_1d("max")(w, x, s), None),
}
