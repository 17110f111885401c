"""The one data type: what a single element of a tensor is.

An `Expr` is scalar-valued; its free indices say which element is meant. Sizes and index arithmetic
are expressions too. Nodes are immutable and interned: equal trees are the same object, so `==` is `is`.

    Y[n,m] = Σ_d X[n,d] W[d,m]

is `Definition(Y, (n, m), Sum((d,), Mul((Access(X, (n, d)), Access(W, (d, m))))))`.

Build with the lower-case functions (`add`, `mul`, `power`, `total`, …): they fold numbers and
flatten, and they keep the order of terms and factors, because a person reads that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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

    _free: frozenset[Index] | None = field(init=False, repr=False, default=None)


@final
@dataclass(frozen=True, eq=False, slots=True)
class Num(Expr):
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


# ---- building -------------------------------------------------------------------------------


def num(value: int | Fraction | str) -> Num:
    """An exact number; a decimal literal is read as the fraction that it prints.

    >>> num("0.25").value
    Fraction(1, 4)
    """
    return Num(Fraction(value))


def add(*terms: Expr) -> Expr:
    """Σ of the terms, flat, numbers folded, in the given order."""
    flat: list[Expr] = []
    constant = Fraction(0)
    for term in terms:
        for part in term.terms if isinstance(term, Add) else (term,):
            if isinstance(part, Num):
                constant += part.value
            else:
                flat.append(part)
    if constant:
        # A number keeps the place it was written in when it comes first.
        first = bool(terms) and isinstance(terms[0], Num)
        flat.insert(0 if first else len(flat), Num(constant))
    if not flat:
        return ZERO
    return flat[0] if len(flat) == 1 else Add(tuple(flat))


def mul(*factors: Expr) -> Expr:
    """The product of the factors, flat, the number in front, in the given order."""
    flat: list[Expr] = []
    constant = Fraction(1)
    for factor in factors:
        for part in factor.factors if isinstance(factor, Mul) else (factor,):
            if isinstance(part, Num):
                constant *= part.value
            else:
                flat.append(part)
    if constant == 0:
        return ZERO
    if constant != 1 or not flat:
        flat.insert(0, Num(constant))
    return flat[0] if len(flat) == 1 else Mul(tuple(flat))


def neg(term: Expr) -> Expr:
    """The term with its sign changed; a sum is negated term by term."""
    if isinstance(term, Add):
        return add(*(mul(MINUS_ONE, part) for part in term.terms))
    return mul(MINUS_ONE, term)


def power(base: Expr, exponent: Expr) -> Expr:
    """`base ** exponent`, numbers folded where the result is rational."""
    if exponent is ONE:
        return base
    if exponent is ZERO:
        return ONE
    if base is ONE:
        return ONE
    if isinstance(exponent, Num) and exponent.value.denominator == 1:
        n = int(exponent.value)
        if isinstance(base, Num) and abs(n) <= 64 and (base.value or n > 0):
            return Num(base.value**n)
        if isinstance(base, Pow) and isinstance(base.exponent, Num):
            return power(base.base, Num(base.exponent.value * n))
        if isinstance(base, Mul):
            return mul(*(power(factor, exponent) for factor in base.factors))
    return Pow(base, exponent)


def over(numerator: Expr, denominator: Expr) -> Expr:
    """numerator / denominator."""
    return mul(numerator, power(denominator, MINUS_ONE))


def total(indices: Iterable[Index], body: Expr) -> Expr:
    """Σ over the indices; nested sums are flattened, and a sum over nothing is its body."""
    bound = tuple(indices)
    if not bound or body is ZERO:
        return body
    if isinstance(body, Sum):
        names = {index.name for index in bound}
        if not any(index.name in names for index in body.indices):
            return Sum(bound + body.indices, body.body)
    return Sum(bound, body)


def bracket(relation: str, left: Expr, right: Expr) -> Expr:
    """`[left relation right]`, decided where both sides are the same or both are numbers."""
    if isinstance(left, Num) and isinstance(right, Num):
        return ONE if compare(relation, left.value, right.value) else ZERO
    if left is right:
        return ONE if relation in ("==", "<=", ">=") else ZERO
    return Bracket(relation, left, right)


def compare(relation: str, left: Any, right: Any) -> Any:
    """The comparison named by `relation`, on numbers or arrays."""
    match relation:
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
    raise ValueError(relation)


def call(function: str, *arguments: Expr) -> Expr:
    return Call(function, arguments)


# ---- walking --------------------------------------------------------------------------------


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions, bound ones included; extents of indices are not children."""
    match e:
        case Access(_, slots):
            return slots
        case Add(terms):
            return terms
        case Mul(factors):
            return factors
        case Pow(base, exponent):
            return (base, exponent)
        case Call(_, arguments):
            return arguments
        case Bracket(_, left, right):
            return (left, right)
        case Sum(_, body):
            return (body,)
        case Element(_, at, _, bodies, _):
            return at + bodies
        case Partial(of, by):
            return (of, by)
    return ()


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same node with other children, through the smart constructors."""
    if new == children(e):
        return e
    match e:
        case Access(tensor, _):
            return Access(tensor, new)
        case Add():
            return add(*new)
        case Mul():
            return mul(*new)
        case Pow():
            return power(*new)
        case Call(function, _):
            return Call(function, new)
        case Bracket(relation, _, _):
            return bracket(relation, *new)
        case Sum(indices, _):
            return total(indices, new[0])
        case Element(operator, at, binders, _, attributes):
            k = len(at)
            return Element(operator, new[:k], binders, new[k:], attributes)
        case Partial():
            by = new[1]
            assert isinstance(by, Access)
            return Partial(new[0], by)
    return e


def walk(e: Expr) -> Iterator[Expr]:
    """Every distinct node below and including `e`, parents before children."""
    seen: set[Expr] = set()
    stack = [e]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(reversed(children(node)))


def accesses(e: Expr) -> list[Access]:
    """The distinct accesses in `e`, in the order of reading."""
    return [node for node in walk(e) if isinstance(node, Access)]


def tensors(e: Expr) -> list[Tensor]:
    """The distinct tensors read in `e`, in the order of reading."""
    return list(dict.fromkeys(access.tensor for access in accesses(e)))


_NOTHING: Final[frozenset[Index]] = frozenset()


def free(e: Expr) -> frozenset[Index]:
    """The indices that `e` is a function of."""
    if e._free is not None:
        return e._free
    result: frozenset[Index]
    match e:
        case Index():
            result = frozenset((e,))
        case Sum(indices, body):
            result = free(body).difference(indices)
        case Element(_, at, binders, bodies, _):
            result = _NOTHING.union(*(free(x) for x in at))
            for bound, body in zip(binders, bodies, strict=True):
                result |= free(body).difference(bound)
        case _:
            below = children(e)
            result = _NOTHING.union(*(free(x) for x in below)) if below else _NOTHING
    object.__setattr__(e, "_free", result)
    return result


def sizes_in(e: Expr) -> set[str]:
    """The names of the symbolic sizes in `e`, extents of its indices and shapes of its tensors included."""
    found: set[str] = set()
    for node in walk(e):
        match node:
            case Size(name):
                found.add(name)
            case Index(_, extent):
                found |= sizes_in(extent)
            case Access(tensor, _):
                for extent in tensor.shape:
                    found |= sizes_in(extent)
    return found


def fresh(index: Index, taken: set[str]) -> Index:
    """An index with the same range whose name is not taken; the new name is added to `taken`."""
    name = index.name
    if name in taken:
        stem = name.rstrip("0123456789")
        k = 2
        while f"{stem}{k}" in taken:
            k += 1
        name = f"{stem}{k}"
    taken.add(name)
    return index if name == index.name else Index(name, index.extent)


def substitute(e: Expr, mapping: Mapping[Index, Expr]) -> Expr:
    """`e` with free indices replaced. Bound indices are renamed where they would capture one."""
    mapping = {index: value for index, value in mapping.items() if index is not value}
    if not mapping:
        return e
    return _substitute(e, mapping, {})


def _substitute(e: Expr, mapping: Mapping[Index, Expr], memo: dict[Expr, Expr]) -> Expr:
    if free(e).isdisjoint(mapping):
        return e
    if isinstance(e, Index):
        return mapping[e]
    if e in memo:
        return memo[e]
    match e:
        case Sum(indices, body):
            bound, inner = _enter(indices, body, mapping)
            result = total(bound, _substitute(body, inner, {}))
        case Element(operator, at, binders, bodies, attributes):
            new_binders, new_bodies = [], []
            for indices, body in zip(binders, bodies, strict=True):
                bound, inner = _enter(indices, body, mapping)
                new_binders.append(bound)
                new_bodies.append(_substitute(body, inner, {}))
            new_at = tuple(_substitute(x, mapping, memo) for x in at)
            result = Element(operator, new_at, tuple(new_binders), tuple(new_bodies), attributes)
        case _:
            result = rebuild(e, tuple(_substitute(x, mapping, memo) for x in children(e)))
    memo[e] = result
    return result


def _enter(
    indices: tuple[Index, ...], body: Expr, mapping: Mapping[Index, Expr]
) -> tuple[tuple[Index, ...], dict[Index, Expr]]:
    """The binder's indices, renamed away from what comes in, and the mapping that holds inside."""
    inner = {i: v for i, v in mapping.items() if i not in indices and i in free(body)}
    incoming = {index.name for value in inner.values() for index in free(value)}
    taken = incoming | {index.name for index in free(body)}
    bound = []
    for index in indices:
        if index.name in incoming:
            renamed = fresh(index, taken)
            inner[index] = renamed
            bound.append(renamed)
        else:
            bound.append(index)
    return tuple(bound), inner


def replace(e: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """`e` with `change` applied to each node, children first; None leaves a node as it is."""
    memo: dict[Expr, Expr] = {}

    def go(node: Expr) -> Expr:
        if node in memo:
            return memo[node]
        new = rebuild(node, tuple(go(x) for x in children(node)))
        changed = change(new)
        memo[node] = new if changed is None else changed
        return memo[node]

    return go(e)
