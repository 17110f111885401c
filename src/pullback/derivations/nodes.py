"""Small questions and constructions of the grammar."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final

from pullback.derivations.names import ALIASES
from pullback.functions import FUNCTIONS
from pullback.verify.tree import name

_REDUCTIONS: Final = frozenset(("sum", "mean", "max", "min", "prod"))

_LARGER: Final = {"max": "maximum", "min": "minimum"}  # of two


def is_tensor(node: ast.expr) -> bool:
    return not isinstance(node, ast.Constant | ast.Compare | ast.List)


def rooted(node: ast.expr, words: Collection[str]) -> ast.expr | None:
    """x of a node `sqrt(x)`, where x is one of these names."""
    match node:
        case ast.Call(func=ast.Name(id="sqrt"), args=[ast.Name(id=word) as x]) if word in words:
            return x
    return None


def from_one(slot: ast.expr) -> ast.expr:
    """A number under a letter counts from 1."""
    return ast.Constant(slot.value - 1) if isinstance(slot, ast.Constant) else slot  # type: ignore[operator]


def called(word: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
    function = ALIASES.get(word, word)
    if (
        function in _LARGER
        and len(arguments) == 2
        and (_is_number(arguments[0]) or not _is_axis(arguments[1]))
    ):
        return ast.Call(name(_LARGER[function]), arguments, keywords)  # max(0, x)
    if function in _REDUCTIONS and len(arguments) == 2:
        keywords = [*keywords, ast.keyword("axis", arguments.pop())]
    return ast.Call(name(function), arguments, keywords)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def _is_axis(node: ast.expr) -> bool:
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(inner, ast.Constant) and isinstance(inner.value, int)


def base_and_slots(node: ast.expr) -> tuple[ast.expr, list[ast.expr]]:
    if isinstance(node, ast.Subscript):
        return node.value, node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return node, []


def with_slots(base: ast.expr, slots: list[ast.expr]) -> ast.expr:
    if not slots:
        return base
    return ast.Subscript(base, slots[0] if len(slots) == 1 else ast.Tuple(slots, ast.Load()), ast.Load())


def column(node: ast.expr) -> ast.expr:
    """A transposed vector that is no factor of a product is that vector."""
    return node.value if isinstance(node, ast.Attribute) and node.attr == "ᵀ" else node


def merged(node: ast.expr) -> ast.expr:
    """Σ_i Σ_j as one sum over i and j, everywhere."""

    class Merging(ast.NodeTransformer):
        def visit_Call(self, found: ast.Call) -> ast.AST:
            self.generic_visit(found)
            match found:
                case ast.Call(
                    args=[ast.List(elts=outer), ast.Call(args=[ast.List(elts=inner), body]) as below]
                ):
                    if is_sum(found) and is_sum(below):
                        return ast.Call(found.func, [ast.List([*outer, *inner], ast.Load()), body], [])
            return found

    result: ast.expr = Merging().visit(node)
    return result


def is_sum(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Σ"


def is_derivative(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "∂"


def has_sum(node: ast.expr) -> bool:
    return any(is_sum(part) for part in ast.walk(node) if isinstance(part, ast.expr))


def is_additive(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from in_order(child)


def applies_function(*sides: ast.expr) -> bool:
    """Whether the sides hold a function of one number, and no product of matrices that would make a row."""
    parts = [part for side in sides for part in ast.walk(side)]
    if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.MatMult) for part in parts):
        return False
    return any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in FUNCTIONS
        for part in parts
    )
