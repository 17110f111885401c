"""Random expressions in matrix notation, drawn from the shape that they must have."""

from __future__ import annotations

import math
from collections.abc import Callable

from pullback.testing.pieces import AXIS, Piece, Pool, Shape, above_zero, spread, tamed, times

Make = Callable[["MatrixWriter", Shape, int], Piece | None]


class MatrixWriter:
    """Draws an expression of a given shape. Each way of making one declines shapes that it cannot make."""

    def __init__(self, pool: Pool, wide: tuple[Make, ...] = ()) -> None:
        self.pool = pool
        self.rng = pool.rng
        self.ways: tuple[Make, ...] = (*RATIONAL, *(() if pool.rational else ANALYTIC), *wide * 3)

    def expression(self, shape: Shape, depth: int) -> Piece:
        """An expression of the shape with at most `depth` operations one inside the other."""
        if depth <= 0:
            return self.pool.tensor(shape)
        for _ in range(20):
            made = self.rng.choice(self.ways)(self, shape, depth - 1)
            if made is not None:
                return tamed(made, self.pool.rational)
        return self.pool.tensor(shape)

    def below(self, shape: Shape) -> Shape:
        """A shape that broadcasts to `shape` when it meets an operand of that shape."""
        choice = self.rng.random()
        if choice < 0.6:
            return shape
        if choice < 0.85:
            return shape[self.rng.randint(0, len(shape)) :]
        return tuple("1" if self.pool.chance(0.5) else size for size in shape)

    def pair(self, shape: Shape, depth: int) -> tuple[Piece, Piece]:
        """Two operands that together have the shape."""
        a, b = self.expression(shape, depth), self.expression(self.below(shape), depth - 1)
        return (a, b) if self.pool.chance(0.5) else (b, a)

    def with_axis(self, shape: Shape) -> tuple[Shape, int]:
        """The shape with one more axis, and the place of that axis."""
        place = self.rng.randint(0, len(shape))
        return (*shape[:place], self.pool.size(), *shape[place:]), place

    def axis_text(self, place: int, rank: int) -> str:
        return str(place if self.pool.chance(0.7) else place - rank)


# ---- field operations -----------------------------------------------------------------------


