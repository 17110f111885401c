"""Reductions over axes, and the operators that keep the shape: softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pullback.expression import MINUS_ONE, ONE, Element, Expr, Index, bracket, mul, power
from pullback.functions import TWO, sqrt
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.value import At, Value, contracted, elementwise

Reduce = Callable[[tuple[Index, ...], Expr], Expr]


def _reduced(arguments: Arguments, x: Value, axes: tuple[int, ...], reduce: Reduce) -> Value:
    """`reduce` over the axes, which go, or stay with size 1 where `keepdims` says so."""
    keep = arguments.flag("keepdims")
    kept = [k for k in range(x.rank) if k not in axes]
    shape = tuple(ONE if k in axes else x.shape[k] for k in range(x.rank) if keep or k in kept)

    def element(at: At) -> Expr:
        outer = dict(zip(range(x.rank) if keep else kept, at, strict=True))
        bound = {k: arguments.context.bind(x.shape[k]) for k in sorted(axes)}
        return reduce(tuple(bound.values()), x.element(tuple({**outer, **bound}[k] for k in range(x.rank))))

    return Value(shape, element, contracts=True, polynomial=x.polynomial)


def _sum(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    return _reduced(arguments, x, arguments.axes("axis", x.rank), contracted)


def _mean(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    axes = arguments.axes("axis", x.rank)
    divisors = [power(x.shape[k], MINUS_ONE) for k in sorted(axes)]

    def mean(indices: tuple[Index, ...], body: Expr) -> Expr:
        return mul(contracted(indices, body), *divisors)

    return _reduced(arguments, x, axes, mean)


def _norm(arguments: Arguments) -> Value:
    """√Σ x²; the sum gets a name, as the argument of a root."""
    x = arguments.context.plain(arguments.tensor("x"))
    squares = elementwise([x], lambda e: power(e, TWO), "norm", linear=True)
    total = _reduced(arguments, squares, arguments.axes("axis", x.rank), contracted)
    return elementwise([arguments.context.introduce(total)], sqrt, "norm", linear=False)


def _operator(name: str) -> Callable[[Arguments], Value]:
    """A reduction that is an operator of its own: max, min, prod, logsumexp."""

    def build(arguments: Arguments) -> Value:
        x = arguments.context.plain(arguments.tensor("x"))

        def reduce(indices: tuple[Index, ...], body: Expr) -> Expr:
            return Element(name, (), (indices,), (body,), ())

        value = _reduced(arguments, x, arguments.axes("axis", x.rank), reduce)
        return replace(value, operator=True, polynomial=False)

    return build


def _along(name: str) -> Callable[[Arguments], Value]:
    """softmax and log_softmax along some axes, the last where none is given, all of them for None."""

    def build(arguments: Arguments) -> Value:
        x = arguments.context.plain(arguments.tensor("x"))
        axes = arguments.axes("axis", x.rank, None if "axis" in arguments.given else -1)
        if not axes:
            raise arguments.shape_problem("takes at least one axis")

        def element(at: At) -> Expr:
            bound = {k: arguments.context.bind(x.shape[k]) for k in sorted(axes)}
            body = x.element(tuple(bound.get(k, at[k]) for k in range(x.rank)))
            return Element(name, tuple(at[k] for k in bound), (tuple(bound.values()),), (body,), ())

        return Value(x.shape, element, contracts=True, operator=True, polynomial=False)

    return build


def _cumsum(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    axis = arguments.axis("axis", x.rank, 0)

    def element(at: At) -> Expr:
        k = arguments.context.bind(x.shape[axis])
        return contracted((k,), x.element((*at[:axis], k, *at[axis + 1 :])), bracket("<=", k, at[axis]))

    return Value(x.shape, element, contracts=True, polynomial=x.polynomial)


_OVER: Final = ("x", "axis=None", "keepdims=False")
TABLE: Final[dict[str, Entry]] = {
    "sum": Entry(_OVER, _sum),
    "mean": Entry(_OVER, _mean),
    "norm": Entry(_OVER, _norm),
    **{name: Entry(_OVER, _operator(name)) for name in ("max", "min", "prod", "logsumexp")},
    **{name: Entry(("x", "axis=-1"), _along(name)) for name in ("softmax", "log_softmax")},
    "cumsum": Entry(("x", "axis=0"), _cumsum),
}
