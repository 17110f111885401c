"""The same numbers at other places: reshape, transpose, concatenate, take, flip, roll; and constants."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pullback.affine import not_negative
from pullback.errors import ShapeProblem
from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Call,
    Expr,
    Num,
    add,
    bracket,
    call,
    mul,
    neg,
)
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.value import At, Value
from pullback.sizes import exact_quotient, normal_size, product_size, same_size, shape_text, size_text


def reshaped(x: Value, shape: Sequence[Expr]) -> Value:
    """Row-major reshape; axes that stay, split or merge are matched group by group."""
    groups = _groups(x.shape, shape)

    def element(at: At) -> Expr:
        source: list[Expr] = [ZERO] * x.rank
        for old, new in groups:
            parts = _regroup([x.shape[k] for k in old], [shape[k] for k in new], [at[k] for k in new])
            for k, part in zip(old, parts, strict=True):
                source[k] = part
        return x.element(tuple(source))

    return x.reshaped(shape, element)


def _groups(old: Sequence[Expr], new: Sequence[Expr]) -> list[tuple[list[int], list[int]]]:
    """Axes of both shapes, in groups of the same number of elements; axes of size 1 stand in none."""
    a = [k for k, size in enumerate(old) if size is not ONE]
    b = [k for k, size in enumerate(new) if size is not ONE]
    groups = []
    start_a = start_b = 0
    for end_a in range(1, len(a) + 1):
        count = product_size(old[k] for k in a[start_a:end_a])
        for end_b in range(start_b + 1, len(b) + 1):
            if same_size(count, product_size(new[k] for k in b[start_b:end_b])):
                groups.append((a[start_a:end_a], b[start_b:end_b]))
                start_a, start_b = end_a, end_b
                break
    if start_a != len(a) or start_b != len(b):
        raise ShapeProblem(
            f"reshape: {shape_text(old)} does not have as many entries as {shape_text(new)}: "
            f"{size_text(product_size(old))} against {size_text(product_size(new))}"
        )
    return groups


def _regroup(old: Sequence[Expr], new: Sequence[Expr], at: Sequence[Expr]) -> list[Expr]:
    """The indices of the old axes of a group from those of the new ones."""
    if len(old) == len(new) == 1:
        return list(at)
    flat = at[0]
    for index, size in zip(at[1:], new[1:], strict=True):
        flat = add(mul(size, flat), index)
    if len(old) == 1:
        return [flat]
    parts = []
    for size in reversed(old[1:]):
        parts.append(call("mod", flat, size))
        flat = call("floordiv", flat, size)
    # Nested divisions by sizes are one division by their product.
    return [_merged(part) for part in (flat, *reversed(parts))]


def _merged(e: Expr) -> Expr:
    match e:
        case Call("floordiv", (Call("floordiv", (a, b)), c)):
            return _merged(call("floordiv", a, normal_size(mul(b, c))))
        case Call("mod", (a, b)):
            return call("mod", _merged(a), b)
    return e


def _reshape(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    nodes = arguments.sizes("shape")
    open_axes = [k for k, node in enumerate(nodes) if _is_minus_one(node)]
    shape = [ONE if k in open_axes else arguments.context.size(node) for k, node in enumerate(nodes)]
    if len(open_axes) > 1:
        raise arguments.shape_problem("at most one size may be -1")
    if open_axes:
        rest = exact_quotient(product_size(x.shape), product_size(shape))
        if rest is None:
            raise arguments.shape_problem("the size that -1 stands for is not determined", "write it out")
        shape[open_axes[0]] = rest
    if x.contracts and any(len(old) != len(new) for old, new in _groups(x.shape, shape)):
        # A product keeps the axes that it was computed on, so that its gradient is one product too.
        x = arguments.context.introduce(x)
    return reshaped(x, shape)


def _is_minus_one(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            return True
    return False


def _transpose(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    axes = arguments.axes("axes", x.rank) if arguments.has("axes") else tuple(reversed(range(x.rank)))
    if len(axes) != x.rank:
        raise arguments.shape_problem(f"{len(axes)} axes named for a tensor with {x.rank}")

    def element(at: At) -> Expr:
        source = dict(zip(axes, at, strict=True))
        return x.element(tuple(source[k] for k in range(x.rank)))

    return x.reshaped((x.shape[k] for k in axes), element)


def _concatenate(arguments: Arguments) -> Value:
    parts = [arguments.context.operand(node) for node in arguments.sizes("xs")]
    parts = [part if part.polynomial else arguments.context.introduce(part) for part in parts]
    if not parts:
        raise arguments.shape_problem("takes at least one tensor")
    rank = parts[0].rank
    axis = arguments.axis("axis", rank, 0)
    starts: list[Expr] = [ZERO]
    for part in parts:
        if part.rank != rank or not _meet_off(axis, part.shape, parts[0].shape):
            shapes = f"{shape_text(parts[0].shape)} and {shape_text(part.shape)}"
            raise arguments.shape_problem(f"{shapes} do not meet off axis {axis}")
        starts.append(normal_size(add(starts[-1], part.shape[axis])))
    shape = (*parts[0].shape[:axis], starts[-1], *parts[0].shape[axis + 1 :])

    def element(at: At) -> Expr:
        i = at[axis]
        terms = []
        for k, part in enumerate(parts):
            lower = bracket("<=", starts[k], i) if k else ONE
            upper = bracket("<", i, starts[k + 1]) if k < len(parts) - 1 else ONE
            here = add(i, neg(starts[k])) if k else i
            terms.append(mul(lower, upper, part.element((*at[:axis], here, *at[axis + 1 :]))))
        return add(*terms)

    contracts = any(part.contracts for part in parts)
    return Value(shape, element, contracts)


def _meet_off(axis: int, a: Sequence[Expr], b: Sequence[Expr]) -> bool:
    pairs = enumerate(zip(a, b, strict=True))
    return all(k == axis or same_size(m, n) for k, (m, n) in pairs)


def taken(x: Value, where: Value, axis: int) -> Value:
    """Entries of one axis, named by an integer tensor."""
    size = x.shape[axis]
    if where.values is None or not same_size(where.values, size):
        found = "is not an integer tensor"
        if where.values is not None:
            found = f"ranges over {size_text(where.values)}"
        raise ShapeProblem(
            f"an index into axis {axis}, whose size is {size_text(size)}, {found}",
            hint=f"t: [B] in {size_text(size)} declares one",
        )
    shape = (*x.shape[:axis], *where.shape, *x.shape[axis + 1 :])

    def element(at: At) -> Expr:
        inner = at[axis : axis + where.rank]
        return x.element((*at[:axis], where.element(inner), *at[axis + where.rank :]))

    return x.reshaped(shape, element)


def chosen(x: Value, position: Expr, axis: int) -> Value:
    """One entry of an axis, which goes."""
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return x.reshaped(shape, lambda at: x.element((*at[:axis], position, *at[axis:])))


def position_in(size: Expr, position: Expr) -> Expr:
    """A literal position in an axis; a negative one counts from the end."""
    if isinstance(position, Num) and position.value < 0:
        position = normal_size(add(size, position))
    if isinstance(position, Num) and isinstance(size, Num) and not 0 <= position.value < size.value:
        raise ShapeProblem(f"entry {size_text(position)} of an axis of size {size_text(size)}")
    return position


def _take(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    axis = arguments.axis("axis", x.rank, 0)
    node = arguments.given["index"]
    if isinstance(node, (ast.Constant, ast.UnaryOp)):
        return chosen(x, position_in(x.shape[axis], arguments.context.size(node)), axis)
    where = arguments.tensor("index")
    if where.values is None and where.rank == 0:
        return chosen(x, position_in(x.shape[axis], arguments.context.size(node)), axis)
    return taken(x, where, axis)


def flipped(x: Value, axes: Sequence[int]) -> Value:
    def element(at: At) -> Expr:
        new = (add(x.shape[k], MINUS_ONE, neg(i)) if k in axes else i for k, i in enumerate(at))
        return x.element(tuple(new))

    return x.reshaped(x.shape, element)


def _flip(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    return flipped(x, arguments.axes("axis", x.rank))


def _roll(arguments: Arguments) -> Value:
    """Along one axis, along several, or through the entries in their order where no axis is given."""
    x = arguments.tensor("x")
    if not arguments.has("axis"):
        flat = reshaped(x, [product_size(x.shape)])
        return reshaped(_rolled(flat, {0: arguments.size("shift")}), x.shape)
    axes = arguments.axes("axis", x.rank)
    shifts = [arguments.context.size(node) for node in arguments.sizes("shift")]
    if len(shifts) not in (1, len(axes)):
        raise arguments.shape_problem(f"{len(shifts)} shifts for {len(axes)} axes", "one shift an axis")
    return _rolled(x, dict(zip(axes, shifts if len(shifts) > 1 else shifts * len(axes), strict=True)))


def _rolled(x: Value, shifts: Mapping[int, Expr]) -> Value:
    def element(at: At) -> Expr:
        places = list(at)
        for axis, shift in shifts.items():
            places[axis] = call("mod", add(at[axis], neg(shift)), x.shape[axis])
        return x.element(tuple(places))

    return x.reshaped(x.shape, element)


def _filled(value: Expr) -> Callable[[Arguments], Value]:
    def build(arguments: Arguments) -> Value:
        shape = tuple(arguments.context.size(node) for node in arguments.sizes("shape"))
        for size in shape:
            if size is not ZERO and not_negative(neg(size)):
                raise arguments.shape_problem(f"a size is not negative: {size_text(size)}")
        return Value(shape, lambda at: value)

    return build


def _onehot(arguments: Arguments) -> Value:
    t, n = arguments.tensor("t"), arguments.size("n")
    if t.values is None:
        raise arguments.shape_problem("takes an integer tensor", f"t: [N] in {size_text(n)} declares one")
    if not same_size(t.values, n):
        raise arguments.shape_problem(f"{size_text(n)} columns for values below {size_text(t.values)}")
    return Value((*t.shape, n), lambda at: bracket("==", t.element(at[:-1]), at[-1]))


TABLE: Final[dict[str, Entry]] = {
    "reshape": Entry(("x", "shape"), _reshape),
    "transpose": Entry(("x", "axes=None"), _transpose),
    "concatenate": Entry(("xs", "axis=0"), _concatenate),
    "take": Entry(("x", "index", "axis=0"), _take),
    "flip": Entry(("x", "axis=None"), _flip),
    "roll": Entry(("x", "shift", "axis=None"), _roll),
    "ones": Entry(("shape",), _filled(ONE)),
    "zeros": Entry(("shape",), _filled(ZERO)),
    "onehot": Entry(("t", "n"), _onehot),
}
