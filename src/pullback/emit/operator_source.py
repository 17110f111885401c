"""Tensor operators in index notation: one array over everything the operator reads, then one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pullback.errors import PullbackError
from pullback.expression import Element, Expr, Index, substitute
from pullback.notation import show

# Operators that reduce what they bind.
REDUCTIONS: Final = ("max", "min", "prod", "logsumexp", "weighted_logsumexp", "norm")
ALONG: Final = ("softmax", "log_softmax", "weighted_softmax")

Value = Callable[[Expr, tuple[Index, ...]], str]


def operator_text(e: Element, over: tuple[Index, ...], value: Value) -> str:
    """The operator as an array over `over`."""
    if e.operator in REDUCTIONS:
        renamed = [
            _named(body, binder, e.binders[0]) for body, binder in zip(e.bodies, e.binders, strict=True)
        ]
        arrays = [value(body, over + e.binders[0]) for body in renamed]
        return f"{e.operator}({', '.join(arrays)}, axis={_last(len(e.binders[0]))})"
    places = [index for index in e.at if isinstance(index, Index) and index in over]
    if e.operator not in ALONG or len(set(places)) != len(e.at):
        raise PullbackError(f"{e.operator} of {show(e.bodies[0])} has no code in index notation")
    arrays = [
        value(_named(body, binder, places), over) for body, binder in zip(e.bodies, e.binders, strict=True)
    ]
    axes = [over.index(index) - len(over) for index in places]
    axis = str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"
    return f"{e.operator}({', '.join(arrays)}, axis={axis})"


def _named(body: Expr, binder: Sequence[Index], new: Sequence[Index]) -> Expr:
    return substitute(body, dict(zip(binder, new, strict=True)))


def _last(count: int) -> str:
    """The last axes."""
    return f"({', '.join(str(k - count) for k in range(count))},)" if count > 1 else "-1"
