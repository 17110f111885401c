"""Convolution (cross-correlation) and pooling: affine reads under brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Access,
    Element,
    Expr,
    Index,
    add,
    bracket,
    call,
    mul,
    neg,
    num,
    power,
)
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.value import At, Value, contracted
from pullback.sizes import exact_quotient, normal_size, same_size, shape_text, size_text


def _length(size: Expr, window: Expr, stride: Expr, padding: Expr, dilation: Expr) -> Expr:
    """(size + 2 padding - dilation (window - 1) - 1) // stride + 1"""
    reach = mul(dilation, add(window, MINUS_ONE))
    room = normal_size(add(size, mul(num(2), padding), neg(normal_size(reach)), MINUS_ONE))
    return normal_size(add(call("floordiv", room, stride), ONE))


def _position(out: Expr, tap: Expr, stride: Expr, padding: Expr, dilation: Expr) -> Expr:
    return add(mul(stride, out), mul(dilation, tap), neg(padding))


def _guard(position: Expr, size: Expr, padding: Expr) -> Expr:
    """Zero outside the input; needed only where there is padding."""
    if padding is ZERO:
        return ONE
    return mul(bracket("<=", ZERO, position), bracket("<", position, size))


def _convolution(axes: int) -> Callable[[Arguments], Value]:
    def build(arguments: Arguments) -> Value:
        x, k = arguments.tensor("x"), arguments.tensor("kernel")
        if x.rank != axes + 2 or k.rank != axes + 2:
            raise arguments.shape_problem(f"input and kernel have {axes + 2} axes: N C … and O C …")
        steps, pads = arguments.pair("stride", 1)[:axes], arguments.pair("padding", 0)[:axes]
        gaps = arguments.pair("dilation", 1)[:axes]
        groups = arguments.size("groups", 1)
        channels = k.shape[1]
        if not same_size(x.shape[1], mul(channels, groups)):
            m, n = size_text(x.shape[1]), size_text(normal_size(mul(channels, groups)))
            raise arguments.shape_problem(f"{m} channels of the input against {n} of the kernel")
        per_group = exact_quotient(k.shape[0], groups)
        if per_group is None:
            raise arguments.shape_problem(f"{size_text(k.shape[0])} outputs in {size_text(groups)} groups")
        sizes, windows = x.shape[2:], k.shape[2:]
        lengths = map(_length, sizes, windows, steps, pads, gaps)

        def element(at: At) -> Expr:
            sample, channel, *out = at
            c = arguments.context.bind(channels)
            taps = [arguments.context.bind(window) for window in windows]
            group = mul(call("floordiv", channel, per_group), channels) if groups is not ONE else ZERO
            places = list(map(_position, out, taps, steps, pads, gaps))
            guards = map(_guard, places, sizes, pads)
            return contracted(
                (c, *taps),
                x.element((sample, add(group, c), *places)),
                k.element((channel, c, *taps)),
                *guards,
            )

        polynomial = x.polynomial and k.polynomial
        return Value((x.shape[0], k.shape[0], *lengths), element, contracts=True, polynomial=polynomial)

    return build


def _window(arguments: Arguments) -> tuple[Value, Sequence[Expr], Sequence[Expr], Sequence[Expr]]:
    x = arguments.tensor("x")
    if x.rank != 4:
        raise arguments.shape_problem(f"takes N C H W, not {shape_text(x.shape)}")
    window = arguments.pair("size", 1)
    stride = arguments.pair("stride", 1) if arguments.has("stride") else window
    return x, window, stride, arguments.pair("padding", 0)


def _named(arguments: Arguments, x: Value) -> Value:
    """The value under a name of its own, so that a window of it is one of the language."""
    probe = tuple(Index(f"_{k}", size) for k, size in enumerate(x.shape))
    element = x.element(probe)
    named = isinstance(element, Access) and element.slots == probe
    return x if named else arguments.context.introduce(x)


def _max_pool(arguments: Arguments) -> Value:
    x, window, stride, padding = _window(arguments)
    x = _named(arguments, x)
    if any(p is not ZERO for p in padding):
        raise arguments.shape_problem("has no padding here", "pad with a large negative number first")
    unit = (ONE, ONE)
    lengths = map(_length, x.shape[2:], window, stride, padding, unit)

    def element(at: At) -> Expr:
        taps = tuple(arguments.context.bind(size) for size in window)
        places = map(_position, at[2:], taps, stride, padding, unit)
        return Element("max", (), (taps,), (x.element((*at[:2], *places)),), ())

    return Value((*x.shape[:2], *lengths), element, contracts=True, operator=True, polynomial=False)


def _average_pool(arguments: Arguments) -> Value:
    x, window, stride, padding = _window(arguments)
    unit = (ONE, ONE)
    lengths = map(_length, x.shape[2:], window, stride, padding, unit)

    def element(at: At) -> Expr:
        taps = tuple(arguments.context.bind(size) for size in window)
        places = list(map(_position, at[2:], taps, stride, padding, unit))
        guards = map(_guard, places, x.shape[2:], padding)
        total = contracted(taps, x.element((*at[:2], *places)), *guards)
        return mul(total, *(power(size, MINUS_ONE) for size in window))

    return Value((*x.shape[:2], *lengths), element, contracts=True, polynomial=x.polynomial)


_CONVOLUTION: Final = ("x", "kernel", "stride=1", "padding=0", "dilation=1", "groups=1")
_POOL: Final = ("x", "size", "stride=None", "padding=0")
TABLE: Final[dict[str, Entry]] = {
    "conv1d": Entry(_CONVOLUTION, _convolution(1)),
    "conv2d": Entry(_CONVOLUTION, _convolution(2)),
    "max_pool2d": Entry(_POOL, _max_pool),
    "avg_pool2d": Entry(_POOL, _average_pool),
}
