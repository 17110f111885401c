"""Convolutions in index notation: terms whose places are joined by h = stride · o + dilation · t - padding.

Of the three tensors input[h], kernel[t] and output[o] one stands on the left; a bracket says where its place stays
inside. A term is read as one of the three only where every slot, extent and bracket fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pullback.affine import Polynomial, difference, expression, not_negative, polynomial, solve
from pullback.expression import (
    MINUS_ONE,
    ZERO,
    Access,
    Bracket,
    Call,
    Expr,
    Index,
    Num,
    add,
    call,
    flattened,
    free,
    mul,
    neg,
    num,
    tensors,
)
from pullback.sizes import normal_size, same_size


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of space: h = stride · o + dilation · t - padding, and how far each of the three runs."""

    sizes: tuple[Expr, Expr, Expr]  # of the input, the kernel and the output
    stride: Expr
    dilation: Expr
    padding: Expr

    def fits(self) -> bool:
        """Whether the output has the length that a convolution gives it, and nothing is cut off by its padding."""
        size, taps, out = self.sizes
        reach = normal_size(mul(self.dilation, add(taps, MINUS_ONE)))
        room = normal_size(add(size, mul(num(2), self.padding), neg(reach), MINUS_ONE))
        return same_size(normal_size(add(call("floordiv", room, self.stride), num(1))), out)


@dataclass(frozen=True, slots=True)
class Parts:
    """A product under a sum: its numbers, its entries of tensors, and its brackets of indices."""

    numbers: tuple[Expr, ...]
    entries: tuple[Access, ...]
    brackets: tuple[Bracket, ...]
    bound: tuple[Index, ...]


def parts_of(term: Expr) -> Parts | None:
    """The pieces of a term, None where it holds anything else."""
    bound, factors = flattened(term)
    numbers = tuple(f for f in factors if not free(f) and not tensors(f))
    entries = tuple(f for f in factors if isinstance(f, Access) and f not in numbers)
    brackets = tuple(f for f in factors if isinstance(f, Bracket) and not tensors(f) and f not in numbers)
    names = [index.name for index in bound]
    if len(numbers) + len(entries) + len(brackets) < len(factors) or len(set(names)) < len(names):
        return None
    return Parts(numbers, entries, brackets, tuple(bound))


# ---- the place of a tap ------------------------------------------------------------------------


class Guards:
    """The brackets of a term: what each says is not negative, and the two sides of equations."""

    def __init__(self, brackets: Sequence[Bracket]) -> None:
        self.equal = [_plain(difference(b.left, b.right)) for b in brackets if b.relation == "=="]
        self.bounds = [_bound(b) for b in brackets if b.relation in ("<=", "<")]
        self.known = len(self.equal) + len(self.bounds) == len(brackets)
        self.indices = [index for bracket in brackets for index in free(bracket)]

    def other_sides(self, slot: Expr) -> list[Polynomial]:
        """What an index equals by one of the equations."""
        if not isinstance(slot, Index):
            return []
        solved = [solve(expression(e), ZERO, slot) for e in self.equal]
        return [place(value) for value in solved if value is not None]

    def only_bound(self, places: Iterable[tuple[Polynomial, Expr]], used: int) -> bool:
        """Whether every bracket says that a place stays in its range, but for the equations that were used."""
        allowed: list[Polynomial] = []
        for place, size in places:
            allowed += [place, _plain(difference(add(size, MINUS_ONE), expression(place)))]
        return self.known and used == len(self.equal) and all(bound in allowed for bound in self.bounds)


def _bound(bracket: Bracket) -> Polynomial:
    gap = add(bracket.right, neg(bracket.left))
    return _plain(polynomial(add(gap, MINUS_ONE) if bracket.relation == "<" else gap))


def _plain(p: Polynomial) -> Polynomial:
    """The polynomial without indices that are always 0, `i // 1` and `i % 1`."""
    result: Polynomial = {}
    for monomial, c in p.items():
        if any(_is_zero(atom) for atom in monomial):
            continue
        atoms = tuple(_undivided(atom) for atom in monomial)
        result[atoms] = result.get(atoms, Fraction(0)) + c
    return {monomial: c for monomial, c in result.items() if c}


def _is_zero(atom: Expr) -> bool:
    match atom:
        case Index(_, Num(size)):
            return size == 1
        case Call("mod", (_, Num(size))):
            return size == 1
    return False


def _undivided(atom: Expr) -> Expr:
    match atom:
        case Call("floordiv", (value, Num(size))) if size == 1:
            return value
    return atom


def place(e: Expr) -> Polynomial:
    """An index expression, in a form that is equal for equal ones."""
    return _plain(polynomial(e))


def joined(
    at: tuple[Polynomial, Polynomial, Polynomial], sizes: tuple[Expr, Expr, Expr], guards: Guards
) -> tuple[Axis, bool] | None:
    """The axis whose input, kernel and output are read at these places, and whether an equation joins them."""
    h, t, o = at
    for equation in ({}, *guards.equal, *(_times(e, -1) for e in guards.equal)):
        for stride, dilation in _steps(h, t, o, equation):
            rest = _sum(h, _times(o, stride, -1), _times(t, dilation, -1), equation)
            padding = _times(rest, -1)
            whole = all(not free(atom) for monomial in padding for atom in monomial)
            axis = Axis(sizes, expression(stride), expression(dilation), expression(padding))
            if whole and not_negative(axis.padding) and axis.fits():
                return axis, bool(equation)
    return None


def _steps(
    h: Polynomial, t: Polynomial, o: Polynomial, equation: Polynomial
) -> list[tuple[Polynomial, Polynomial]]:
    """Candidates for stride and dilation, positive numbers or sizes."""
    one: Polynomial = {(): Fraction(1)}
    total = _sum(h, equation)
    found = []
    output, tap, source = _alone(o), _alone(t), _alone(h)
    if output is not None and tap is not None:
        found.append((_coefficient(total, output), _coefficient(total, tap)))
    if output is not None and source is not None:
        found.append((_times(_coefficient(t, output), -1), one))
    if tap is not None and source is not None:
        found.append((one, _times(_coefficient(o, tap), -1)))
    if tap is None and t == {} and output is not None:  # a kernel of one tap
        found.append((_coefficient(total, output), one))
    return [pair for pair in found if all(p and not_negative(add(expression(p), MINUS_ONE)) for p in pair)]


def _alone(p: Polynomial) -> Index | None:
    """The index that the polynomial is."""
    if len(p) == 1:
        ((monomial, c),) = p.items()
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Index):
            return monomial[0]
    return None


def _coefficient(p: Polynomial, index: Index) -> Polynomial:
    """What the index is multiplied by."""
    return {
        tuple(atom for atom in monomial if atom is not index): c
        for monomial, c in p.items()
        if monomial.count(index) == 1
    }


def _sum(*parts: Polynomial) -> Polynomial:
    return polynomial(add(*(expression(p) for p in parts)))


def _times(p: Polynomial, *factors: Polynomial | int) -> Polynomial:
    values = [num(f) if isinstance(f, int) else expression(f) for f in factors]
    return polynomial(mul(expression(p), *values))
