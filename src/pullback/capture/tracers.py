"""What a NumPy-style function is called with while it is captured: arrays that record, and sizes that stay symbols."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from pullback.capture.arrays import Array, number
from pullback.capture.assembling import assigned
from pullback.capture.operations import cast, elementwise, literal
from pullback.capture.session import SESSION, Pinned, where
from pullback.capture.subscripts import Slot, Span, single, span, subscript
from pullback.evaluator import Float64, evaluate
from pullback.expression import Definition, Expr, Num, Tensor, add, call, mul, neg, num, power
from pullback.sizes import normal_size, product_size, size_text
from pullback.tracing.numbers import Untraceable

# ---- sizes ----------------------------------------------------------------------------------


class Dim:
    """A size that knows its expression: `D // H` stays that.

    It is no `int`, so that `0.5 * N` asks it too; where Python needs an `int`, the size becomes a number.
    """

    __slots__ = ("e", "value")
    e: Expr
    value: int

    @staticmethod
    def of(e: Expr) -> Any:
        if isinstance(e, Num):
            return int(e.value)
        found = Dim()
        found.e, found.value = e, SESSION.get().length(e)
        return found

    def _with(self, op: str, other: Any, swap: bool = False) -> Any:
        if isinstance(other, int | np.integer | Dim) and not isinstance(other, bool) and op != "/":
            pair = (size_of(other), self.e) if swap else (self.e, size_of(other))
            return Dim.of(normal_size(_SIZES[op](*pair)))
        if not isinstance(other, int | float | np.number | Dim):
            return NotImplemented
        parts = (lifted(other), lifted(self)) if swap else (lifted(self), lifted(other))
        return wrapped(elementwise(op, *parts))

    def __floordiv__(self, x: Any) -> Any:
        by = whole_number(x)
        if by and self.value % by == 0:
            SESSION.get().quotients[self.e, size_of(x)] = None
        return self._with("//", x)

    def __neg__(self) -> Any:
        return Dim.of(normal_size(neg(self.e)))

    def __pow__(self, x: Any) -> Any:
        if isinstance(x, int) and 0 <= x <= 8:
            return Dim.of(normal_size(power(self.e, num(x))))
        return wrapped(elementwise("**", lifted(self), lifted(x)))

    def __rpow__(self, x: Any) -> Any:
        return wrapped(elementwise("**", lifted(x), lifted(self)))

    def __index__(self) -> int:
        raise Pinned(self.e, "the code needs a number in the place of")

    __int__ = __index__

    def __float__(self) -> float:
        raise Pinned(self.e, "the code needs a number in the place of")

    def __bool__(self) -> bool:
        return self.value != 0

    def __eq__(self, x: object) -> bool:
        return bool(self.value == whole_number(x))

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return str(self.value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return wrapped(lifted(self)).__array_ufunc__(ufunc, method, *inputs, **options)


_SIZES: Final[dict[str, Callable[[Expr, Expr], Expr]]] = {
    "+": add,
    "-": lambda a, b: add(a, neg(b)),
    "*": mul,
    "//": partial(call, "floordiv"),
    "%": partial(call, "mod"),
}


def _arithmetic(op: str, swap: bool) -> Callable[[Dim, Any], Any]:
    return lambda self, x: self._with(op, x, swap)


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Dim, Any], bool]:
    return lambda self, x: compare(self.value, whole_number(x))


for _name, _op in (
    ("add", "+"),
    ("sub", "-"),
    ("mul", "*"),
    ("truediv", "/"),
    ("floordiv", "//"),
    ("mod", "%"),
):
    if _name != "floordiv":
        setattr(Dim, f"__{_name}__", _arithmetic(_op, False))
    setattr(Dim, f"__r{_name}__", _arithmetic(_op, True))
for _compare in (operator.lt, operator.le, operator.gt, operator.ge):
    setattr(Dim, f"__{_compare.__name__}__", _comparison(_compare))


def whole_number(x: Any) -> Any:
    """A size as the number that it has in this run."""
    return x.value if isinstance(x, Dim) else x


def size_of(x: Any) -> Expr:
    """A size as an expression."""
    if isinstance(x, Dim):
        return x.e
    if isinstance(x, Traced):
        e = x.array.constant()
        if e is not None and x.array.kind == "integer":
            return normal_size(e)
        raise Untraceable("a size that is computed from values")
    return num(int(operator.index(x)))


# ---- arrays ---------------------------------------------------------------------------------


def lifted(x: Any) -> Array:
    """Anything that stands in an operation as a recorded array."""
    if isinstance(x, Traced):
        return x.array
    if isinstance(x, Dim):
        return number(x.e, "integer")
    if isinstance(x, bool | int | float):
        return literal(x)
    if isinstance(x, np.bool_ | np.integer | np.floating):
        return literal(x.item())
    if isinstance(x, np.ndarray):
        return SESSION.get().constant(x)
    if isinstance(x, tuple | list):
        from_rows = ROWS.get("stack")
        assert from_rows is not None
        return from_rows([lifted(part) for part in x])
    raise Untraceable(f"{type(x).__name__} is no array of numbers")


ROWS: dict[str, Callable[..., Array]] = {}  # how rows are put together; filled in by `numpy_calls`


def wrapped(array: Array) -> Traced:
    if array.place is None:
        array.place = where()
    return Traced(array)


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array while code runs on it. Updates in place change which array it stands for."""

    __array_priority__ = 1000
    methods: ClassVar[dict[str, Callable[..., Any]]] = {}  # filled in by `numpy_calls`
    ufunc: ClassVar[Callable[..., Any]]
    call: ClassVar[Callable[..., Any]]

    def __init__(self, array: Array, source: tuple[Traced, tuple[Slot, ...]] | None = None) -> None:
        self.version: int = 0
        self._array = array
        self._source = source  # the array that this is a view of, with the slots
        self._seen: int = source[0].version if source else 0

    @property
    def array(self) -> Array:
        if self._source is not None and self._source[0].version != self._seen:
            base, slots = self._source
            self._array, self._seen = subscript(base.array, slots), base.version
        return self._array

    def replace(self, array: Array) -> None:
        """Stand for another array from now on; so does the array that this is a view of."""
        if array.place is None:
            array.place = where()
        self._array = array
        self.version += 1
        if self._source is not None:
            base, slots = self._source
            if not all(isinstance(slot, Span) for slot in slots):
                raise Untraceable("an update in place of a view with new axes", hint="x = x + y")
            base.replace(assigned(base.array, [s for s in slots if isinstance(s, Span)], array))
            self._seen = base.version

    # ---- NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return Traced.ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return Traced.call(function, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in Traced.methods:
            return partial(Traced.methods[name], self)
        if name.startswith("_"):
            raise AttributeError(name)
        raise Untraceable(f"the method .{name} of arrays is not known here")

    # ---- attributes

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(Dim.of(size) for size in self.array.shape)

    @property
    def ndim(self) -> int:
        return self.array.rank

    @property
    def size(self) -> Any:
        return Dim.of(product_size(self.array.shape))

    @property
    def dtype(self) -> Any:
        return np.dtype({"real": "float64", "integer": "int64", "truth": "bool"}[self.array.kind])

    @property
    def T(self) -> Traced:
        return wrapped(ROWS["transpose"](self.array))

    @property
    def real(self) -> Traced:
        return self

    @property
    def flat(self) -> Any:
        raise Untraceable("the attribute .flat is not known here", hint="x.ravel()")

    def __len__(self) -> int:
        if not self.array.rank:
            raise TypeError("len() of unsized object")
        return int(whole_number(self.shape[0]))

    def __iter__(self) -> Iterator[Traced]:
        if not self.array.rank:
            raise TypeError("iteration over a 0-d array")
        size = self.array.shape[0]
        if not isinstance(size, Num):
            raise Pinned(size, "the code loops over an axis of size")
        return iter([self[k] for k in range(int(size.value))])

    # ---- what would need a value

    def __bool__(self) -> bool:
        found = self.settled()
        if found is None:
            raise Untraceable(
                "the code branches on a value", hint="np.where(condition, a, b) keeps both branches"
            )
        return bool(found)

    def __float__(self) -> float:
        found = self.settled()
        if found is None:
            raise Untraceable("the code turns a value into a Python float", hint="leave float(…) out")
        return float(found)

    def __int__(self) -> int:
        found = self.settled()
        if found is None:
            raise Untraceable("the code turns a value into a Python integer")
        return int(found)

    def __index__(self) -> int:
        if self.array.rank == 0 and self.array.kind != "real" and self.array.constant() is not None:
            return operator.index(Dim.of(size_of(self)))
        raise Untraceable("a value of an array stands where Python needs a whole number")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("the code turns a traced array into one of plain numbers")

    def settled(self) -> Any:
        """The number behind a constant without axes, None where it depends on an input."""
        e = self.array.constant()
        if e is None or self.array.rank:
            return None
        return evaluated(e, SESSION.get().sizes)

    # ---- subscripts

    def __getitem__(self, index: Any) -> Traced:
        slots = slots_of(self.array, index)
        found = wrapped(subscript(self.array, slots))
        if not any(isinstance(slot, Array) for slot in slots):
            return Traced(found.array, (self, tuple(slots)))
        return found

    def __setitem__(self, index: Any, value: Any) -> None:
        mask = index.array if isinstance(index, Traced) and index.array.kind == "truth" else None
        if mask is not None:
            self.replace(elementwise("where", mask, lifted(value), self.array))
            return
        slots = slots_of(self.array, index)
        spans = [slot for slot in slots if isinstance(slot, Span)]
        if len(spans) != len(slots):
            raise Untraceable("an assignment to entries that an array names", hint="np.where, or np.add.at")
        self.replace(assigned(self.array, spans, lifted(value)))

    def __repr__(self) -> str:
        return f"<array {'×'.join(map(size_text, self.array.shape)) or 'scalar'}>"


