"""The interpreter: what an expression means, over any domain.

The value of a subexpression is an array whose axes are its free indices. Indices, sizes and their
arithmetic are exact 64-bit integers whatever the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np

from pullback.errors import DomainProblem, IndexProblem, InternalProblem, NameProblem
from pullback.evaluator.arithmetic import LARGEST_POWER, Arithmetic
from pullback.evaluator.contraction import contracted
from pullback.evaluator.domain import BoolArray, Domain, IntArray
from pullback.evaluator.elements import operate
from pullback.evaluator.named import (
    Axes,
    Named,
    Plain,
    aligned,
    arranger,
    either,
    union,
    without,
)
from pullback.evaluator.partials import dependents, lifted, partial
from pullback.expression import (
    ZERO,
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Partial,
    Pow,
    Size,
    Sum,
    compare,
    tensors,
)
from pullback.limits import demand

V = TypeVar("V")

LARGEST_ORDER = 64  # of a derivative of log Γ
UNARY = frozenset(
    [
        "exp",
        "log",
        "log1p",
        "expm1",
        "tanh",
        "sigmoid",
        "relu",
        "softplus",
        "gelu",
        "erf",
        "abs",
        "sign",
        "sin",
        "cos",
        "arctan",
        "arcsin",
        "arccos",
        "lgamma",
        "digamma",
    ]
)
BINARY = frozenset(("maximum", "minimum", "logaddexp", "arctan2", "hypot"))


class Interpreter(Arithmetic, Generic[V]):
    """Evaluates expressions given sizes, values of tensors, and definitions of further tensors.

    `values` holds values of the domain, and int64 arrays for integer tensors. A tensor that is defined
    is evaluated when it is first read; a given value wins over a definition. `outer` supplies
    the rest: tensors without a definition, and those whose definition is not `local`.
    """

    def __init__(
        self,
        domain: Domain[V],
        sizes: Mapping[str, int],
        values: Mapping[str, V | IntArray],
        definitions: Sequence[Definition] = (),
        outer: Callable[[str], Any] | None = None,
        local: Collection[str] | None = None,
    ) -> None:
        self.domain = domain
        super().__init__(sizes)
        self.outer = outer
        self.definitions = {d.tensor.name: d for d in definitions}
        self.local = {n: d for n, d in self.definitions.items() if local is None or n in local}
        self.tensors: dict[str, Any] = dict(values)
        self._fields: dict[Expr, Named[V]] = {}
        self.operators: dict[Any, Named[V]] = {}
        self.duals: dict[str, Any] = {}

    # ---- tensors

    def tensor(self, name: str) -> Any:
        """The value of a tensor, evaluated from its definition if need be."""
        if name not in self.tensors:
            if name in self.local:
                for definition in needed(name, self.local, self.tensors):
                    self.tensors[definition.tensor.name] = self.define(definition)
            elif self.outer is not None:
                self.tensors[name] = self.outer(name)
            else:
                raise NameProblem(f"the tensor {name} has neither a value nor a definition")
        return self.tensors[name]

    def beside(self, domain: Domain[Any], seeds: Mapping[str, Any]) -> Interpreter[Any]:
        """The same world over dual numbers, where the seeds carry tangents."""
        moving = dependents(self.definitions, set(seeds))
        definitions = tuple(self.definitions.values())
        return Interpreter(
            domain, self.sizes, seeds, definitions, lambda name: lifted(self.tensor(name)), moving
        )

    def define(self, definition: Definition) -> Any:
        """The value of a defined tensor, with its shape checked against the range of the indices."""
        if definition.tensor.is_integer:
            part = self.integer(definition.body)
            order = tuple(index.name for index in definition.indices)
            shape = tuple(self.size(index.extent) for index in definition.indices)
            return np.broadcast_to(aligned(part, order), shape)
        return self.element_values(definition.body, definition.indices)

    def element_values(self, e: Expr, over: Sequence[Index]) -> V:
        """The value of `e` with one axis for each index in `over`, in that order."""
        part = self.field(e)
        order = tuple(index.name for index in over)
        missing = set(part.axes) - set(order)
        if missing:
            raise IndexProblem(f"the index {', '.join(sorted(missing))} is not bound")
        if part.outside is not None:
            raise IndexProblem(
                "an entry outside a tensor is read, and no bracket of the same product is zero there"
            )
        shape = tuple(self.size(index.extent) for index in over)
        arrange = arranger(part.axes, order)
        data = part.data if arrange is None else self.domain.restructure(part.data, arrange)
        if self.domain.trailing(data, len(order)) == shape:
            return data
        self.room(shape)
        n = len(shape)
        return self.domain.restructure(data, lambda x: np.broadcast_to(x, x.shape[: x.ndim - n] + shape))

    # ---- room and extents

    def room(self, shape: Sequence[int]) -> None:
        """Refuse an array that would be too large, before it is allocated."""
        super().room((self.domain.batch, *shape))

    def extents(self, parts: Sequence[Named[V] | Plain[Any]]) -> dict[str, int]:
        """The size of each named axis."""
        found: dict[str, int] = {}
        for part in parts:
            if isinstance(part, Plain):
                shape = part.shape
            else:
                shape = self.domain.trailing(part.data, len(part.axes))
            for name, n in zip(part.axes, shape, strict=True):
                if found.setdefault(name, n) != n:
                    raise IndexProblem(f"the index {name} has two sizes: {found[name]} and {n}")
        return found

    # ---- values of the field

    def field(self, e: Expr) -> Named[V]:
        """The value of `e` in the domain, one axis for each free index."""
        found = self._fields.get(e)
        if found is None:
            found = self._fields[e] = self._field(e)
        return found

    def _field(self, e: Expr) -> Named[V]:
        match e:
            case Num(value):
                return Named((), self.domain.number(value))
            case Size():
                return Named((), self.domain.number(Fraction(self.size(e))))
            case Const("pi"):
                return Named((), self.domain.pi())
            case Index():
                return self._from_integers(e)
            case Access(tensor, _) if tensor.is_integer:
                return self._from_integers(e)
            case Access(tensor, slots):
                return self.read(self.tensor(tensor.name), slots)
            case Add(terms):
                return self._sum_of([self.field(term) for term in terms])
            case Mul(factors):
                return contracted(self, factors, ())
            case Sum(indices, body):
                factors = body.factors if isinstance(body, Mul) else (body,)
                return contracted(self, factors, indices)
            case Pow(base, exponent):
                return self._power(base, exponent)
            case Call():
                return self._call(e)
            case Bracket():
                mask = self.mask(e)
                return Named(mask.axes, self.domain.indicator(mask.data))
            case Element():
                return operate(self, e)
            case Partial():
                return partial(self, e)
        raise InternalProblem(f"the evaluator has no meaning for {type(e).__name__}")

    def _from_integers(self, e: Expr) -> Named[V]:
        part = self.integer(e)
        return Named(part.axes, self.domain.integers(part.data))

    def together(self, parts: Sequence[Named[V]]) -> tuple[Axes, list[V]]:
        """The values brought to common axes, of size 1 where a value does not depend on one."""
        axes = union(part.axes for part in parts)
        extents = self.extents(parts)
        self.room([extents[name] for name in axes])
        return axes, [self.arranged(part, axes) for part in parts]

    def arranged(self, part: Named[V], axes: Axes) -> V:
        arrange = arranger(part.axes, axes)
        return part.data if arrange is None else self.domain.restructure(part.data, arrange)

    def _sum_of(self, parts: list[Named[V]]) -> Named[V]:
        axes, values = self.together(parts)
        result = values[0]
        for value in values[1:]:
            result = self.domain.add(result, value)
        return Named(axes, result, either([part.outside for part in parts]))

    def _power(self, base: Expr, exponent: Expr) -> Named[V]:
        x = self.field(base)
        if isinstance(exponent, Num):
            return Named(x.axes, self.domain.power(x.data, exponent.value), x.outside)
        if self.is_integral(exponent):
            return self._integer_power(x, self.integer(exponent))
        y = self.field(exponent)
        axes, (a, b) = self.together([x, y])
        return Named(axes, self.domain.raised(a, b), either([x.outside, y.outside]))

    def _integer_power(self, x: Named[V], n: Plain[IntArray]) -> Named[V]:
        """x ** n for integers n that may depend on indices: one power for each different n."""
        axes = union((x.axes, n.axes))
        extents = self.extents([x, n])
        self.room([extents[name] for name in axes])
        base = self.arranged(x, axes)
        exponents = aligned(n, axes)
        different = np.unique(exponents)
        demand(len(different), LARGEST_POWER, "the different exponents of one power")
        result = self.domain.power(base, Fraction(int(different[0])))
        for k in different[1:]:
            result = self.domain.select(exponents == k, self.domain.power(base, Fraction(int(k))), result)
        shape = tuple(extents[name] for name in axes)
        if self.domain.trailing(result, len(axes)) != shape:
            k = len(axes)
            result = self.domain.restructure(
                result, lambda a: np.broadcast_to(a, a.shape[: a.ndim - k] + shape)
            )
        return Named(axes, result, x.outside)

    def _call(self, e: Call) -> Named[V]:
        name, arguments = e.function, e.arguments
        if name == "where":
            return self._where(*arguments)
        if name in ("floordiv", "mod"):
            return self._from_integers(e)
        if name == "polygamma":
            return self._polygamma(*arguments)
        parts = [self.field(x) for x in arguments]
        if name in UNARY and len(parts) == 1:
            (x,) = parts
            return Named(x.axes, getattr(self.domain, name)(x.data), x.outside)
        if name in BINARY and len(parts) == 2:
            axes, values = self.together(parts)
            return Named(axes, getattr(self.domain, name)(*values), either([x.outside for x in parts]))
        raise InternalProblem(f"the evaluator has no meaning for the function {name}")

    def _polygamma(self, order: Expr, x: Expr) -> Named[V]:
        """Derivatives of log Γ; the order is a plain number, 0 for digamma."""
        if (
            not isinstance(order, Num)
            or order.value.denominator != 1
            or not 0 <= order.value <= LARGEST_ORDER
        ):
            raise DomainProblem(
                f"the order of polygamma is a number from 0 to {LARGEST_ORDER}", hint="polygamma(1, x)"
            )
        part = self.field(x)
        return Named(part.axes, self.domain.polygamma(part.data, int(order.value)), part.outside)

    def _where(self, condition: Expr, first: Expr, second: Expr) -> Named[V]:
        mask = self.condition(condition)
        a, b = self.field(first), self.field(second)
        axes = union((mask.axes, a.axes, b.axes))
        extents = self.extents([mask, a, b])
        self.room([extents[name] for name in axes])
        data = self.domain.select(aligned(mask, axes), self.arranged(a, axes), self.arranged(b, axes))
        negated = Plain(mask.axes, ~mask.data)
        outside = either([without(a.outside, mask), without(b.outside, negated)])
        return Named(axes, data, outside)

    def condition(self, e: Expr) -> Plain[BoolArray]:
        """A condition as a mask; a number is one where it is not zero."""
        if isinstance(e, Bracket):
            return self.mask(e)
        return self._compare("!=", e, ZERO)

    def mask(self, e: Bracket) -> Plain[BoolArray]:
        """Where the bracket is 1."""
        return self._compare(e.relation, e.left, e.right)

    def _compare(self, relation: str, left: Expr, right: Expr) -> Plain[BoolArray]:
        if self.is_integral(left) and self.is_integral(right):
            p, q = self.integer(left), self.integer(right)
            axes = self.common((p, q))
            return Plain(axes, np.asarray(compare(relation, aligned(p, axes), aligned(q, axes))))
        axes, (a, b) = self.together([self.field(left), self.field(right)])
        return Plain(axes, self.domain.compare(relation, a, b))

    # ---- reading a tensor

    def read(self, data: V, slots: Sequence[Expr]) -> Named[V]:
        """`data[slots]`; an entry outside counts as 0 and is marked."""
        shape = self.domain.trailing(data, len(slots))
        names = tuple(slot.name for slot in slots if isinstance(slot, Index))
        if len(set(names)) == len(slots) and shape == tuple(
            self.size(slot.extent) for slot in slots if isinstance(slot, Index)
        ):
            return Named(names, data)
        return self.gather(data, [self.integer(slot) for slot in slots])

    def gather(self, data: V, where: Sequence[Plain[IntArray]]) -> Named[V]:
        """The entries of `data` at the given positions along its last axes."""
        if not where:
            return Named((), data)
        shape = self.domain.trailing(data, len(where))
        axes = union(part.axes for part in where)
        extents = self.extents(where)
        result_shape = tuple(extents[name] for name in axes)
        self.room(result_shape)
        inside = np.ones(result_shape, dtype=bool)
        at = []
        for part, n in zip(where, shape, strict=True):
            position = aligned(part, axes)
            inside &= (position >= 0) & (position < n)
            at.append(np.clip(position, 0, n - 1))
        place: tuple[Any, ...] = (..., *np.broadcast_arrays(*at))
        found = self.domain.restructure(data, lambda x: np.asarray(x[place]))
        if inside.all():
            return Named(axes, found)
        zeroed = self.domain.select(inside, found, self.domain.number(Fraction(0)))
        return Named(axes, zeroed, Plain(axes, ~inside))


def needed(name: str, definitions: Mapping[str, Definition], known: Mapping[str, Any]) -> list[Definition]:
    """The definitions to evaluate before `name` is known, in order, without recursion."""
    order: list[Definition] = []
    state: dict[str, int] = {}
    stack = [name]
    while stack:
        top = stack[-1]
        if top in known or top not in definitions or state.get(top) == 2:
            stack.pop()
            continue
        if state.get(top) == 1:
            state[top] = 2
            order.append(definitions[top])
            stack.pop()
            continue
        state[top] = 1
        for tensor in tensors(definitions[top].body):
            if state.get(tensor.name) == 1:
                raise NameProblem(f"the definition of {tensor.name} reads itself")
            stack.append(tensor.name)
    return order
