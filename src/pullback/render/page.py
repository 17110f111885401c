"""What stands on a page, without its form: headings, sentences, chains of equalities, matrices, code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback.expression import Access, Equation, Expr, Tensor, num
from pullback.rewriting import Line, Status

MARKS = {"exact": "✓", "numerical": "≈", "unknown": "?", "unchecked": ""}
ASCII_MARKS = {"exact": "ok", "numerical": "~", "unknown": "?", "unchecked": ""}


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes, printed as N×D, or as their product N·D."""

    sizes: tuple[Expr, ...]
    multiplied: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A fragment in the language, within a sentence: `dX = dY @ W.T`."""

    text: str


Piece = str | Expr | Equation | Shape | Source
Words = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    words: Words


@dataclass(frozen=True, slots=True)
class Paragraph:
    words: Words
    status: Status = "unchecked"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a chain; rows with the left side of the row above continue it with `=`."""

    line: Line
    note: str = ""
    status: Status = "unchecked"


@dataclass(frozen=True, slots=True)
class Chain:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Lines of the language: the forward program as it was written (`given`), or formulas.

    `rows` say the same as equations: a line of index notation with its sums written.
    """

    lines: tuple[str, ...]
    rows: tuple[Row, ...]
    given: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix written out entry by entry; a row vector has one row."""

    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class Display:
    """Matrices and numbers side by side, joined by signs: `∂Y/∂x = (…) · (…)`."""

    parts: tuple[Expr | Grid | str, ...]


Block = Heading | Paragraph | Chain | Program | Display


@dataclass(frozen=True, slots=True)
class Page:
    blocks: tuple[Block, ...]
    counts_from_one: bool = True
    ranks: tuple[tuple[str, int], ...] = ()  # of every tensor that a line in matrix notation may name


def whole(name: str) -> Access:
    """A tensor as a whole, for a sentence: its name alone."""
    return Access(Tensor(name, ()), ())


def entry_of(name: str, place: Sequence[int]) -> Access:
    """One entry of a written-out tensor, counted from 1: x_{1,2}."""
    return Access(Tensor(name, ()), tuple(num(k) for k in place))
