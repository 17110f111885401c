"""The last resort of a search: the side as it was derived, where little of the claim is different."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final

from pullback.errors import PullbackError
from pullback.expression import Tensor
from pullback.formula import Spelling, gradient_program, index_statements
from pullback.verify.setting import Setting
from pullback.verify.tree import exchanged, text_of
from pullback.verify.vocabulary import Known

MOST_CHANGED: Final = 18  # tokens
OPERATORS: Final = "()[]{},*@/+-<>=."


def derived_lines(
    setting: Setting, wrt: Tensor, known: Known, last: ast.stmt, *, indexed: bool
) -> Iterator[str]:
    """The last line of a claim as it was derived, in its own notation."""
    if not isinstance(last, ast.Assign | ast.Expr):
        return
    written = text_of(last)
    # An index that never stands alone has no range in a line: then the matrix form is left.
    for text in (
        *(_indexed(setting, wrt, last) if indexed else ()),
        *_matrix(known, setting.target(wrt), last),
    ):
        if 0 < changed(written, text) <= MOST_CHANGED:
            yield text


def _matrix(known: Known, target: str, last: ast.Assign | ast.Expr) -> Iterator[str]:
    side = known.derived_side()
    if side is not None:
        value = text_of(side)
        yield f"{target} = {value}" if isinstance(last, ast.Assign) else value


def _indexed(setting: Setting, wrt: Tensor, last: ast.Assign | ast.Expr) -> Iterator[str]:
    if setting.program.by_name.get(wrt.name) is not wrt:
        return
    try:
        derived = setting.derived(wrt)
        if len(gradient_program(derived, [wrt.name])) == 1:
            made = next(d for d in derived.backward if d.tensor.name == f"d{wrt.name}")
            statements = index_statements(made, Spelling(derived))
            if len(statements) == 1:
                yield _in_its_indices(str(statements[0]), last)
    except PullbackError:
        return


def _in_its_indices(text: str, last: ast.Assign | ast.Expr) -> str:
    """The line with the indices that the claim has on its left side."""
    line = ast.parse(text).body[0]
    for mine, other in zip(_slots(line), _slots(last), strict=False):
        if mine != other:
            line = exchanged(line, mine, other)
    return text_of(line)


def _slots(line: ast.stmt) -> list[str]:
    target = line.targets[0] if isinstance(line, ast.Assign) else None
    return (
        [n.id for n in ast.walk(target.slice) if isinstance(n, ast.Name)]
        if isinstance(target, ast.Subscript)
        else []
    )


def changed(before: str, after: str) -> int:
    """How many tokens one text has that the other has not.

    >>> changed("X / norm(X)", "sign(X)")
    3
    """
    a, b = (_tokens(text) for text in (before, after))
    kept = sum(block.size for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
    return max(len(a), len(b)) - kept


def _tokens(text: str) -> list[str]:
    for sign in OPERATORS:
        text = text.replace(sign, f" {sign} ")
    return text.split()