def evaluated(e: Expr, sizes: dict[str, int]) -> float:
    """A constant as a number."""
    definition = Definition(Tensor("value", ()), (), e)
    return float(np.asarray(evaluate([definition], {}, sizes, Float64())["value"]))


def _in_place(name: str) -> Callable[[Traced, Any], Traced]:
    def update(self: Traced, other: Any) -> Traced:
        made = (
            elementwise(name, self.array, lifted(other))
            if name != "@"
            else ROWS["matmul"](self.array, lifted(other))
        )
        self.replace(cast(made, self.array.kind) if self.array.kind == "integer" else made)
        return self

    return update


for _name, _op in (
    ("iadd", "+"),
    ("isub", "-"),
    ("imul", "*"),
    ("itruediv", "/"),
    ("ipow", "**"),
    ("imatmul", "@"),
):
    setattr(Traced, f"__{_name}__", _in_place(_op))


# ---- subscripts of Python as slots ----------------------------------------------------------


def slots_of(x: Array, index: Any) -> list[Slot]:
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if any(part is Ellipsis for part in parts):
        place = next(k for k, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (x.rank - used)
    found: list[Slot] = []
    axis = 0
    for part in parts:
        if part is None:
            found.append(None)
            continue
        if axis >= x.rank:
            raise Untraceable(f"too many subscripts for an array with {x.rank} axes")
        found.append(_slot_of(part, x.shape[axis]))
        axis += 1
    return found


def _slot_of(part: Any, size: Expr) -> Slot:
    length = SESSION.get().length
    if isinstance(part, slice):
        start, stop = (None if b is None else size_of(b) for b in (part.start, part.stop))
        return span(start, stop, 1 if part.step is None else operator.index(part.step), size, length)
    if isinstance(part, Traced):
        e = part.array.constant()
        if part.array.rank or e is None or part.array.kind == "real":
            return part.array
        return single(normal_size(e), size, length)
    if isinstance(part, int | np.integer | Dim) and not isinstance(part, bool):
        return single(size_of(part), size, length)
    return lifted(np.asarray(part) if isinstance(part, list) else part)
