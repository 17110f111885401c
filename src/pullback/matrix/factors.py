"""Factors of an elementwise product: how they broadcast, and which belong together."""

from __future__ import annotations

from pullback.expression import MINUS_ONE, ONE, Expr, Index, Mul, Pow, mul
from pullback.matrix.forms import Axis, Form, Laid, Leaf, Map, MatMul, Reduce, Scalar, Times


def restricted(form: Form, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes on which a factor must lie to broadcast against `axes`; a tensor with axes of size 1 may keep them."""
    if isinstance(form, Leaf) and None in form.axes and len(form.axes) <= len(axes):
        if all(own is None or own is axis for own, axis in zip(form.axes[::-1], axes[::-1], strict=False)):
            return form.axes
    result = [axis if axis in form.labels else None for axis in axes]
    while result and result[0] is None:
        result.pop(0)
    return tuple(result)


def together(above: list[Form], below: list[Form], axes: tuple[Axis, ...]) -> tuple[list[Form], list[Form]]:
    """Factors that need the same reshape to broadcast are multiplied first, and laid out once."""
    groups: dict[tuple[Index, ...], tuple[list[Form], list[Form]]] = {}
    for forms, side in ((above, 0), (below, 1)):
        for form in forms:
            if _must_reshape(form, axes):
                groups.setdefault(form.labels, ([], []))[side].append(form)
    for labels, (top, bottom) in groups.items():
        if len(top) + len(bottom) < 2 or not top:
            continue
        joined = Laid(labels, Times(labels, tuple(top), tuple(bottom)))
        place = above.index(top[0])
        above = [joined if k == place else f for k, f in enumerate(above) if k == place or f not in top]
        below = [f for f in below if f not in bottom]
    return above, below


def _must_reshape(form: Form, axes: tuple[Axis, ...]) -> bool:
    """Whether a form has to be reshaped to broadcast against the axes."""
    if not form.labels or isinstance(form, Reduce) or (isinstance(form, Leaf) and None in form.axes):
        return False
    wanted = restricted(form, axes)
    return None in wanted and isinstance(form, Leaf | MatMul | Map | Times)


def means(above: list[Form], below: list[Form]) -> tuple[list[Form], list[Form]]:
    """A sum over an index times the inverse of its size is a mean."""
    for k, child in enumerate(above):
        if not (isinstance(child, Reduce) and child.function == "sum"):
            continue
        for number in above:
            rest = _cancelled(number.value, child.over) if isinstance(number, Scalar) else None
            if rest is None:
                continue
            mean: Form = Reduce(child.labels, "mean", child.child, child.over)
            others = [mean if j == k else form for j, form in enumerate(above) if form is not number]
            return ([] if rest is ONE else [Scalar((), rest)]) + others, below
    return above, below


def _cancelled(value: Expr, over: tuple[Index, ...]) -> Expr | None:
    """value × the sizes of the indices, where the inverse of each of them is a factor of the value."""
    factors = list(value.factors) if isinstance(value, Mul) else [value]
    for index in over:
        inverse = Pow(index.extent, MINUS_ONE)
        if inverse not in factors:
            return None
        factors.remove(inverse)
    return mul(ONE, *factors)
