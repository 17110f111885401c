"""What random programs are made of: pieces of text with shapes and bounds, and the tensors that they read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[str, ...]

SIZES = ("N", "D", "M", "K")
INPUTS = ("A", "B", "C", "E", "F", "G", "U", "V", "W", "X", "Z")
LARGEST = 30.0  # the absolute value at which a piece is tamed
SMALLEST = 0.2  # what may stand below a line, or under a logarithm or root
AXIS = 6  # no axis is longer when a sum over one is bounded


@dataclass(frozen=True, slots=True)
class Piece:
    """An expression that needs no parentheses, its shape, and bounds that its values keep to, roughly."""

    text: str
    shape: Shape
    low: float
    high: float

    @property
    def is_positive(self) -> bool:
        return self.low >= SMALLEST

    @property
    def size(self) -> float:
        return max(abs(self.low), abs(self.high))


@dataclass(slots=True)
class Pool:
    """The tensors of a program that is being written, and a source of chance."""

    rng: random.Random
    rational: bool
    wide: bool = False
    shapes: dict[str, Shape] = field(default_factory=dict)  # of inputs, and of defined tensors
    declared: dict[str, Shape] = field(default_factory=dict)
    integers: dict[str, tuple[Shape, str]] = field(default_factory=dict)
    assume: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    letters: set[str] = field(default_factory=set)  # indices of the lines so far
    unread: list[str] = field(default_factory=list)  # defined tensors that no line has read

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def size(self) -> str:
        return self.rng.choice(SIZES)

    def shape(self, most: int = 3) -> Shape:
        """A shape with now and then a repeated size and an axis of size 1."""
        rank = min(most, self.rng.choice((0, 1, 1, 2, 2, 2, 2, 3, 4)))
        return tuple("1" if self.chance(0.05) else self.size() for _ in range(rank))

    def _new_name(self, taken: Mapping[str, object]) -> str:
        k = len(taken)
        free = [name for name in INPUTS if name not in taken]
        return self.rng.choice(free) if free else f"X{k}"

    def new_input(self, shape: Shape, fact: str = "") -> Piece:
        name = self._new_name(self.shapes)
        self.shapes[name] = self.declared[name] = shape
        if fact:
            self.assume[name] = fact
        self.bounds[name] = (0.5, 2.0) if fact == "positive" else (-3.0, 3.0)
        return self.read(name)

    def read(self, name: str) -> Piece:
        if name in self.unread:
            self.unread.remove(name)
        return Piece(name, self.shapes[name], *self.bounds[name])

    def tensor(self, shape: Shape, *, positive: bool = False) -> Piece:
        """A tensor of the shape: one that nobody has read yet, an old one, or a new input."""
        fits = [n for n, s in self.shapes.items() if s == shape and (not positive or self.bounds[n][0] > 0)]
        waiting = [name for name in fits if name in self.unread]
        if waiting:
            return self.read(self.rng.choice(waiting))
        if fits and (self.chance(0.6) or len(self.shapes) > len(INPUTS)):
            return self.read(self.rng.choice(fits))
        fact = "positive" if positive or (not self.rational and self.chance(0.25)) else ""
        return self.new_input(shape, fact)

    def new_integer(self, shape: Shape, values: str) -> str:
        for name, known in self.integers.items():
            if known == (shape, values):
                return name
        name = f"t{len(self.integers) + 1}"
        self.integers[name] = (shape, values)
        return name

    def define(self, name: str, piece: Piece) -> None:
        self.shapes[name] = piece.shape
        self.bounds[name] = (piece.low, piece.high)
        self.unread.append(name)


def spread(low: float, high: float, factor: float) -> tuple[float, float]:
    """Bounds of a sum over up to `factor` entries, each within the given ones."""
    return (low if low >= 0 else low * factor), (high * factor if high >= 0 else high)


def times(a: Piece, b: Piece) -> tuple[float, float]:
    ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return min(ends), max(ends)


def tamed(piece: Piece, rational: bool) -> Piece:
    """The piece, or one that is squashed where it may have grown large."""
    if piece.size <= LARGEST:
        return piece
    if rational or piece.low > 0:
        by = 2 ** max(1, int(piece.size / LARGEST).bit_length())
        return Piece(f"({piece.text} / {by})", piece.shape, piece.low / by, piece.high / by)
    return Piece(f"tanh({piece.text})", piece.shape, -1.0, 1.0)


def above_zero(piece: Piece) -> Piece:
    """The piece where it is well above zero, else one that is."""
    if piece.is_positive:
        return piece
    return Piece(f"({piece.text}**2 + 1)", piece.shape, 1.0, piece.size**2 + 1)
