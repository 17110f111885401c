"""The one data type: what a single element of a tensor is.

An `Expr` is scalar-valued; its free indices say which element is meant. Sizes and index arithmetic
are expressions too. Nodes are immutable and interned: equal trees are the same object, so `==` is `is`.

    Y[n,m] = Σ_d X[n,d] W[d,m]

is `Definition(Y, (n, m), Sum((d,), Mul((Access(X, (n, d)), Access(W, (d, m))))))`.

Build with the lower-case functions of `building` (`add`, `mul`, `power`, `total`, …).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, final
from weakref import WeakValueDictionary

_table: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


class _Interning(type):
    """Calling a node class returns the one object that has these fields."""

    if not TYPE_CHECKING:

        def __call__(cls, *args):
            key = (cls, *args)
            found = _table.get(key)
            if found is None:
                found = _table[key] = super().__call__(*args)
            return found


class _Numbering(_Interning):
    """The same for numbers, told apart by two integers: a fraction is slow to hash and to compare."""

    if not TYPE_CHECKING:

        def __call__(cls, value):
            key = (cls, value.numerator, value.denominator)
            found = _table.get(key)
            if found is None:
                found = _table[key] = type.__call__(cls, value)
            return found


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Node(metaclass=_Interning):
    """What `Tensor` and every expression share: identity is equality."""


@final
@dataclass(frozen=True, eq=False, slots=True)
class Tensor(Node):
    """A named tensor: its shape, and for an integer tensor the size of the range of its values."""

    name: str
    shape: tuple[Expr, ...]
    values: Expr | None = None
    facts: frozenset[str] = frozenset()

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_integer(self) -> bool:
        return self.values is not None

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False, slots=True)
class Expr(Node):
    """One number, as a function of the free indices."""

    # What is asked of a node often is kept with it: its free indices, its tensors, its text without regard to order
    # and also without regard to names, and what it is once it is tidied.
    _free: frozenset[Index] | None = field(init=False, repr=False, default=None)
    _tensors: tuple[Tensor, ...] | None = field(init=False, repr=False, default=None)
    _key: str | None = field(init=False, repr=False, default=None)
    _canonical: str | None = field(init=False, repr=False, default=None)
    _tidied: Expr | None = field(init=False, repr=False, default=None)


@final
@dataclass(frozen=True, eq=False, slots=True)
class Num(Expr, metaclass=_Numbering):
    """An exact rational number."""

    value: Fraction


@final
@dataclass(frozen=True, eq=False, slots=True)
class Const(Expr):
    """A named irrational constant: `pi`."""

    name: str


@final
@dataclass(frozen=True, eq=False, slots=True)
class Size(Expr):
    """A symbolic size, a positive integer; it may be used as a value too (`/ N`)."""

    name: str


@final
@dataclass(frozen=True, eq=False, slots=True)
class Index(Expr):
    """An index that runs over 0 .. extent-1. Within one expression a name stands for one index."""

    name: str
    extent: Expr


@final
@dataclass(frozen=True, eq=False, slots=True)
class Access(Expr):
    """`T[e, …]`: one element. The slots hold index expressions; an integer tensor may stand in one."""

    tensor: Tensor
    slots: tuple[Expr, ...]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Add(Expr):
    """A sum of two or more terms."""

    terms: tuple[Expr, ...]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Mul(Expr):
    """A product of two or more factors. A quotient is a factor with exponent -1."""

    factors: tuple[Expr, ...]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Pow(Expr):
    base: Expr
    exponent: Expr


@final
@dataclass(frozen=True, eq=False, slots=True)
class Call(Expr):
    """A scalar function from the table `functions`, applied to each element."""

    function: str
    arguments: tuple[Expr, ...]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Bracket(Expr):
    """Iverson's bracket `[left relation right]`: 1 where it holds, else 0."""

    relation: str
    left: Expr
    right: Expr


@final
@dataclass(frozen=True, eq=False, slots=True)
class Sum(Expr):
    """Σ over bound indices."""

    indices: tuple[Index, ...]
    body: Expr


@final
@dataclass(frozen=True, eq=False, slots=True)
class Element(Expr):
    """Element `at` of a tensor operator (`softmax`, `inv`, `max`, …) of functions of indices.

    `binders[a]` are the indices that argument `a` is a function of, `bodies[a]` its element there.
    Free indices of the bodies are batch indices. `attributes` are (name, value) pairs.
    """

    operator: str
    at: tuple[Expr, ...]
    binders: tuple[tuple[Index, ...], ...]
    bodies: tuple[Expr, ...]
    attributes: tuple[tuple[str, int | str], ...]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Partial(Expr):
    """∂ of / ∂ by: a derivative that has not been worked out yet."""

    of: Expr
    by: Access


@dataclass(frozen=True, slots=True)
class Definition:
    """`tensor[indices] = body` for every value of the indices."""

    tensor: Tensor
    indices: tuple[Index, ...]
    body: Expr
    source: str = ""  # the line as its author wrote it; empty for one that the reader introduced
    place: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Equation:
    """`left = right` for every value of the free indices: one line of a derivation."""

    left: Expr
    right: Expr


ZERO: Final = Num(Fraction(0))
ONE: Final = Num(Fraction(1))
MINUS_ONE: Final = Num(Fraction(-1))
RELATIONS: Final = ("==", "!=", "<", "<=", ">", ">=")
NEGATED: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
