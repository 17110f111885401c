"""Small questions and constructions of the grammar."""

from __future__ import annotations

import ast
from typing import Final

from pullback.derivations.names import ALIASES
from pullback.verify.tree import name

_REDUCTIONS: Final = frozenset(("sum", "mean", "max", "min", "prod"))


def is_tensor(node: ast.expr) -> bool:
    return not isinstance(node, ast.Constant | ast.Compare | ast.List)


def from_one(slot: ast.expr) -> ast.expr:
    """A number under a letter counts from 1."""
    return ast.Constant(slot.value - 1) if isinstance(slot, ast.Constant) else slot  # type: ignore[operator]


def called(word: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
    function = ALIASES.get(word, word)
    if function in _REDUCTIONS and len(arguments) == 2:
        keywords = [*keywords, ast.keyword("axis", arguments.pop())]
    return ast.Call(name(function), arguments, keywords)
