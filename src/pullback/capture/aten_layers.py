"""Layers that ATen keeps in one piece, each written with the intermediates that its published backward names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import NEGATIVE, Row, dropout, refuse, value
from pullback.capture.aten_views import length, repeat_each
from pullback.capture.views import back, in_order_of_source
from pullback.capture.writing import Value, Writer, shape_list
from pullback.expression import Num
from pullback.sizes import same_size, size_text


def linear(w: Writer, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x @ W.T + b; where x is a view that only rearranges the leading axes, the view comes after."""
    w.hint = w.hint or re.sub(r"[._]?weight$", "", weight.hint)
    straight = in_order_of_source(w, x) if weight.rank == 2 else None
    if straight is not None:
        first, way = straight
        made = linear(w, first, weight, bias)
        made.hint, made.named = w.hint, True
        return back(w, made, way)
    turned = phrases.transpose(w, weight) if weight.rank == 2 else weight
    product = phrases.matmul(w, x, turned, w.hint)
    return product if bias is None else phrases.add_(w, product, bias, w.hint)


# ---- normalisation


def _standardised(w: Writer, x: Value, axes: Sequence[int], eps: float) -> Value:
    """(x - mean) * rstd over the axes, with both named."""
    stem = w.hint
    mean = phrases.reduce(w, "mean", x, axes, True, f"{stem}_mean")
    variance = phrases.reduce(w, "mean", w.elementwise("({0} - {1}) ** 2", x, mean), axes, True)
    rstd = w.elementwise("1 / sqrt({0} + {1})", variance, value(w, eps), hint=f"{stem}_rstd")
    rstd.named = True
    hat = w.elementwise("({0} - {1}) * {2}", x, mean, rstd, hint=f"{stem}_hat")
    hat.named = True
    return hat


def _affine(w: Writer, hat: Value, weight: Value | None, bias: Value | None) -> Value:
    scaled = hat if weight is None else phrases.times(w, hat, weight)
    return scaled if bias is None else phrases.add_(w, scaled, bias)


