"""Matrix forms: tensors whose axes carry index names, before anyone decides how the axes lie.

A form says *what* is multiplied, summed and mapped; `printing` chooses transposes, `keepdims` and
`reshape` when the order of the axes that is wanted is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from pullback.expression import Expr, Index

Axis = Index | None  # None is an axis of size 1


class NoMatrixForm(Exception):
    """The equation has no matrix form; it is shown in index form."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Form:
    """A tensor over `labels`, in the order that comes naturally."""

    labels: tuple[Index, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Leaf(Form):
    """A named tensor. `axes` says which label each of its axes carries."""

    name: str
    axes: tuple[Axis, ...]
    symmetric: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reshaped(Form):
    """A named tensor with an axis split in two: reshaped to `shape`, whose axes carry the labels."""

    name: str
    shape: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sliced(Form):
    """A named tensor with a slice of each axis (start, stop, step; None for all of it), then reshaped to `shape`."""

    name: str
    slices: tuple[tuple[Expr | None, Expr | None, Expr | None] | None, ...]
    shape: tuple[Expr, ...] | None


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Joined(Form):
    """A named tensor with two axes joined to one: its axes in `order`, then reshaped to the labels' extents."""

    name: str
    order: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Laid(Form):
    """A child that is worked out on its own axes first, and laid out for broadcasting after."""

    child: Form


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Cumulative(Form):
    """Σ_k [k <= j] child[k]: running sums along the label j; `reverse` for [k >= j]."""

    child: Form
    along: Index
    reverse: bool


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scalar(Form):
    """A number, a size or an expression of sizes."""

    value: Expr


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Map(Form):
    """A scalar function (or comparison, or power) of each element."""

    function: str
    arguments: tuple[Form, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Times(Form):
    """An elementwise product with broadcasting: factors above and below the line."""

    above: tuple[Form, ...]
    below: tuple[Form, ...]
    negative: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plus(Form):
    """A sum with broadcasting; each term with its sign."""

    terms: tuple[tuple[int, Form], ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reduce(Form):
    """`sum`, `mean`, `max`, … over the labels `over` of the child."""

    function: str
    child: Form
    over: tuple[Index, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MatMul(Form):
    """Σ over `via` of left × right, with at most two non-batch labels on each side."""

    left: Form
    right: Form
    via: Index


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Outer(Form):
    left: Form
    right: Form


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Einsum(Form):
    factors: tuple[Form, ...]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagonal(Form):
    """The diagonal of a matrix, whose own labels are `inner`."""

    child: Form
    inner: tuple[Index, Index]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DiagonalMatrix(Form):
    """A vector on the diagonal: child[i] [i = j]."""

    child: Form


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Triangle(Form):
    """`tril` or `triu` of the child, with offset k; labels are (row, column)."""

    function: str
    child: Form
    pair: tuple[Index, Index]
    offset: int


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Eye(Form):
    pass


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneHot(Form):
    """[t[n] = v]: labels are those of t, then v."""

    name: str
    size: Expr


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Take(Form):
    """One entry, or those an integer tensor names, along one axis of the child (whose labels are `inner`)."""

    child: Form
    inner: tuple[Index, ...]
    axis: Index
    which: str | int


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation(Form):
    """A tensor operator along `along` labels of its first argument (softmax: one; inv, det: a pair)."""

    function: str
    arguments: tuple[Form, ...]
    along: tuple[Index, ...]


def union(forms: Iterable[Form]) -> tuple[Index, ...]:
    """All labels of the forms: those of the form with the most labels first, the others in order before it."""
    ordered = sorted(forms, key=lambda form: -len(form.labels))
    found: dict[Index, None] = {}
    for form in ordered:
        found.update(dict.fromkeys(form.labels))
    return tuple(found)
