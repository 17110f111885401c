"""Factors of an elementwise product: how they broadcast, and which belong together."""

from __future__ import annotations

from math import prod

from pullback.expression import MINUS_ONE, ONE, Expr, Index, Mul, Num, Pow, mul, num
from pullback.matrix.forms import Axis, Form, Laid, Leaf, Map, MatMul, Outer, Reduce, Scalar, Times


def restricted(form: Form, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes on which a factor must lie to broadcast against `axes`; a tensor with axes of size 1 may keep them."""
    if isinstance(form, Leaf) and None in form.axes and len(form.axes) <= len(axes):
        if all(own is None or own is axis for own, axis in zip(form.axes[::-1], axes[::-1], strict=False)):
            return form.axes
    result = [axis if axis in form.labels else None for axis in axes]
    while result and result[0] is None:
        result.pop(0)
    return tuple(result)


def own_axes(form: Form, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of an operand beside an array of all of them.

    There a leading axis of size 1 does no harm, so that a reduction keeps its axes where it would be reshaped else.
    """
    own = restricted(form, axes)
    reduction = _reduction(form)
    if reduction is None or None not in own:
        return own
    kept = tuple(None if label in reduction.over else label for label in reduction.child.labels)
    return kept if kept == tuple(axis if axis in own else None for axis in axes) else own


def _reduction(form: Form) -> Reduce | None:
    """The reduction that the form is, numbers beside it aside."""
    if isinstance(form, Times) and all(isinstance(part, Scalar) for part in form.below):
        arrays = [part for part in form.above if not isinstance(part, Scalar)]
        return _reduction(arrays[0]) if len(arrays) == 1 else None
    return form if isinstance(form, Reduce) else None


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


def outer_products(forms: list[Form], axes: tuple[Axis, ...]) -> list[Form]:
    """A column, which needs a reshape, times a row is an outer product."""
    if len(axes) != 2 or None in axes:
        return forms
    vectors = [form for form in forms if len(form.labels) == 1 and not _keeps_axes(form)]
    for column in vectors:
        rows = [form for form in vectors if form.labels == axes[1:]]
        if rows and column.labels == axes[:1] and _must_reshape(column, axes):
            row = rows[0] if len(rows) == 1 else Times(rows[0].labels, tuple(rows), ())
            others = (column, *rows)
            place = min(forms.index(form) for form in others)
            joined = Outer((*column.labels, *row.labels), column, row)
            return [joined if k == place else f for k, f in enumerate(forms) if k == place or f not in others]
    return forms


def _keeps_axes(form: Form) -> bool:
    return isinstance(form, Leaf) and None in form.axes


def _must_reshape(form: Form, axes: tuple[Axis, ...]) -> bool:
    """Whether a form has to be reshaped to broadcast against the axes."""
    if not form.labels or isinstance(form, Reduce) or (isinstance(form, Leaf) and None in form.axes):
        return False
    wanted = restricted(form, axes)
    return None in wanted and isinstance(form, Laid | Leaf | MatMul | Map | Times)


def means(above: list[Form], below: list[Form]) -> tuple[list[Form], list[Form]]:
    """A sum over an index times the inverse of its size is a mean."""
    for k, child in enumerate(above):
        for number in above:
            found = _mean(child, number.value) if isinstance(number, Scalar) else None
            if found is None:
                continue
            mean, rest = found
            others = [mean if j == k else form for j, form in enumerate(above) if form is not number]
            return ([] if rest is ONE else [Scalar((), rest)]) + others, below
    return above, below


def _mean(form: Form, value: Expr) -> tuple[Form, Expr] | None:
    """The form with a sum in it as a mean, and what is left of the number beside it."""
    match form:
        case Reduce(labels, "sum", child, over):
            rest = _cancelled(value, over)
            return None if rest is None else (Reduce(labels, "mean", child, over), rest)
        case Times(labels, above, below, negative):
            for k, part in enumerate(above):
                found = _mean(part, value)
                if found is not None:
                    new = (*above[:k], found[0], *above[k + 1 :])
                    return Times(labels, new, below, negative), found[1]
        case MatMul(labels, left, right, via):
            first = _mean(left, value)
            if first is not None:
                return MatMul(labels, first[0], right, via), first[1]
            second = _mean(right, value)
            if second is not None:
                return MatMul(labels, left, second[0], via), second[1]
    return None


def _cancelled(value: Expr, over: tuple[Index, ...]) -> Expr | None:
    """value × the sizes of the indices, where the inverse of each of them is a factor of the value."""
    factors = list(value.factors) if isinstance(value, Mul) else [value]
    count = prod(index.extent.value for index in over if isinstance(index.extent, Num))
    known = [f for f in factors if isinstance(f, Num) and count > 1 and abs(f.value) * count == 1]
    if known:
        place = factors.index(known[0])
        factors[place] = num(known[0].value * count)
    for index in over:
        if known and isinstance(index.extent, Num):
            continue
        inverse = Pow(index.extent, MINUS_ONE)
        if inverse not in factors:
            return None
        factors.remove(inverse)
    return mul(ONE, *factors)
