"""One number of a domain, with Python's operators and NumPy's scalar methods.

A `World` is a domain and what was noticed while code ran in it: which ties it met, and which constants its
comparisons name. Code whose path asks for more than the order of two numbers is `Untraceable`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from numbers import Rational as AnyRational
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.evaluator import Float64
from pullback.evaluator.domain import HALF, Domain
from pullback.evaluator.dual import Dual
from pullback.tracing.constants import recognised

if TYPE_CHECKING:
    from collections.abc import Iterator


class Untraceable(PullbackError):
    """Code that cannot be run on exact numbers, such as one that turns them into machine floats."""


class Undecided(Untraceable):
    """Several trials at once do not agree on the branch that the code takes."""


NEARLY: Final = "nearly"  # two doubles that rounding alone may keep from a tie
NEAR: Final = 1e-11  # relative


class World:
    """A domain, the ties that were met in it, and the constants that numbers were compared with."""

    def __init__(self, domain: Domain[Any]) -> None:
        self.domain: Final = domain
        self.ties: set[str] = set()
        self.has_kinks = False  # whether an order, |x| or a maximum was asked for at all
        self.thresholds: set[float] = set()
        self.sides: dict[float, set[bool]] = {}  # what comparisons with a threshold gave
        self._rounds = isinstance(domain.base if isinstance(domain, Dual) else domain, Float64)
        self._constants: dict[Any, Number] = {}

    def number(self, x: Any) -> Number:
        """A constant as a number of this world."""
        if isinstance(x, Number):
            return x
        if isinstance(x, np.ndarray) and x.ndim == 0:
            return self.number(x[()])
        key = (type(x), x)
        if key not in self._constants:
            self._constants[key] = Number(self, self._constant(x))
        return self._constants[key]

    def _constant(self, x: Any) -> Any:
        domain = self.domain
        if isinstance(x, bool | np.bool_ | int | np.integer):
            return domain.number(Fraction(int(x)))
        if isinstance(x, AnyRational):
            return domain.number(Fraction(x))
        if not isinstance(x, float | np.floating) or not math.isfinite(float(x)):
            raise Untraceable(f"{x!r} is no real number")
        found = recognised(float(x), "" if isinstance(x, float) else str(x))
        value = domain.number(found.fraction)
        if found.pi:
            value = domain.mul(value, domain.power(domain.pi(), Fraction(found.pi)))
        if found.root:
            value = domain.power(value, HALF)
        return domain.neg(value) if found.negative else value

    def compare(self, relation: str, a: Number, b: Number) -> bool:
        """The order of two numbers; ties, and constants on one side, are remembered."""
        self.has_kinks = True
        self._look_closely(a, b)
        if (_moves(a) or _moves(b)) and np.any(self.domain.compare("==", a.value, b.value)):
            self.ties.add("compare")
        found = self.domain.compare(relation, a.value, b.value)
        if found.size > 1 and bool(found.any()) != bool(found.all()):
            raise Undecided("the order of two numbers differs among the trials")
        return bool(found.all())

    def equal(self, a: Number, b: Number) -> bool:
        self._look_closely(a, b)
        return bool(np.all(self.domain.compare("==", a.value, b.value)))

    def _look_closely(self, a: Number, b: Number) -> None:
        if self._rounds and np.any(nearly_equal(a.plain(), b.plain())):
            self.ties.add(NEARLY)


def nearly_equal(x: Any, y: Any) -> Any:
    """Whether doubles differ by no more than rounding, and do differ."""
    return (x != y) & (abs(x - y) <= NEAR * np.maximum(1e-2, np.maximum(abs(x), abs(y))))


_WORLD: ContextVar[World] = ContextVar("world")


@contextmanager
def inside(world: World) -> Iterator[World]:
    """Constants that meet no number become numbers of this world."""
    token = _WORLD.set(world)
    try:
        yield world
    finally:
        _WORLD.reset(token)


def current() -> World:
    return _WORLD.get()


def lift(x: Any) -> Number:
    """A number of the current world."""
    return x if isinstance(x, Number) else _WORLD.get().number(x)


def is_infinite(x: Any) -> bool:
    return isinstance(x, _FLOATS) and math.isinf(x)


_FLOATS: Final = (float, np.floating)
_ACCEPTED: Final = (bool, int, float, Fraction, np.bool_, np.integer, np.floating)


def _moves(x: Number) -> bool:
    """Whether a value depends on the inputs here; one that was clamped to a constant does not."""
    tangent = getattr(x.value, "tangent", None)
    return tangent is not None and bool(np.any(tangent != 0))


def exact_exponent(x: Any) -> Fraction:
    """The fraction that an exponent stands for: 0.333… is a third."""
    exponent = Fraction(str(float(x))) if isinstance(x, float | np.floating) else Fraction(int(x))
    return exponent if exponent.denominator <= 1000 else exponent.limit_denominator(1000)


class Number:
    """A value of the domain of its world. It is immutable."""

    __slots__ = ("value", "world")
    __array_priority__ = -1.0

    def __init__(self, world: World, value: Any) -> None:
        self.world = world
        self.value = value

    def _other(self, x: Any) -> Number | None:
        if isinstance(x, Number):
            return x
        return self.world.number(x) if isinstance(x, _ACCEPTED) else None

    def _made(self, value: Any) -> Number:
        return Number(self.world, value)

    # ---- arithmetic

    def _binary(self, x: Any, f: Callable[[Any, Any], Any], swapped: bool = False) -> Any:
        other = self._other(x)
        if other is None:
            return NotImplemented
        return self._made(f(other.value, self.value) if swapped else f(self.value, other.value))

    def __add__(self, x: Any) -> Any:
        if type(x) is int and x == 0:  # most sums begin with it
            return self
        return x if is_infinite(x) else self._binary(x, self.world.domain.add)

    __radd__ = __add__

    def __mul__(self, x: Any) -> Any:
        return self._binary(x, self.world.domain.mul)

    __rmul__ = __mul__

    def __sub__(self, x: Any) -> Any:
        return -x if is_infinite(x) else self._binary(x, self.world.domain.sub)

    def __rsub__(self, x: Any) -> Any:
        return x if is_infinite(x) else self._binary(x, self.world.domain.sub, swapped=True)

    def __truediv__(self, x: Any) -> Any:
        return 0 if is_infinite(x) else self._binary(x, self._quotient)

    def __rtruediv__(self, x: Any) -> Any:
        return self._binary(x, self._quotient, swapped=True)

    def _quotient(self, a: Any, b: Any) -> Any:
        domain = self.world.domain
        return domain.mul(a, domain.reciprocal(b))

    def __neg__(self) -> Number:
        return self._made(self.world.domain.neg(self.value))

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        world = self.world
        world.has_kinks = True
        world.thresholds.add(0.0)
        if world.equal(self, world.number(0)):
            world.ties.add("abs")
        return self._made(world.domain.abs(self.value))

    def __pow__(self, x: Any) -> Any:
        if isinstance(x, Number):
            return self._made(self.world.domain.raised(self.value, x.value))
        if not isinstance(x, _ACCEPTED):
            return NotImplemented
        exponent = exact_exponent(x)
        if exponent == 0:
            return self.world.number(1)
        if exponent == 1:
            return self
        return self._made(self.world.domain.power(self.value, exponent))

    def __rpow__(self, x: Any) -> Any:
        other = self._other(x)
        return NotImplemented if other is None else other**self

    # ---- order

    def _compare(self, relation: str, x: Any) -> Any:
        if is_infinite(x):
            low = float(x) < 0
            return relation in (("!=", ">", ">=") if low else ("!=", "<", "<="))
        other = self._other(x)
        if other is None:
            return NotImplemented
        found = self.world.compare(relation, self, other)
        if not isinstance(x, Number):
            self.world.thresholds.add(float(x))
            self.world.sides.setdefault(float(x), set()).add(found)
        return found

    def __lt__(self, x: Any) -> Any:
        return self._compare("<", x)

    def __le__(self, x: Any) -> Any:
        return self._compare("<=", x)

    def __gt__(self, x: Any) -> Any:
        return self._compare(">", x)

    def __ge__(self, x: Any) -> Any:
        return self._compare(">=", x)

    def __eq__(self, x: object) -> Any:
        return self._compare("==", x)

    def __ne__(self, x: object) -> Any:
        return self._compare("!=", x)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __float__(self) -> float:
        raise Untraceable("the code turns a value into a Python float")

    def __int__(self) -> int:
        raise Untraceable("the code turns a value into a Python integer")

    __index__ = __int__

    # ---- functions: NumPy calls these by name on arrays of objects

    def exp(self) -> Number:
        return self._made(self.world.domain.exp(self.value))

    def log(self) -> Number:
        return self._made(self.world.domain.log(self.value))

    def sin(self) -> Number:
        return self._made(self.world.domain.sin(self.value))

    def cos(self) -> Number:
        return self._made(self.world.domain.cos(self.value))

    def tanh(self) -> Number:
        return self._made(self.world.domain.tanh(self.value))

    def erf(self) -> Number:
        return self._made(self.world.domain.erf(self.value))

    def sqrt(self) -> Number:
        return self._made(self.world.domain.power(self.value, HALF))

    def sign(self) -> Number:
        return self._made(self.world.domain.sign(self.value))

    def conjugate(self) -> Number:
        return self

    def copy(self) -> Number:
        return self

    def item(self) -> Number:
        return self

    def astype(self, _kind: Any, copy: bool = True) -> Number:
        return self

    @property
    def real(self) -> Number:
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def ndim(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1

    @property
    def T(self) -> Number:
        return self

    def sum(self, *_: Any, **__: Any) -> Number:
        return self

    mean = max = min = sum

    def reshape(self, *shape: Any) -> Any:
        found = np.empty((), dtype=object)
        found[()] = self
        return found.reshape(*shape)

    def plain(self) -> Any:
        """The value without its tangent."""
        return self.value.value if isinstance(self.world.domain, Dual) else self.value

    def __repr__(self) -> str:
        return f"<Number {self.value!r}>"


# ---- where ties are shared ------------------------------------------------------------------


def best_of(values: list[Any], relation: str) -> Any:
    """The largest (`>`) or smallest (`<`) of some numbers; several that tie give their mean."""
    finite = [lift(x) for x in values if not is_infinite(x)]
    wins = math.inf if relation == ">" else -math.inf
    if not finite or any(is_infinite(x) and float(x) == wins for x in values):
        return values[0] if not finite else wins
    world = finite[0].world
    world.has_kinks |= len(finite) > 1
    best = finite[0]
    domain = world.domain
    if domain.compare("==", best.value, best.value).size > 1:  # many random trials: nothing ties
        for x in finite[1:]:
            better_one = domain.compare(relation, x.value, best.value)
            best = Number(world, domain.select(better_one, x.value, best.value))
        return best
    for x in finite[1:]:
        if np.all(domain.compare(relation, x.value, best.value)):
            best = x
    ties = [x for x in finite if x is best or world.equal(x, best)]
    if len(ties) == 1:
        return best
    world.ties.add("max")
    total = ties[0]
    for x in ties[1:]:
        total = total + x
    return total * world.number(Fraction(1, len(ties)))


def better(relation: str) -> Callable[[Any, Any], Any]:
    """maximum (`>`) or minimum (`<`) of two; against a constant 0 the convention is relu's."""

    def chosen(a: Any, b: Any) -> Any:
        for x, y in ((a, b), (b, a)):
            if isinstance(x, Number) and not isinstance(y, Number) and not is_infinite(y):
                x.world.thresholds.add(float(y))
                x.world.has_kinks = True
                bound = x.world.number(y)
                if x.world.equal(x, bound):
                    x.world.ties.add("max")
                    return bound  # clamped: no derivative passes, as for relu
        return best_of([a, b], relation)

    return chosen