def layer_norm(
    w: Writer,
    x: Value,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Value:
    axes = range(x.rank - len(shape), x.rank)
    return _affine(w, _standardised(w, x, tuple(axes), eps), weight, bias)


def rms_norm(
    w: Writer, x: Value, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Value:
    axes = tuple(range(x.rank - len(shape), x.rank))
    squares = phrases.reduce(w, "mean", w.elementwise("{0} ** 2", x), axes, True)
    tiny = 2.0**-52 if eps is None else eps
    rstd = w.elementwise("1 / sqrt({0} + {1})", squares, value(w, tiny), hint=f"{w.hint}_rstd")
    rstd.named = True
    return _affine(w, w.elementwise("{0} * {1}", x, rstd, hint=f"{w.hint}_hat"), weight, None)


def batch_norm(
    w: Writer,
    x: Value,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    _momentum: float,
    eps: float,
    *_: Any,
) -> Value:
    """In training the statistics are those of the batch, else the running ones."""
    axes = (0, *range(2, x.rank))
    scale, shift = (None if p is None else phrases.per_channel(w, p, x) for p in (weight, bias))
    if training or mean is None:
        return _affine(w, _standardised(w, x, axes, eps), scale, shift)
    root = w.elementwise("1 / sqrt({0} + {1})", variance, value(w, eps), hint=f"{w.hint}_rstd")
    centred = w.elementwise("{0} - {1}", x, phrases.per_channel(w, mean, x))
    hat = w.elementwise("{0} * {1}", centred, phrases.per_channel(w, root, x), hint=f"{w.hint}_hat")
    return _affine(w, hat, scale, shift)


def _batch_norm_legit(w: Writer, x: Value, weight: Any, bias: Any, *rest: Any) -> Value:
    """With running statistics, or without them."""
    *held, training, momentum, eps = rest
    return batch_norm(w, x, weight, bias, *(held or (None, None)), training, momentum, eps)


def group_norm(
    w: Writer, x: Value, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Value:
    each = length(x, 1) // groups
    split = phrases.reshape(w, x, [x.shape[0], groups, each, *x.shape[2:]])
    hat = _standardised(w, split, tuple(range(2, split.rank)), eps)
    whole = phrases.reshape(w, hat, x.shape)
    parts = (None if p is None else phrases.per_channel(w, p, x) for p in (weight, bias))
    return _affine(w, whole, *parts)


def instance_norm(
    w: Writer,
    x: Value,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    use_input: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Value:
    if not use_input:
        return batch_norm(w, x, weight, bias, mean, var, False, momentum, eps)
    parts = (None if p is None else phrases.per_channel(w, p, x) for p in (weight, bias))
    return _affine(w, _standardised(w, x, tuple(range(2, x.rank)), eps), *parts)


# ---- convolution and pooling


def pair(x: Any) -> list[int]:
    listed = list(x) if isinstance(x, list | tuple) else [x]
    return listed * 2 if len(listed) == 1 else listed


def option_text(name: str, x: Sequence[int], default: int) -> str:
    if all(n == default for n in x):
        return ""
    return f", {name}={x[0] if len(set(x)) == 1 else f'({x[0]}, {x[1]})'}"


def _convolution(rank: int) -> Row:
    def row(
        w: Writer,
        x: Value,
        kernel: Value,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Value:
        if x.rank == rank + 1:
            return phrases.squeeze(
                w, row(w, phrases.new_axis(w, x, 0), kernel, bias, stride, padding, dilation, groups), 0
            )
        steps, gaps = pair(stride)[:rank], pair(dilation)[:rank]
        sizes = [length(kernel, k + 2) for k in range(rank)]
        pads = _padding(padding, sizes, gaps)[:rank]
        options = (
            option_text("stride", steps, 1)
            + option_text("padding", pads, 0)
            + option_text("dilation", gaps, 1)
        )
        options += f", groups={groups}" if groups != 1 else ""
        lengths = [
            f"({size_text(x.shape[k + 2])} + {2 * p} - {g * (r - 1)} - 1)//{s} + 1"
            for k, (r, s, p, g) in enumerate(zip(sizes, steps, pads, gaps, strict=True))
        ]
        shape = (x.shape[0], kernel.shape[0], *lengths)
        y = w.define(f"conv{rank}d({{0}}, {{1}}{options})", x, kernel, shape=shape, style="contraction")
        return y if bias is None else phrases.add_(w, y, phrases.reshape(w, bias, [*bias.shape, *[1] * rank]))

    return row


def _padding(padding: Any, sizes: Sequence[int], gaps: Sequence[int]) -> list[int]:
    if padding == "valid":
        return [0] * len(sizes)
    if padding == "same":
        return [g * (r - 1) // 2 for r, g in zip(sizes, gaps, strict=True)]
    return pair(padding)


def upsample_nearest2d(w: Writer, x: Value, size: Any = None, *more: Any) -> Value:
    scales = next((m for m in (size, *more) if isinstance(m, list | tuple) and isinstance(m[0], float)), None)
    for axis in (2, 3):
        n = length(x, axis)
        target = int(n * scales[axis - 2]) if scales is not None else size[axis - 2]
        if target % n:
            raise refuse(f"upsampling of {n} entries to {target}, which is no multiple")
        x = repeat_each(w, x, target // n, axis) if target != n else x
    return x


def pixel_shuffle(w: Writer, x: Value, r: int) -> Value:
    n, _, height, width = x.shape
    split = phrases.reshape(w, x, [n, length(x, 1) // r**2, r, r, height, width])
    turned = phrases.transpose(w, split, [0, 1, 4, 2, 5, 3])
    return phrases.reshape(
        w, turned, [n, length(x, 1) // r**2, f"{size_text(height)}*{r}", f"{size_text(width)}*{r}"]
    )


# ---- attention and embedding


def attention(
    w: Writer,
    q: Value,
    k: Value,
    v: Value,
    mask: Any = None,
    p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    dropout(w, q, p)
    for name, x in (("Q", q), ("K", k), ("V", v)):
        if x.tree is not None:
            x.hint, x.named, x.layout = name, True, None
    if enable_gqa and not same_size(q.shape[-3], k.shape[-3]):
        times = length(q, -3) // length(k, -3)
        k, v = repeat_each(w, k, times, -3), repeat_each(w, v, times, -3)
    product = phrases.matmul(w, q, phrases.swapaxes(w, k, -2, -1))
    width = q.shape[-1]
    root = (
        w.number(int(width.value) ** 0.5)
        if isinstance(width, Num)
        else w.elementwise("sqrt({0})", w.size(width))
    )
    if scale is None:
        s = w.elementwise("{0} / {1}", product, root)
    else:
        s = phrases.times(w, value(w, scale), product)
    s = _masked(w, s, mask, is_causal)
    s.hint, s.named = "S", True
    out = phrases.matmul(w, phrases.along(w, "softmax", s, -1, "P"), v, "O")
    out.named = True
    return out


def _masked(w: Writer, s: Value, mask: Value | None, is_causal: bool) -> Value:
    """Scores that no query may see at -1e30, as a sum or by a condition."""
    if is_causal:
        above = f"triu({-NEGATIVE:g} * ones({shape_list(s.shape[-2:])}), 1)"
        w.notes.append("-inf in a mask is written -1e30")
        return w.elementwise("{0} - {1}", s, w.define(above, shape=s.shape[-2:]))
    if mask is None:
        return s
    return phrases.where(w, mask, s, value(w, NEGATIVE)) if mask.kind == "bool" else phrases.add_(w, s, mask)


def embedding(w: Writer, table: Value, index: Value, padding: int = -1, *_: Any) -> Value:
    """Rows by their number; the row `padding` is read without a gradient."""
    rows = phrases.take(w, table, index, 0)
    if padding < 0:
        return rows
    kept = w.computed("padding", lambda _, args: args[0][padding].numpy(), table.shape[1:])
    found: Value = phrases.where(
        w,
        w.elementwise(f"{{0}} == {padding}", phrases.new_axis(w, index, index.rank), kind="bool"),
        kept,
        rows,
    )
    return found


CONV2D: Final = _convolution(2)
TABLE: Final[dict[str, Row]] = {
    "linear": linear,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "native_layer_norm": lambda w, *p: (layer_norm(w, *p), None, None),
    "_native_batch_norm_legit": lambda w, x, a, b, *p: (_batch_norm_legit(w, x, a, b, *p), None, None),
    "native_group_norm": lambda w, x, a, b, n, c, s, groups, eps: (
        group_norm(w, x, groups, a, b, eps),
        None,
        None,
    ),
    "instance_norm": instance_norm,
    "conv1d": _convolution(1),
    "conv2d": CONV2D,
    "upsample_nearest2d": upsample_nearest2d,
    "pixel_shuffle": pixel_shuffle,
    "scaled_dot_product_attention": attention,
    "embedding": embedding,
}
