"""A derivation for the terminal: Unicode, or ASCII alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace as replace_fields
from typing import Final, NamedTuple

from pullback.derivation import Derived, Report
from pullback.errors import printable
from pullback.expression import Access, Equation, Expr, Num, Tensor, replace
from pullback.notation import ASCII, UNICODE, Style, show, show_equation
from pullback.render.contents import Detail, contents
from pullback.render.names import ascii_text
from pullback.render.page import (
    ASCII_MARKS,
    MARKS,
    Block,
    Chain,
    Display,
    Grid,
    Heading,
    Page,
    Paragraph,
    Piece,
    Program,
    Row,
    Shape,
    Source,
    Words,
)
from pullback.render.remarks import shape_words
from pullback.rewriting import MatrixLine, ShapeLine, Status
from pullback.sizes import size_text

# In ASCII a derivative is set apart from the gradient dY by a blank: d Y[n,m]/d W[i,j].
APART: Final = replace_fields(ASCII, partial="d ")
PAGE_WIDTH: Final = 100
MIN_WIDTH: Final = 40
CONTINUATION: Final = 4
_SUBSCRIPTS: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def text(
    derived: Derived,
    report: Report | None,
    formulas: Mapping[str, Sequence[str]] | None = None,
    *,
    steps: Detail = "all",
    ascii: bool = False,
    sizes: Mapping[str, int] | None = None,
    width: int = PAGE_WIDTH,
) -> str:
    """The page as plain text, at most `width` columns wide where its formulas allow it.

    `formulas` are the program lines of each result of another derivative than the gradients, whose lines are
    one program. With `sizes`, costs are numbers, and small
    tensors are written out entry by entry.
    """
    page = contents(derived, report, formulas, steps=steps, sizes=sizes)
    shown = TextForm(ascii, max(width, MIN_WIDTH)).page(page)
    return ascii_text(shown) if ascii else shown


class TextForm(NamedTuple):
    """How blocks are set in characters."""

    ascii: bool
    width: int

    @property
    def style(self) -> Style:
        return APART if self.ascii else UNICODE

    def page(self, page: Page) -> str:
        parts: list[str] = []
        inside = False  # a section about one operand, whose sentences are set in like its formulas
        for block in page.blocks:
            if isinstance(block, Heading):
                inside = block.level >= 3
            lines = self.block(block)
            margin = "  " if inside and isinstance(block, Paragraph) else ""
            if lines:
                parts.append("\n".join((margin + line).rstrip() for line in lines))
        return "\n\n".join(parts) + "\n"

    def block(self, block: Block) -> list[str]:
        match block:
            case Heading(level, words):
                return self.heading(level, self.words(words))
            case Paragraph(words, status):
                return self.paragraph(self.words(words), status)
            case Program(lines):
                return [f"    {printable(line)}" for line in lines]
            case Chain(title, rows):
                return [f"  {title}", *self.chain(rows)]
            case Display(parts):
                return self.display(parts)

    def heading(self, level: int, title: str) -> list[str]:
        if level >= 3:
            return [f"{title}", ("·" if not self.ascii else ".") * len(title)]
        rule = {1: "═", 2: "─"}[level] if not self.ascii else {1: "=", 2: "-"}[level]
        return [title, rule * len(title)]

    def paragraph(self, sentence: str, status: Status) -> list[str]:
        mark = self.mark(status)
        first = f"{mark} " if mark else ""
        return textwrap.wrap(
            sentence,
            self.width - 2,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        )

    def mark(self, status: Status) -> str:
        return (ASCII_MARKS if self.ascii else MARKS)[status]

    # ---- sentences --------------------------------------------------------------------------

    def words(self, words: Words) -> str:
        return "".join(self.piece(piece) for piece in words)

    def piece(self, piece: Piece) -> str:
        match piece:
            case str():
                return printable(piece)
            case Equation():
                return show_equation(piece, self.style)
            case Shape(sizes, multiplied):
                return self.shape(sizes, multiplied)
            case Source(source):
                return printable(source)
        return self.expression(piece)

    def shape(self, sizes: Sequence[Expr], multiplied: bool) -> str:
        times = ("*" if multiplied else "x") if self.ascii else ("·" if multiplied else "×")
        texts = [size_text(size) for size in sizes]
        if len(texts) == 1:
            return texts[0]
        return times.join(f"({t})" if "+" in t or "-" in t else t for t in texts) or "1"

    # ---- chains of equalities ----------------------------------------------------------------

    def chain(self, rows: Sequence[Row]) -> list[str]:
        """Rows under each other at the sign `=`, a note beside or below, the mark at the right margin."""
        lines: list[str] = []
        margin = 6
        before: object = None
        indent = 0
        for row in rows:
            left, right = self.sides(row)
            if isinstance(row.line, Equation) and row.line.left is before:
                left = " " * indent
            else:
                before, indent = getattr(row.line, "left", None), len(left)
            formula = " " * margin + (f"{left} = {right}" if left.strip() or indent else right)
            lines += self.row(formula, printable(row.note), self.mark(row.status), margin + indent + 3)
        return lines

    def sides(self, row: Row) -> tuple[str, str]:
        match row.line:
            case Equation(left, right):
                return show(left, self.style), show(right, self.style)
            case MatrixLine(target, source):
                return printable(target), printable(source)
            case ShapeLine() as line:
                return "", self.words(shape_words(line))

    def row(self, formula: str, note: str, mark: str, indent: int) -> list[str]:
        room = self.width - 4
        if note and len(formula) + 4 + len(note) <= room:
            return [self.at_margin(f"{formula}    {note}", mark)]
        below = (
            [f"{' ' * indent}{line}" for line in textwrap.wrap(note, max(20, room - indent))] if note else []
        )
        return [self.at_margin(formula, mark), *below]

    def at_margin(self, line: str, mark: str) -> str:
        if not mark:
            return line
        return f"{line:<{self.width - len(mark) - 1}} {mark}"

    # ---- matrices ---------------------------------------------------------------------------

    def expression(self, e: Expr) -> str:
        return show(replace(e, self.spelt), self.style)

    def spelt(self, e: Expr) -> Expr | None:
        """x[1,2] as x₁,₂: an entry that is written out carries its place in its name."""
        match e:
            case Access(tensor, slots) if slots and all(isinstance(slot, Num) for slot in slots):
                place = ",".join(str(slot.value) for slot in slots if isinstance(slot, Num))
                name = f"{tensor.name}_{place}" if self.ascii else tensor.name + place.translate(_SUBSCRIPTS)
                return Access(Tensor(name, ()), ())
        return None

    def display(self, parts: Sequence[Expr | Grid | str]) -> list[str]:
        """Boxes side by side; where they are too wide, a new line before each sign."""
        boxes = [self.box(part) for part in parts]
        if 4 + _width(boxes) <= self.width:
            return [f"    {line}" for line in beside(boxes)]
        lines: list[str] = []
        line: list[list[str]] = []
        for segment in segments(parts):
            new = [self.box(part) for part in segment]
            if line and 4 + _width([*line, *new]) > self.width:
                lines += [f"    {row}" for row in beside(line)]
                line = [[" " * CONTINUATION]]
            line += new
        return lines + [f"    {row}" for row in beside(line)]

    def box(self, part: Expr | Grid | str) -> list[str]:
        match part:
            case str():
                return ["*" if part == "·" and self.ascii else part]
            case Grid(rows):
                return self.grid(rows)
        return [self.expression(part)]

    def grid(self, rows: Sequence[Sequence[Expr]]) -> list[str]:
        cells = [[self.expression(cell) for cell in row] for row in rows]
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in cells]
        return [
            left + line + right for line, (left, right) in zip(lines, self.fences(len(lines)), strict=True)
        ]

    def fences(self, height: int) -> list[tuple[str, str]]:
        if self.ascii or height == 1:
            return [("[ ", " ]")] * height
        return [("⎡ ", " ⎤"), *([("⎢ ", " ⎥")] * (height - 2)), ("⎣ ", " ⎦")]


def segments(parts: Sequence[Expr | Grid | str]) -> list[list[Expr | Grid | str]]:
    """The parts, cut before each sign."""
    result: list[list[Expr | Grid | str]] = []
    for part in parts:
        if isinstance(part, str) or not result:
            result.append([])
        result[-1].append(part)
    return result


def _width(boxes: Sequence[Sequence[str]]) -> int:
    return sum(max(len(line) for line in box) + 1 for box in boxes)


def beside(boxes: Sequence[Sequence[str]]) -> list[str]:
    """Boxes of lines next to each other, each centred on the tallest."""
    height = max(len(box) for box in boxes)
    padded = []
    for box in boxes:
        above = (height - len(box)) // 2
        width = max(len(line) for line in box)
        rows = [""] * above + list(box) + [""] * (height - len(box) - above)
        padded.append([row.ljust(width) for row in rows])
    return [" ".join(row) for row in zip(*padded, strict=True)]
