"""What is recorded of code: arrays that know their shape in symbols, and how they were computed.

An `Array` is a node of a graph. Two kinds need no operation: those that are *known* entry by entry (positions, masks,
one-hot rows: functions of the indices, the sizes and integer inputs), and those that are *moved*, whose entries are
entries of other arrays (gathers, padding, rows put together). Both carry `entry`, and get a line in index notation
only where somebody asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Any, Final, Literal

from pullback.expression import (
    MINUS_ONE,
    NEGATED,
    ONE,
    ZERO,
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Size,
    Tensor,
    add,
    bracket,
    call,
    mul,
    neg,
    num,
    over,
    power,
)
from pullback.functions import FUNCTIONS, HALF, sqrt
from pullback.reading.value import At, Value, broadcast_at, broadcast_shapes
from pullback.sizes import normal_size, polynomial, same_size
from pullback.tracing.constants import recognised
from pullback.tracing.numbers import Untraceable

Kind = Literal["real", "integer", "truth"]
Shape = tuple[Expr, ...]
INFINITE: Final = num(10**20)  # where code writes inf: in a mask, far beyond every value
NOT_A_NUMBER: Final = Const("nan")  # marks a branch that is never taken; it never reaches a program

_serial: Final = count(1)


@dataclass(eq=False, slots=True)
class Array:
    """One array of the code. `place` is (file, line); `hint` the name of the variable that holds it."""

    shape: Shape
    kind: Kind
    op: str
    args: tuple[Array, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    entry: Callable[[At], Expr] | None = None
    hint: str = ""
    place: tuple[str, int] | None = None
    serial: int = field(default_factory=lambda: next(_serial))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def tensor(self) -> Tensor:
        """Stands for this array in the entries of others, until it has its name."""
        whole = self.op == "input" and self.kind != "real"
        return Tensor(f"_{self.serial}", self.shape, ONE if whole else None)

    @property
    def is_known(self) -> bool:
        return self.op == "known" or (self.op == "input" and self.kind != "real")

    def at(self, at: At) -> Expr:
        """One entry."""
        return Access(self.tensor, at) if self.entry is None else self.entry(at)

    def constant(self) -> Expr | None:
        """The one value of all entries of a known array, if it is the same everywhere."""
        if not self.is_known:
            return None
        e = self.at(generic(self.shape))
        return None if _reads(e) else e


def generic(shape: Shape) -> tuple[Index, ...]:
    """Indices that stand for any entry."""
    return tuple(Index(f"at{k}", size) for k, size in enumerate(shape))


def _reads(e: Expr) -> bool:
    """Whether an expression depends on an index or reads an array."""
    match e:
        case Index() | Access():
            return True
        case Add(parts) | Mul(parts) | Call(_, parts):
            return any(_reads(part) for part in parts)
        case Pow(a, b) | Bracket(_, a, b):
            return _reads(a) or _reads(b)
    return False


def known(shape: Shape, kind: Kind, entry: Callable[[At], Expr], args: Sequence[Array] = ()) -> Array:
    return Array(shape, kind, "known", tuple(dict.fromkeys(args)), entry=entry)


def moved(shape: Shape, entry: Callable[[At], Expr], args: Sequence[Array]) -> Array:
    """Entries of other arrays at other places; an array that comes out unmoved is that array."""
    at = generic(shape)
    e = entry(at)
    for array in args:
        if e is Access(array.tensor, at) and all(map(same_size, array.shape, shape)):
            return array
    return Array(shape, "real", "moved", tuple(dict.fromkeys(args)), entry=entry)


def rearranged(x: Array, shape: Shape, source: Callable[[At], At]) -> Array:
    """The entries of one array at other places, in the form that it has."""
    if x.is_known:
        return known(shape, x.kind, lambda at: x.at(source(at)), sources(x))
    return moved(shape, lambda at: x.at(source(at)), sources(x))


def sources(x: Array) -> tuple[Array, ...]:
    """The arrays that the entries of `x` read."""
    return (x,) if x.op not in ("known", "moved") else x.args


def as_value(x: Array) -> Value:
    """The array as the reader sees one, for operations on indices that the reader has already."""
    return Value(x.shape, x.at)


# ---- numbers --------------------------------------------------------------------------------


def exact(x: Any) -> Expr:
    """The number that the author of a literal had in mind."""
    if isinstance(x, bool | int):
        return num(int(x))
    value = float(x)
    if math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return INFINITE if value > 0 else neg(INFINITE)
    found = recognised(value, "" if isinstance(x, float) else str(x))
    e: Expr = num(found.fraction)
    if found.pi:
        e = mul(e, power(Const("pi"), num(found.pi)))
    if found.root:
        e = sqrt(e)
    return neg(e) if found.negative else e


def number(e: Expr, kind: Kind = "real") -> Array:
    """A constant without axes."""
    return known((), kind, lambda at: e)


def filled(shape: Shape, e: Expr, kind: Kind = "real") -> Array:
    return known(shape, kind, lambda at: e)


def is_number(x: Array, e: Expr) -> bool:
    return x.constant() is e


# ---- entries of entries ---------------------------------------------------------------------


def _never_negative(e: Expr) -> bool:
    match e:
        case Num(value):
            return value >= 0
        case Index() | Size() | Bracket():
            return True
        case Access(tensor, _):
            return tensor.is_integer
        case Add(parts) | Mul(parts):
            return all(_never_negative(part) for part in parts)
        case Call("floordiv" | "mod", (a, b)):
            return _never_negative(a) and _never_negative(b)
        case Pow(base, _):
            return _never_negative(base)
    return False


def compared(relation: str, a: Expr, b: Expr) -> Expr:
    """A bracket, decided where sizes and indices decide it: none of them is negative, and sizes are at least 1."""
    if b is ZERO and relation in ("<", ">=") and _never_negative(a):
        return ZERO if relation == "<" else ONE
    if isinstance(a, Index) and b is a.extent and relation in ("<", ">="):
        return ONE if relation == "<" else ZERO
    if not _reads(a) and not _reads(b):
        decided = _sizes_compared(relation, a, b)
        if decided is not None:
            return ONE if decided else ZERO
    return bracket(relation, a, b)


def _sizes_compared(relation: str, a: Expr, b: Expr) -> bool | None:
    gap = polynomial(add(a, neg(b)))
    if not all(isinstance(atom, Size) for monomial in gap for atom in monomial):
        return None
    if not gap:
        return relation in ("==", "<=", ">=")
    # A size is at least 1, so a polynomial is at least the sum of its coefficients where all but the constant are > 0.
    rest = {m: c for m, c in gap.items() if m}
    if not rest:
        return None
    least, most = all(c > 0 for c in rest.values()), all(c < 0 for c in rest.values())
    at_one = sum(gap.values())
    if least and at_one >= 0:
        return {">=": True, "<": False, ">": True if at_one else None}.get(relation)
    if most and at_one <= 0:
        return {"<=": True, ">": False, "<": True if at_one else None}.get(relation)
    return None


def _negated(c: Expr) -> Expr:
    if isinstance(c, Bracket):
        return bracket(NEGATED[c.relation], c.left, c.right)
    return add(ONE, neg(c))


def chosen(c: Expr, a: Expr, b: Expr) -> Expr:
    """`where`, folded where the condition is decided or a branch is not a number."""
    if c is ONE or b is NOT_A_NUMBER or a is b:
        return a
    if c is ZERO or a is NOT_A_NUMBER:
        return b
    first = ZERO if a is ZERO else (c if a is ONE else mul(c, a))
    if b is ZERO:
        return first
    return add(first, mul(_negated(c), b))


def _whole(function: str, a: Expr, b: Expr) -> Expr:
    if isinstance(a, Num) and isinstance(b, Num) and b.value:
        return num(a.value // b.value if function == "floordiv" else a.value % b.value)
    if not _reads(a) and not _reads(b):
        return normal_size(call(function, a, b))
    if b is ONE:
        return a if function == "floordiv" else ZERO
    return call(function, a, b)


def _ordered(function: str, a: Expr, b: Expr) -> Expr:
    if isinstance(a, Num) and isinstance(b, Num):
        return num(max(a.value, b.value) if function == "maximum" else min(a.value, b.value))
    return call(function, a, b)


def root(x: Expr, exponent: Expr) -> Expr:
    """A power, with roots of squares of whole numbers drawn."""
    if exponent is HALF and isinstance(x, Num) and x.value >= 0:
        n, d = math.isqrt(x.value.numerator), math.isqrt(x.value.denominator)
        if n * n == x.value.numerator and d * d == x.value.denominator:
            return num(Fraction(n, d))
    return power(x, exponent)


BUILD: Final[dict[str, Callable[..., Expr]]] = {
    **{name: (lambda *x, _name=name: call(_name, *x)) for name in FUNCTIONS},
    **{r: (lambda a, b, _r=r: compared(_r, a, b)) for r in ("==", "!=", "<", "<=", ">", ">=")},
    "+": add,
    "-": lambda a, b: add(a, neg(b)),
    "*": mul,
    "/": over,
    "**": root,
    "neg": neg,
    "sqrt": lambda x: root(x, HALF),
    "//": lambda a, b: _whole("floordiv", a, b),
    "%": lambda a, b: _whole("mod", a, b),
    "where": chosen,
    "maximum": lambda a, b: _ordered("maximum", a, b),
    "minimum": lambda a, b: _ordered("minimum", a, b),
    "and": mul,
    "or": lambda a, b: add(a, mul(_negated(a), b)),
    "not": _negated,
}


def folded(op: str, kind: Kind, parts: Sequence[Array]) -> Array:
    """An elementwise operation on known arrays: again known."""
    shape: Shape = ()
    for part in parts:
        shape = broadcast_shapes(shape, part.shape, op)
    build = BUILD[op]

    def entry(at: At) -> Expr:
        return build(*(p.at(broadcast_at(p.shape, shape, at)) for p in parts))

    if _divides_by_zero(op, parts):
        raise Untraceable("the code divides by zero")
    return known(shape, kind, entry, [s for part in parts for s in sources(part)])


def _divides_by_zero(op: str, parts: Sequence[Array]) -> bool:
    return (op in ("/", "//", "%") and parts[1].constant() is ZERO) or (
        op == "**" and parts[0].constant() is ZERO and parts[1].constant() is MINUS_ONE
    )  # fmt: skip
