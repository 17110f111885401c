"""Subscripts in matrix notation: integers, slices, integer tensors and new axes."""

from __future__ import annotations

import ast

from pullback.errors import ShapeProblem, SyntaxProblem
from pullback.expression import MINUS_ONE, ONE, Expr, Num, add, call, mul, neg
from pullback.reading.arrangement import chosen, flipped, position_in, taken
from pullback.reading.context import Context
from pullback.reading.value import Value
from pullback.sizes import normal_size, shape_text, size_text


def slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def subscript(context: Context, node: ast.Subscript) -> Value:
    """`X[:, 0]`, `X[1:N]`, `X[::-1]`, `X[t]`, `x[:, None]`, one slot after the other."""
    x = context.operand(node.value)
    parts = slots(node)
    named = sum(not _is_none(part) for part in parts)
    if named > x.rank:
        what = f"{named} slots for a tensor of shape {shape_text(x.shape)}"
        raise context.at(node, ShapeProblem(what, hint="one slot an axis"))
    gathers = 0
    axis = 0
    for part in parts:
        x, axis, gathered = _slot(context, x, axis, part)
        gathers += gathered
    if gathers > 1:
        what = "more than one integer tensor in a subscript"
        raise context.at(node, SyntaxProblem(what, hint="index notation says which: Y[b] = X[b, t[b]]"))
    return x


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
    if isinstance(part, ast.Name) and part.id in context.tensors:
        where = context.operand(part)
        try:
            return taken(x, where, axis), axis + where.rank, True
        except ShapeProblem as error:
            raise context.at(part, error) from None
    try:
        return chosen(x, position_in(x.shape[axis], context.size(part)), axis), axis, False
    except ShapeProblem as error:
        raise context.at(part, error) from None


def _sliced(context: Context, x: Value, axis: int, part: ast.Slice) -> Value:
    size = x.shape[axis]
    step = context.size(part.step) if part.step is not None else ONE
    if step is MINUS_ONE and part.lower is None and part.upper is None:
        return flipped(x, (axis,))
    if not isinstance(step, Num) or step.value <= 0:
        raise context.at(part, ShapeProblem("a step is a positive number, or ::-1", hint="flip(x, axis=0)"))
    start = _bound(context, part.lower, size, normal_size(add(ONE, MINUS_ONE)))
    stop = _bound(context, part.upper, size, size)
    length = add(stop, neg(start), step, MINUS_ONE)
    count = normal_size(call("floordiv", normal_size(length), step))
    if isinstance(count, Num) and count.value < 0:
        what = f"the slice ends before it begins, in an axis of size {size_text(size)}"
        raise context.at(part, ShapeProblem(what))
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])

    def element(at: tuple[Expr, ...]) -> Expr:
        return x.element((*at[:axis], add(mul(step, at[axis]), start), *at[axis + 1 :]))

    return x.reshaped(shape, element)


def _bound(context: Context, node: ast.expr | None, size: Expr, default: Expr) -> Expr:
    """An end of a slice; a negative one counts from the end, and a number beyond the axis is its end."""
    if node is None:
        return default
    bound = context.size(node)
    if isinstance(bound, Num) and bound.value < 0:
        bound = normal_size(add(size, bound))
    if isinstance(bound, Num) and isinstance(size, Num) and bound.value > size.value:
        return size
    return bound
