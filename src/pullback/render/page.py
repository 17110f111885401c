"""What stands on a page, without its form: headings, sentences, chains of equalities, matrices, code.

Named tuples, because a dozen dataclasses would take five times as long to define at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pullback.expression import Access, Equation, Expr, Tensor, num
from pullback.rewriting import Line, Status

MARKS = {"exact": "✓", "numerical": "≈", "unknown": "?", "unchecked": ""}
ASCII_MARKS = {"exact": "ok", "numerical": "~", "unknown": "?", "unchecked": ""}


class Shape(NamedTuple):
    """Sizes, printed as N×D, or as their product N·D."""

    sizes: tuple[Expr, ...]
    multiplied: bool = False


class Source(NamedTuple):
    """A fragment in the language, within a sentence: `dX = dY @ W.T`."""

    text: str


Piece = str | Expr | Equation | Shape | Source
Words = tuple[Piece, ...]


class Heading(NamedTuple):
    level: int
    words: Words


class Paragraph(NamedTuple):
    words: Words
    status: Status = "unchecked"


class Row(NamedTuple):
    """One line of a chain; rows with the left side of the row above continue it with `=`."""

    line: Line
    note: str = ""
    status: Status = "unchecked"


class Chain(NamedTuple):
    title: str
    rows: tuple[Row, ...]


class Program(NamedTuple):
    """Lines of the language: the forward program as it was written (`given`), or formulas.

    `rows` say the same as equations: a line of index notation with its sums written.
    """

    lines: tuple[str, ...]
    rows: tuple[Row, ...]
    given: bool = False


class Grid(NamedTuple):
    """A matrix written out entry by entry; a row vector has one row."""

    rows: tuple[tuple[Expr, ...], ...]


class Display(NamedTuple):
    """Matrices and numbers side by side, joined by signs: `∂Y/∂x = (…) · (…)`."""

    parts: tuple[Expr | Grid | str, ...]


Block = Heading | Paragraph | Chain | Program | Display


class Page(NamedTuple):
    blocks: tuple[Block, ...]
    counts_from_one: bool = True
    ranks: tuple[tuple[str, int], ...] = ()  # of every tensor that a line in matrix notation may name


def whole(name: str) -> Access:
    """A tensor as a whole, for a sentence: its name alone."""
    return Access(Tensor(name, ()), ())


def entry_of(name: str, place: Sequence[int]) -> Access:
    """One entry of a written-out tensor, counted from 1: x_{1,2}."""
    return Access(Tensor(name, ()), tuple(num(k) for k in place))
