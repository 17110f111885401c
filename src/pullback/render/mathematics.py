"""The blocks of a page in LaTeX's math mode, for LaTeX and Markdown alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pullback.expression import Equation, Expr
from pullback.render.latex_expression import Counting, latex, latex_shape
from pullback.render.latex_source import latex_text
from pullback.render.names import latex_name, math_text
from pullback.render.page import Grid, Page, Piece, Row, Shape, Source
from pullback.rewriting import Line, MatrixLine, ShapeLine

SIGNS: Final = {"·": r"\cdot", "=": "="}
MAX_COLUMNS: Final = 10  # of amsmath's pmatrix


class MathForm(NamedTuple):
    """How mathematics is spelt on one page."""

    counting: Counting
    ranks: Mapping[str, int]

    @classmethod
    def of(cls, page: Page) -> MathForm:
        return cls(Counting(page.counts_from_one), dict(page.ranks))

    def piece(self, piece: Piece) -> str:
        """A formula within a sentence; prose becomes text."""
        match piece:
            case str():
                return math_text(piece)
            case Equation(left, right):
                return f"{latex(left, self.counting)} = {latex(right, self.counting)}"
            case Shape(sizes, multiplied):
                return product_of(sizes) if multiplied else latex_shape(sizes)
            case Source(source):
                return latex_text(source, self.ranks)
        return latex(piece, self.counting)

    def sides(self, line: Line) -> tuple[str, str]:
        """What stands left and right of the sign `=`."""
        match line:
            case Equation(left, right):
                return latex(left, self.counting), latex(right, self.counting)
            case MatrixLine(target, source):
                return (latex_text(target, self.ranks) if target else ""), latex_text(source, self.ranks)
            case ShapeLine(factors, result, target):
                product = r"\,".join(f"({latex_shape(factor)})" for factor in factors)
                words = rf"{latex_shape(result)} \text{{, the shape of }} {latex_name(target)}"
                return product, words

    def line(self, line: Line) -> str:
        """One line by itself."""
        left, right = self.sides(line)
        return f"{left} = {right}" if left else right

    def chain(self, rows: Sequence[Row]) -> str:
        """Rows aligned at the sign `=`; a row with the left side of the row above continues it."""
        lines = []
        above = ""
        for row in rows:
            left, right = self.sides(row.line)
            sign = "&=" if left else "&"
            shown = f"{guarded('' if left == above else left)} {sign} {right}".lstrip()
            lines.append(shown + self.remark(row))
            above = left
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def remark(self, row: Row) -> str:
        """The note and the status, each in a column of its own."""
        status = "" if row.status == "unchecked" else row.status
        if not row.note and not status:
            return ""
        note = f" && {math_text(row.note)}" if row.note else " &&"
        return note + (rf" && {{\scriptstyle\text{{{status}}}}}" if status else "")

    def display(self, parts: Sequence[Expr | Grid | str]) -> str:
        return " ".join(self.part(part) for part in parts)

    def part(self, part: Expr | Grid | str) -> str:
        match part:
            case str():
                return SIGNS.get(part, math_text(part))
            case Grid(rows):
                return self.grid(rows)
        return latex(part, self.counting)

    def grid(self, rows: Sequence[Sequence[Expr]]) -> str:
        cells = [" & ".join(guarded(latex(cell, self.counting)) for cell in row) for row in rows]
        body = " \\\\ ".join(cells)
        columns = len(rows[0])
        if columns <= MAX_COLUMNS:
            return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"
        return rf"\left(\begin{{array}}{{{'c' * columns}}} {body} \end{{array}}\right)"


def product_of(sizes: Sequence[Expr]) -> str:
    factors = []
    for size in sizes:
        shown = latex(size)
        factors.append(f"({shown})" if " + " in shown or " - " in shown else shown)
    return r" \cdot ".join(factors) or "1"


def guarded(latex_of_cell: str) -> str:
    r"""A cell that cannot be taken for the optional argument of the `\\` before it."""
    return "{}" + latex_of_cell if latex_of_cell.startswith("[") else latex_of_cell
