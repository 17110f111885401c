"""A derivation in Markdown: headings, `$$` blocks, and the programs as code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pullback.derivation import Derived, Report
from pullback.errors import printable
from pullback.render.contents import Detail, contents
from pullback.render.mathematics import MathForm
from pullback.render.page import MARKS, Block, Chain, Display, Heading, Paragraph, Program, Words


def markdown(
    derived: Derived,
    report: Report | None,
    formulas: Mapping[str, Sequence[str]] | None = None,
    *,
    steps: Detail = "all",
    sizes: Mapping[str, int] | None = None,
) -> str:
    """The page in Markdown, with formulas for MathJax or KaTeX."""
    page = contents(derived, report, formulas, steps=steps, sizes=sizes)
    form = MathForm.of(page)
    return "\n\n".join(_block(block, form) for block in page.blocks) + "\n"


def _block(block: Block, form: MathForm) -> str:
    match block:
        case Heading(level, words):
            return f"{'#' * level} {_words(words, form)}"
        case Paragraph(words, status):
            mark = MARKS[status]
            return f"{mark} {_words(words, form)}" if mark else _words(words, form)
        case Program(lines, _, True):
            return code_block(lines)
        case Program(lines, rows):
            return f"{displayed(form.chain(rows))}\n\n{code_block(lines)}"
        case Chain(title, rows):
            return f"**{escaped(title)}**\n\n{displayed(form.chain(rows))}"
        case Display(parts):
            return displayed(form.display(parts))


def _words(words: Words, form: MathForm) -> str:
    return "".join(escaped(piece) if isinstance(piece, str) else f"${form.piece(piece)}$" for piece in words)


def escaped(text: str) -> str:
    r"""Prose in which nothing is read as markup.

    >>> escaped("a*b_c <x>")
    'a\\*b\\_c \\<x\\>'
    """
    return re.sub(r"([\\`*_{}\[\]<>#|$~&])", r"\\\1", printable(text))


def displayed(formula: str) -> str:
    return f"$$\n{formula}\n$$"


def code_block(lines: Sequence[str]) -> str:
    """The lines fenced off, by more backticks than occur in them."""
    text = "\n".join(printable(line) for line in lines)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{text}\n{fence}"
