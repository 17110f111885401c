"""The same entries at other places: reshape, transpose, reversal, rotation, padding, triangles."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.capture.arrays import (
    Array,
    Shape,
    as_value,
    chosen,
    compared,
    known,
    moved,
    rearranged,
    sources,
)
from pullback.capture.operations import axes_of, same_shape
from pullback.errors import ShapeProblem
from pullback.expression import ONE, ZERO, Expr, add, call, mul, neg, num
from pullback.reading.arrangement import reshaped
from pullback.reading.value import At
from pullback.sizes import exact_quotient, normal_size, product_size, same_size, shape_text
from pullback.tracing.numbers import Untraceable


def reshape(x: Array, shape: Sequence[Expr | None]) -> Array:
    """Row-major; None stands for the one size that is open."""
    wanted = _closed(x.shape, shape)
    if same_shape(x.shape, wanted):
        return x
    if x.is_known or x.op == "moved":
        value = reshaped(as_value(x), wanted)
        if x.is_known:
            return known(wanted, x.kind, value.element, x.args or sources(x))
        return moved(wanted, value.element, x.args)
    reduced = _keeping(x, wanted)
    if reduced is not None:
        return reduced
    if x.op == "reshape":
        return reshape(x.args[0], wanted)
    if not same_size(product_size(x.shape), product_size(wanted)):
        raise ShapeProblem(f"reshape: {shape_text(x.shape)} has not as many entries as {shape_text(wanted)}")
    return Array(wanted, x.kind, "reshape", (x,))


def _closed(old: Shape, new: Sequence[Expr | None]) -> Shape:
    if None not in new:
        return tuple(size for size in new if size is not None)
    rest = exact_quotient(product_size(old), product_size(size for size in new if size is not None))
    if rest is None:
        given = shape_text(size or num(-1) for size in new)
        raise ShapeProblem(f"reshape: the size of -1 in {given} does not come out of {shape_text(old)}")
    return tuple(rest if size is None else size for size in new)


def _keeping(x: Array, wanted: Shape) -> Array | None:
    """`sum(x, axis=1)[:, None]` is `sum(x, axis=1, keepdims=True)`."""
    if x.op not in ("sum", "mean", "max", "min", "norm", "logsumexp") or x.options["keepdims"] or x.hint:
        return None
    inner, axes = x.args[0], x.options["axes"]
    kept = tuple(ONE if k in axes else size for k, size in enumerate(inner.shape))
    if not same_shape(kept, wanted):
        return None
    return Array(wanted, x.kind, x.op, x.args, {"axes": axes, "keepdims": True}, place=x.place)


def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    order = tuple(reversed(range(x.rank))) if axes is None else tuple(int(a) % max(x.rank, 1) for a in axes)
    if sorted(order) != list(range(x.rank)):
        raise Untraceable(f"transpose: the axes {list(order)} of an array with {x.rank} axes")
    if order == tuple(range(x.rank)):
        return x
    shape = tuple(x.shape[k] for k in order)
    if x.op == "transpose":
        inner = x.options["order"]
        return transpose(x.args[0], [inner[k] for k in order])
    if x.is_known or x.op == "moved":

        def source(at: At) -> At:
            found = dict(zip(order, at, strict=True))
            return tuple(found[k] for k in range(x.rank))

        return rearranged(x, shape, source)
    return Array(shape, x.kind, "transpose", (x,), {"order": order})


def swapped(x: Array, a: int, b: int) -> Array:
    order = list(range(x.rank))
    order[a], order[b] = order[b], order[a]
    return transpose(x, order)


def new_axes(x: Array, axes: Sequence[int]) -> Array:
    """Axes of size 1, at positions of the result."""
    rank = x.rank + len(axes)
    places = {a % rank for a in axes}
    rest = iter(x.shape)
    return reshape(x, [ONE if k in places else next(rest) for k in range(rank)])


def squeeze(x: Array, axis: object = None) -> Array:
    named = axes_of(x, axis)
    if axis is not None and any(x.shape[k] is not ONE for k in named):
        raise Untraceable("squeeze: an axis whose size is not 1")
    return reshape(x, [s for k, s in enumerate(x.shape) if not (k in named and s is ONE)])


def flip(x: Array, axes: object = None) -> Array:
    named = axes_of(x, axes)
    if x.is_known or x.op == "moved":

        def source(at: At) -> At:
            return tuple(add(x.shape[k], num(-1), neg(i)) if k in named else i for k, i in enumerate(at))

        return rearranged(x, x.shape, source)
    return Array(x.shape, x.kind, "flip", (x,), {"axes": named})


def roll(x: Array, shift: Expr, axis: int) -> Array:
    k = axes_of(x, axis)[0]

    def source(at: At) -> At:
        return (*at[:k], call("mod", add(at[k], neg(shift)), x.shape[k]), *at[k + 1 :])

    return rearranged(x, x.shape, source)


def pad(
    x: Array, widths: Sequence[tuple[Expr, Expr]], fill: Expr = ZERO, inside: Sequence[int] = ()
) -> Array:
    """Constants around an array, and `inside` many between its entries."""
    gaps = [1 + g for g in (inside or [0] * x.rank)]
    lengths = [
        normal_size(add(mul(num(g), add(n, num(-1))), ONE)) for n, g in zip(x.shape, gaps, strict=True)
    ]
    shape = tuple(normal_size(add(a, n, b)) for n, (a, b) in zip(lengths, widths, strict=True))

    def entry(at: At) -> Expr:
        guards, places = [], []
        for i, (low, high), n, g in zip(at, widths, lengths, gaps, strict=True):
            place = add(i, neg(low))
            if low is not ZERO:
                guards.append(compared("<=", low, i))
            if high is not ZERO:
                guards.append(compared("<", i, normal_size(add(low, n))))
            if g > 1:
                guards.append(compared("==", call("mod", place, num(g)), ZERO))
                place = call("floordiv", place, num(g))
            places.append(place)
        inner, guard = x.at(tuple(places)), mul(*guards)
        return mul(guard, inner) if fill is ZERO else chosen(guard, inner, fill)

    if x.is_known:
        return known(shape, x.kind, entry, sources(x))
    return moved(shape, entry, sources(x))


def triangle(x: Array, k: Expr, relation: str) -> Array:
    """tril keeps j <= i + k, triu keeps j >= i + k."""
    if x.is_known:
        return known(
            x.shape,
            x.kind,
            lambda at: chosen(compared(relation, at[-1], add(at[-2], k)), x.at(at), ZERO),
            sources(x),
        )
    return Array(x.shape, x.kind, "tril" if relation == "<=" else "triu", (x,), {"k": k})
