r"""A derivation in LaTeX: sentences, and formulas in `\[ … \]`, for a document that loads amsmath.

MathJax and KaTeX typeset every formula in it as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pullback.derivation import Derived, Report
from pullback.render.contents import Detail, contents
from pullback.render.mathematics import MathForm
from pullback.render.names import latex_prose
from pullback.render.page import Block, Chain, Display, Heading, Paragraph, Program, Words

HEADINGS: Final = {1: "section*", 2: "subsection*", 3: "subsubsection*"}


def latex(
    derived: Derived,
    report: Report | None,
    formulas: Mapping[str, Sequence[str]] | None = None,
    *,
    steps: Detail = "all",
    sizes: Mapping[str, int] | None = None,
) -> str:
    """The page as a fragment of LaTeX; it needs amsmath and nothing else."""
    page = contents(derived, report, formulas, steps=steps, sizes=sizes)
    form = MathForm.of(page)
    return "\n\n".join(_block(block, form) for block in page.blocks) + "\n"


def _block(block: Block, form: MathForm) -> str:
    match block:
        case Heading(level, words):
            return rf"\{HEADINGS[level]}{{{_words(words, form)}}}"
        case Paragraph(words, _):
            return _words(words, form)
        case Program(_, rows):
            return displayed(form.chain(rows))
        case Chain(title, rows):
            return f"{latex_prose(title)}:\n{displayed(form.chain(rows))}"
        case Display(parts):
            return displayed(form.display(parts))


def _words(words: Words, form: MathForm) -> str:
    return "".join(
        latex_prose(piece) if isinstance(piece, str) else rf"\({form.piece(piece)}\)" for piece in words
    )


def displayed(formula: str) -> str:
    return f"\\[\n{formula}\n\\]"
