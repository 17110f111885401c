"""Convolution and pooling of JAX, with the axes where the language has them: N C H W, and O I R S."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.capture.arrays import Array, number
from pullback.capture.moving import pad, reshape, transpose
from pullback.capture.operations import elementwise, operator
from pullback.expression import MINUS_ONE, ONE, ZERO, Expr, add, call, mul, neg, num
from pullback.sizes import normal_size, product_size
from pullback.tracing.numbers import Untraceable


def _length(size: Expr, window: Expr, stride: int, padding: int, dilation: int) -> Expr:
    reach = mul(num(dilation), add(window, MINUS_ONE))
    room = normal_size(add(size, num(2 * padding), neg(normal_size(reach)), MINUS_ONE))
    return normal_size(add(call("floordiv", room, num(stride)), ONE))


def _pair(values: Sequence[int]) -> Any:
    return values[0] if len(set(values)) == 1 else tuple(values)


def convolution(
    x: Array, kernel: Array, *, dimension_numbers: Any, window_strides: Any, padding: Any, **options: Any
) -> Array:
    """conv_general_dilated in one or two dimensions."""
    d = dimension_numbers
    axes = x.rank - 2
    if axes not in (1, 2) or options.get("batch_group_count", 1) != 1:
        raise Untraceable(f"a convolution in {axes} dimensions, or with groups of the batch")
    x, kernel = transpose(x, d.lhs_spec), transpose(kernel, d.rhs_spec)
    gaps = [g - 1 for g in options.get("lhs_dilation") or (1,) * axes]
    uneven = any(a != b for a, b in padding) or any(gaps) or any(a < 0 for a, _ in padding)
    if uneven:
        widths = [(ZERO, ZERO)] * 2 + [(num(int(a)), num(int(b))) for a, b in padding]
        x, padding = pad(x, widths, ZERO, [0, 0, *gaps]), [(0, 0)] * axes
    strides, pads = [int(s) for s in window_strides], [int(a) for a, _ in padding]
    dilations = [int(r) for r in options.get("rhs_dilation") or (1,) * axes]
    said: dict[str, Any] = {"stride": _pair(strides), "padding": _pair(pads), "dilation": _pair(dilations)}
    said = {name: value for name, value in said.items() if value != (0 if name == "padding" else 1)}
    if options.get("feature_group_count", 1) != 1:
        said["groups"] = int(options["feature_group_count"])
    lengths = map(_length, x.shape[2:], kernel.shape[2:], strides, pads, dilations)
    made = operator(f"conv{axes}d", (x.shape[0], kernel.shape[0], *lengths), x, kernel, **said)
    back = [d.out_spec.index(k) for k in range(x.rank)]
    return transpose(made, back)


def _pooled(name: str, x: Array, window: Any, strides: Any, options: Any) -> tuple[Array, Expr]:
    """Windows over at most two axes, which are brought to the end; and the size of a window."""
    if any(a or b for a, b in options.get("padding", ())):
        raise Untraceable("pooling with padding", hint="jnp.pad first")
    if any(r != 1 for key in ("base_dilation", "window_dilation") for r in options.get(key) or ()):
        raise Untraceable("pooling with dilation")
    axes = [k for k, (w, s) in enumerate(zip(window, strides, strict=True)) if (w, s) != (1, 1)]
    if len(axes) > 2:
        raise Untraceable("pooling over more than two axes")
    rest = [k for k in range(x.rank) if k not in axes]
    order = [*rest, *axes]
    turned = transpose(x, order)
    lead = product_size(turned.shape[: len(rest)]) if len(rest) != 2 else None
    front = [lead, ONE] if lead is not None else list(turned.shape[:2])
    sides = [int(window[k]) for k in axes] + [1] * (2 - len(axes))
    steps = [int(strides[k]) for k in axes] + [1] * (2 - len(axes))
    flat = reshape(turned, [*front, *turned.shape[len(rest) :], *[ONE] * (2 - len(axes))])
    said = {"size": _pair(sides), "stride": _pair(steps)}
    lengths = [_length(n, num(w), s, 0, 1) for n, w, s in zip(flat.shape[2:], sides, steps, strict=True)]
    made = operator(name, (*flat.shape[:2], *lengths), flat, **said)
    shape = [*turned.shape[: len(rest)], *lengths[: len(axes)]]
    back = [order.index(k) for k in range(x.rank)]
    return transpose(reshape(made, shape), back), num(sides[0] * sides[1])


def largest(x: Array, *, window_dimensions: Any, window_strides: Any, **options: Any) -> Array:
    return _pooled("max_pool2d", x, window_dimensions, window_strides, options)[0]


def summed(x: Array, *, window_dimensions: Any, window_strides: Any, **options: Any) -> Array:
    mean, count = _pooled("avg_pool2d", x, window_dimensions, window_strides, options)
    return elementwise("*", mean, number(count))
