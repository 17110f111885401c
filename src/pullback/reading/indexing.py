"""Subscripts in matrix notation: integers, slices, integer tensors and new axes."""

from __future__ import annotations

import ast
from fractions import Fraction

from pullback.errors import ShapeProblem, SyntaxProblem
from pullback.expression import MINUS_ONE, ONE, ZERO, Expr, Num, add, call, mul, neg, num
from pullback.reading.arrangement import chosen, flipped, position_in, taken
from pullback.reading.context import Context
from pullback.reading.value import Value
from pullback.sizes import normal_size, same_size, shape_text, size_text


def slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def subscript(context: Context, node: ast.Subscript) -> Value:
    """`X[:, 0]`, `X[1:N]`, `X[::-1]`, `X[t]`, `X[t, s]`, `X[..., 0]`, `x[:, None]`, one slot after the other."""
    x = context.operand(node.value)
    parts = _written_out(context, node, x)
    groups: list[tuple[int, int]] = []  # the axes that integer tensors made
    advanced: list[int] = []  # the slots that NumPy counts among them
    axis = 0
    for position, part in enumerate(parts):
        made, after, gathered = _slot(context, x, axis, part)
        if gathered:
            groups.append((axis, after - axis))
        if gathered or made.rank < x.rank:
            advanced.append(position)
        x, axis = made, after
    if not groups:
        return x
    apart = advanced[-1] - advanced[0] >= len(advanced)
    if len(groups) == 1 and not apart:
        return x
    return _together(context, node, x, groups, apart)


def _written_out(context: Context, node: ast.Subscript, x: Value) -> list[ast.expr]:
    """The slots with `...` written as the full slices that it stands for."""
    parts = slots(node)
    named = sum(not _is_none(part) and not _is_dots(part) for part in parts)
    if named > x.rank:
        what = f"{named} slots for a tensor of shape {shape_text(x.shape)}"
        raise context.at(node, ShapeProblem(what, hint="one slot an axis"))
    dots = [k for k, part in enumerate(parts) if _is_dots(part)]
    if len(dots) > 1:
        raise context.at(parts[dots[1]], SyntaxProblem("`...` stands twice in a subscript", hint="X[..., 0]"))
    if not dots:
        return parts
    place = dots[0]
    return [*parts[:place], *[ast.Slice()] * (x.rank - named), *parts[place + 1 :]]


def _together(
    context: Context, node: ast.Subscript, x: Value, groups: list[tuple[int, int]], apart: bool
) -> Value:
    """Integer tensors of one shape read together: one set of axes for all, in front where a slice parts them."""
    shapes = [x.shape[axis : axis + rank] for axis, rank in groups]
    for shape in shapes[1:]:
        if len(shape) != len(shapes[0]) or not all(map(same_size, shape, shapes[0])):
            said = f"the integer tensors have shapes {shape_text(shapes[0])} and {shape_text(shape)}"
            raise context.at(node, ShapeProblem(said, hint="X[t][:, s] reads one after the other"))
    gathered = {axis + k for axis, rank in groups for k in range(rank)}
    others = [axis for axis in range(x.rank) if axis not in gathered]
    count = groups[0][1]
    place = 0 if apart else groups[0][0]
    result = [x.shape[axis] for axis in others]
    result[place:place] = shapes[0]

    def element(at: tuple[Expr, ...]) -> Expr:
        joint, rest = at[place : place + count], (*at[:place], *at[place + count :])
        full: list[Expr] = [ONE] * x.rank
        for axis, index in zip(others, rest, strict=True):
            full[axis] = index
        for axis, _ in groups:
            full[axis : axis + count] = joint
        return x.element(tuple(full))

    return x.reshaped(result, element)


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _slot(context: Context, x: Value, axis: int, part: ast.expr) -> tuple[Value, int, bool]:
    """The value after one slot, the next axis, and whether an integer tensor stood in the slot."""
    if _is_none(part):
        shape = (*x.shape[:axis], ONE, *x.shape[axis:])
        before = x
        return x.reshaped(shape, lambda at: before.element((*at[:axis], *at[axis + 1 :]))), axis + 1, False
    if isinstance(part, ast.Slice):
        return _sliced(context, x, axis, part), axis + 1, False
    where = _integers(context, part)
    if where is not None:
        try:
            return taken(x, where, axis), axis + where.rank, True
        except ShapeProblem as error:
            raise context.at(part, error) from None
    try:
        return chosen(x, position_in(x.shape[axis], context.size(part)), axis), axis, False
    except ShapeProblem as error:
        raise context.at(part, error) from None


def _integers(context: Context, part: ast.expr) -> Value | None:
    """An integer tensor, or the `arange(N)` of NumPy's `X[arange(N), t]`."""
    match part:
        case ast.Name(id=name) if name in context.tensors:
            return context.operand(part)
        case ast.Call(func=ast.Name(id="arange"), args=[count], keywords=[]):
            size = context.size(count)
            return Value((size,), lambda at: at[0], values=size)
    return None


def _sliced(context: Context, x: Value, axis: int, part: ast.Slice) -> Value:
    size = x.shape[axis]
    step = context.size(part.step) if part.step is not None else ONE
    if step is MINUS_ONE and part.lower is None and part.upper is None:
        return flipped(x, (axis,))
    if not isinstance(step, Num) or step.value == 0:
        raise context.at(part, ShapeProblem("a step is a number other than 0", hint="X[::2] or X[::-1]"))
    backwards = step.value < 0
    last = normal_size(add(size, MINUS_ONE))
    start = _bound(context, part.lower, size, last if backwards else ZERO, backwards)
    stop = _bound(context, part.upper, size, MINUS_ONE if backwards else size, backwards)
    way, stride = add(stop, neg(start)), num(abs(step.value))
    if backwards:
        way = neg(way)
    length = normal_size(add(way, stride, MINUS_ONE))
    count = normal_size(call("floordiv", length, stride))
    if isinstance(count, Num) and count.value < 0:
        what = f"the slice ends before it begins, in an axis of size {size_text(size)}"
        raise context.at(part, ShapeProblem(what))
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])

    def element(at: tuple[Expr, ...]) -> Expr:
        return x.element((*at[:axis], add(mul(step, at[axis]), start), *at[axis + 1 :]))

    return x.reshaped(shape, element)


def _bound(context: Context, node: ast.expr | None, size: Expr, default: Expr, backwards: bool) -> Expr:
    """An end of a slice; a negative one counts from the end, and one beyond the axis is the axis' own end."""
    if node is None:
        return default
    bound = context.size(node)
    if isinstance(bound, Num) and bound.value < 0:
        bound = normal_size(add(size, bound))
    if isinstance(bound, Num) and isinstance(size, Num):
        low = -1 if backwards else 0
        return num(min(max(bound.value, Fraction(low)), size.value + low))
    return bound