def plus(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a, b = w.pair(shape, depth)
    if w.pool.chance(0.5):
        return Piece(f"({a.text} + {b.text})", shape, a.low + b.low, a.high + b.high)
    return Piece(f"({a.text} - {b.text})", shape, a.low - b.high, a.high - b.low)


def product(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a, b = w.pair(shape, depth)
    return Piece(f"({a.text} * {b.text})", shape, *times(a, b))


def quotient(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a, b = w.expression(shape, depth), above_zero(w.expression(w.below(shape), depth - 1))
    inverse = Piece("", (), 1 / b.high, 1 / b.low)
    return Piece(f"({a.text} / {b.text})", shape, *times(a, inverse))


def scaled(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a = w.expression(shape, depth)
    number = w.rng.choice(("2", "3", "0.5", "-1.5", "-1"))
    return Piece(f"({number} * {a.text})", shape, *times(a, Piece("", (), float(number), float(number))))


def shifted(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a = w.expression(shape, depth)
    return Piece(f"({a.text} - 0.25)", shape, a.low - 0.25, a.high - 0.25)


def negated(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a = w.expression(shape, depth)
    return Piece(f"(-{a.text})", shape, -a.high, -a.low)


def powered(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a = w.expression(shape, depth)
    n = w.rng.choice((2, 2, 3, -1, -2))
    if n < 0:
        a = above_zero(a)
    ends = (a.low**n, a.high**n)
    low = 0.0 if a.low < 0 < a.high and n == 2 else min(ends)
    return Piece(f"({a.text}**{n})" if n > 0 else f"({a.text}**({n}))", shape, low, max(ends))


def matmul(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    k = w.pool.size()
    left: Shape
    right: Shape
    match shape:
        case ():
            left, right = (k,), (k,)
        case (a,):
            left, right = ((a, k), (k,)) if w.pool.chance(0.5) else ((k,), (k, a))
        case (a, b):
            left, right = (a, k), (k, b)
        case (*batch, a, b):
            left, right = (*batch, a, k), (k, b)
            if w.pool.chance(0.5):
                right = (*batch, k, b)
        case _:
            return None
    x, y = w.expression(left, depth), w.expression(right, depth)
    return Piece(f"({x.text} @ {y.text})", shape, *spread(*times(x, y), AXIS))


def transposed(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) != 2:
        return None
    a = w.expression(shape[::-1], depth)
    return Piece(f"{a.text}.T", shape, a.low, a.high)


def reduced(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) > 3:
        return None
    if not shape and w.pool.chance(0.5):
        a = w.expression(w.pool.shape(), depth)
        text = a.text
        count = AXIS ** len(a.shape)
    else:
        wider, place = w.with_axis(shape)
        a = w.expression(wider, depth)
        text, count = f"{a.text}, axis={w.axis_text(place, len(wider))}", AXIS
    if w.pool.chance(0.5):
        return Piece(f"mean({text})", shape, a.low, a.high)
    return Piece(f"sum({text})", shape, *spread(a.low, a.high, count))


def centred(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    """A reduction that keeps its axis, beside what it reduces."""
    if not shape:
        return None
    place = w.rng.randrange(len(shape))
    a = w.pool.tensor(shape)
    name = w.rng.choice(("sum", "mean"))
    axis = f"axis={w.axis_text(place, len(shape))}"
    low, high = spread(a.low, a.high, AXIS if name == "sum" else 1)
    text = f"({a.text} - {name}({a.text}, {axis}, keepdims=True))"
    return Piece(text, shape, a.low - high, a.high - low)


def einsum(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) > 3 or "1" in shape:
        return None
    size_of = dict(zip("ijk", shape, strict=False))
    size_of |= {letter: w.pool.size() for letter in "ab"[: w.rng.randint(0, 2)]}
    letters = list(size_of)
    factors: list[Piece] = []
    inputs: list[str] = []
    missing = set(letters)
    while (missing or not factors) and len(factors) < 3:
        rank = w.rng.randint(1, 3) if letters else 0
        chosen = w.rng.sample(letters, min(rank, len(letters)))
        if len(factors) == 2:
            chosen = sorted(missing)
        factors.append(w.expression(tuple(size_of[c] for c in chosen), depth - 1))
        inputs.append("".join(chosen))
        missing -= set(chosen)
    low = high = 1.0
    for factor in factors:
        low, high = times(Piece("", (), low, high), factor)
    summed = AXIS ** (len(letters) - len(shape))
    spec = f"{','.join(inputs)}->{'ijk'[: len(shape)]}"
    text = f'einsum("{spec}", {", ".join(factor.text for factor in factors)})'
    return Piece(text, shape, *spread(low, high, summed))


def trace_or_outer(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if not shape:
        n = w.pool.size()
        a = w.expression((n, n), depth)
        return Piece(f"trace({a.text})", (), *spread(a.low, a.high, AXIS))
    if len(shape) == 2:
        x, y = w.expression(shape[:1], depth), w.expression(shape[1:], depth)
        return Piece(f"outer({x.text}, {y.text})", shape, *times(x, y))
    return None


def by_a_size(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    sizes = [size for size in shape if size != "1"]
    if not sizes:
        return None
    a = w.expression(shape, depth)
    return Piece(f"({a.text} / {w.rng.choice(sizes)})", shape, a.low / (1 if a.low < 0 else AXIS), a.high)


# ---- functions ------------------------------------------------------------------------------


def applied(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    """A scalar function, its argument kept to its domain."""
    a = w.expression(shape, depth)
    name = w.rng.choice(("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "sin", "cos"))
    match name:
        case "exp":
            if a.high > 3:
                a = Piece(f"tanh({a.text})", shape, -1.0, 1.0)
            return Piece(f"exp({a.text})", shape, math.exp(max(a.low, -30)), math.exp(a.high))
        case "log" | "sqrt":
            a = above_zero(a)
            f = math.log if name == "log" else math.sqrt
            return Piece(f"{name}({a.text})", shape, f(a.low), f(a.high))
        case "sigmoid":
            return Piece(f"sigmoid({a.text})", shape, 0.0, 1.0)
        case "relu":
            return Piece(f"relu({a.text})", shape, 0.0, max(a.high, 0.0))
        case "abs":
            return Piece(f"abs({a.text})", shape, 0.0, a.size)
    return Piece(f"{name}({a.text})", shape, -1.0, 1.0)


def compared(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    """A comparison of values that tie with probability zero, as a mask."""
    a, b = w.expression(shape, depth), w.rng.choice(("0.1", "-0.3", "0.7"))
    relation = w.rng.choice(("<", "<=", ">", ">="))
    c = w.expression(shape, depth - 1)
    return Piece(f"(({a.text} {relation} {b}) * {c.text})", shape, min(c.low, 0.0), max(c.high, 0.0))


def smooth_power(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a = above_zero(w.expression(shape, depth))
    n = w.rng.choice((0.5, 1.5, -0.5))
    return Piece(f"({a.text}**{n})" if n > 0 else f"({a.text}**({n}))", shape, *sorted((a.low**n, a.high**n)))


RATIONAL: tuple[Make, ...] = (
    plus, plus, product, product, quotient, scaled, shifted, negated, powered, matmul, matmul, transposed,
    reduced, reduced, centred, einsum, trace_or_outer, by_a_size,
)  # fmt: skip
ANALYTIC: tuple[Make, ...] = (applied, applied, applied, applied, compared, smooth_power)
