"""The rest of the vocabulary: operators, choices, rearrangements and convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pullback.testing.pieces import AXIS, Piece, Shape, spread, times

if TYPE_CHECKING:
    from pullback.testing.matrix_lines import Make, MatrixWriter


def softmax(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if not shape:
        return None
    a = w.expression(shape, depth)
    axis = w.axis_text(w.rng.randrange(len(shape)), len(shape))
    if w.pool.chance(0.5):
        return Piece(f"softmax({a.text}, axis={axis})", shape, 0.0, 1.0)
    return Piece(f"log_softmax({a.text}, axis={axis})", shape, -2 * a.size - math.log(AXIS), 0.0)


def extremes(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) > 3:
        return None
    wider, place = w.with_axis(shape)
    a = w.expression(wider, depth)
    name = w.rng.choice(("max", "min", "logsumexp"))
    more = math.log(AXIS) if name == "logsumexp" else 0.0
    return Piece(f"{name}({a.text}, axis={w.axis_text(place, len(wider))})", shape, a.low, a.high + more)


def choice(w: MatrixWriter, shape: Shape, depth: int) -> Piece:
    a, b = w.pair(shape, depth)
    low, high = min(a.low, b.low), max(a.high, b.high)
    if w.pool.chance(0.5):
        return Piece(f"{w.rng.choice(('maximum', 'minimum'))}({a.text}, {b.text})", shape, low, high)
    c = w.pool.tensor(shape)
    return Piece(f"where({c.text} > 0.2, {a.text}, {b.text})", shape, low, high)


def linear_algebra(w: MatrixWriter, shape: Shape, _: int) -> Piece | None:
    """Inverses and determinants of inputs that are declared to have them."""
    n = w.pool.size()
    match shape:
        case (a, b) if a == b != "1":
            return Piece(f"inv({_invertible(w, a)})", shape, -5.0, 5.0)
        case (a,) if a != "1":
            return Piece(f"solve({_invertible(w, a)}, {w.pool.tensor(shape).text})", shape, -10.0, 10.0)
        case (a, b) if a != "1":
            return Piece(f"solve({_invertible(w, a)}, {w.pool.tensor(shape).text})", shape, -10.0, 10.0)
        case ():
            if w.pool.chance(0.5):
                return Piece(f"logdet({_invertible(w, n)})", (), -10.0, 10.0)
            return Piece(f"tanh(det({_invertible(w, n)}) / 64)", (), -1.0, 1.0)
    return None


def _invertible(w: MatrixWriter, n: str) -> str:
    return w.pool.new_input((n, n), "invertible").text


def triangles(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) != 2:
        return None
    a = w.expression(shape, depth)
    name, offset = w.rng.choice(("tril", "triu")), w.rng.choice(("", "", ", 1", ", -1"))
    return Piece(f"{name}({a.text}{offset})", shape, min(a.low, 0.0), max(a.high, 0.0))


def diagonals(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    match shape:
        case (a,):
            x = w.expression((a, a), depth)
            return Piece(f"diag({x.text})", shape, x.low, x.high)
        case (a, b) if a == b:
            x = w.expression((a,), depth)
            return Piece(f"diag({x.text})", shape, min(x.low, 0.0), max(x.high, 0.0))
    return None


def kronecker(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    """kron(A, B) summed over one axis, where the other is known."""
    if shape:
        return None
    a = w.expression((w.pool.size(), w.pool.size()), depth)
    b = w.expression((w.pool.size(), w.pool.size()), depth)
    c = w.pool.new_input((f"{a.shape[0]}*{b.shape[0]}", f"{a.shape[1]}*{b.shape[1]}"))
    low, high = times(Piece("", (), *times(a, b)), c)
    return Piece(f"mean(kron({a.text}, {b.text}) * {c.text})", (), low, high)


def taken(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    """Rows that an integer tensor names, or one that is given by a number."""
    if w.pool.chance(0.3) and len(shape) < 3:
        place = w.rng.randint(0, len(shape))
        a = w.expression((*shape[:place], w.pool.size(), *shape[place:]), depth)
        return Piece(f"take({a.text}, 0, axis={place})", shape, a.low, a.high)
    if not shape:
        return None
    place = w.rng.randrange(len(shape))
    v = w.pool.size()
    t = w.pool.new_integer((shape[place],), v)
    a = w.expression((*shape[:place], v, *shape[place + 1 :]), depth)
    return Piece(f"take({a.text}, {t}, axis={place})", shape, a.low, a.high)


def reshaped(w: MatrixWriter, shape: Shape, _: int) -> Piece | None:
    if len(shape) < 2:
        return None
    split = w.rng.randint(1, len(shape) - 1)
    flat = (*shape[: split - 1], "*".join(shape[split - 1 : split + 1]), *shape[split + 1 :])
    a = w.pool.tensor(flat)
    return Piece(f"reshape({a.text}, [{', '.join(shape)}])", shape, a.low, a.high)


def permuted(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if len(shape) < 2:
        return None
    order = list(range(len(shape)))
    w.rng.shuffle(order)
    inner = [""] * len(shape)
    for place, axis in enumerate(order):
        inner[axis] = shape[place]
    a = w.expression(tuple(inner), depth)
    return Piece(f"transpose({a.text}, [{', '.join(map(str, order))}])", shape, a.low, a.high)


def joined(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    """A concatenation that meets a matrix of the joint size."""
    if len(shape) != 2:
        return None
    n, m = w.pool.size(), w.pool.size()
    a, b = w.expression((shape[0], n), depth), w.expression((shape[0], m), depth)
    c = w.pool.new_input((f"{n}+{m}", shape[1]))
    both = Piece("", (), min(a.low, b.low), max(a.high, b.high))
    low, high = spread(*times(both, c), 2 * AXIS)
    return Piece(f"(concatenate([{a.text}, {b.text}], axis=1) @ {c.text})", shape, low, high)


def accumulated(w: MatrixWriter, shape: Shape, depth: int) -> Piece | None:
    if not shape:
        return None
    a = w.expression(shape, depth)
    return Piece(f"cumsum({a.text}, axis={w.rng.randrange(len(shape))})", shape, *spread(a.low, a.high, AXIS))


def convolved(w: MatrixWriter, shape: Shape, _: int) -> Piece | None:
    """A convolution along one axis, from an input that is as long as it must be."""
    if len(shape) != 3 or "1" in shape:
        return None
    n, o, p = shape
    c, r = w.pool.size(), w.pool.size()
    x, k = w.pool.tensor((n, c, f"{p}+{r}-1")), w.pool.tensor((o, c, r))
    return Piece(f"conv1d({x.text}, {k.text})", shape, *spread(*times(x, k), AXIS * AXIS))


WIDE: tuple[Make, ...] = (
    softmax, extremes, choice, linear_algebra, triangles, diagonals, kronecker, taken, reshaped, permuted,
    joined, accumulated, convolved,
)  # fmt: skip
