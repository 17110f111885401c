"""Elements of tensor operators: softmax, max, inv and their like, over the binders of an `Element`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pullback.errors import InternalProblem
from pullback.evaluator.domain import Domain
from pullback.evaluator.named import Named, Plain, collapsed, either, ranged, union
from pullback.expression import Element, Expr, Index

if TYPE_CHECKING:
    from pullback.evaluator.interpret import Interpreter

V = TypeVar("V")


def operate(interpreter: Interpreter[V], e: Element) -> Named[V]:
    """The element `e.at` of the operator's output; the output is evaluated once for all elements."""
    key = (e.operator, e.binders, e.bodies, e.attributes)
    output = interpreter.operators.get(key)
    if output is None:
        output = interpreter.operators[key] = _output(interpreter, e)
    rank = len(e.at)
    batch = output.axes[: len(output.axes) - rank]
    found = pick(interpreter, output.data, batch, e.at)
    return Named(found.axes, found.data, either([output.outside, found.outside]))


def pick(interpreter: Interpreter[V], data: V, batch: tuple[str, ...], at: Sequence[Expr]) -> Named[V]:
    """Entries `at` along the last axes of data, whose axes before them are named by `batch`."""
    names = tuple(index.name for index in at if isinstance(index, Index))
    shape = interpreter.domain.trailing(data, len(batch) + len(at))
    plain = len(set(names + batch)) == len(at) + len(batch) and shape[len(batch) :] == tuple(
        interpreter.size(index.extent) for index in at if isinstance(index, Index)
    )
    if plain:
        return Named(batch + names, data)
    where: list[Plain[np.typing.NDArray[np.int64]]] = [
        ranged(name, n) for name, n in zip(batch, shape, strict=False)
    ]
    return interpreter.gather(data, where + [interpreter.integer(index) for index in at])


def _output(interpreter: Interpreter[V], e: Element) -> Named[V]:
    """The whole output: batch axes first, then the axes of the output under names of no index."""
    domain = interpreter.domain
    bodies = [interpreter.field(body) for body in e.bodies]
    bound = [tuple(index.name for index in binder) for binder in e.binders]
    batch = union(
        tuple(name for name in body.axes if name not in own) for body, own in zip(bodies, bound, strict=True)
    )
    extents: dict[str, int] = {}
    for body in bodies:
        extents |= interpreter.extents([body])
    arguments, outside = [], []
    for body, own, binder in zip(bodies, bound, e.binders, strict=True):
        sizes = tuple(interpreter.size(index.extent) for index in binder)
        order = tuple(name for name in batch if name not in own) + own
        if len(order) != len(batch) + len(own):
            raise InternalProblem("an index is bound in one argument of an operator and free in another")
        shape = tuple(extents[name] for name in batch) + sizes
        interpreter.room(shape)
        arguments.append(_broadcast(domain, interpreter.arranged(body, order), shape))
        outside.append(collapsed(body.outside, own))
    data = _apply(domain, e.operator, arguments, len(bound[0]), len(bound[-1]))
    names = tuple(f"#{k}" for k in range(len(e.at)))
    return Named(batch + names, data, either(outside))


def _broadcast(domain: Domain[V], data: V, shape: tuple[int, ...]) -> V:
    n = len(shape)
    if domain.trailing(data, n) == shape:
        return data
    return domain.restructure(data, lambda x: np.broadcast_to(x, x.shape[: x.ndim - n] + shape))


def _apply(domain: Domain[V], operator: str, arguments: list[V], first: int, last: int) -> V:
    """The operator's output; `first` and `last` are the ranks of the first and last argument."""
    x = arguments[0]
    match operator:
        case "softmax":
            return domain.softmax(x, first)
        case "log_softmax":
            return domain.log_softmax(x, first)
        case "logsumexp":
            return domain.logsumexp(x, first)
        case "weighted_softmax":
            return domain.weighted_softmax(x, arguments[1], first)
        case "weighted_logsumexp":
            return domain.weighted_logsumexp(x, arguments[1], first)
        case "norm":
            return domain.norm(x, first)
        case "max":
            return domain.extreme(x, first, ">")
        case "min":
            return domain.extreme(x, first, "<")
        case "prod":
            return domain.prod(x, first)
        case "inv":
            return domain.inv(x)
        case "det":
            return domain.det(x)
        case "logdet":
            return domain.logdet(x)
        case "cholesky":
            return domain.cholesky(x)
        case "solve":
            return domain.solve(x, arguments[1], last == 1)
    raise InternalProblem(f"the evaluator has no meaning for the operator {operator}")
