"""The lines of a forward program as a text gives them: named parts put in, lines in order, ranges that follow."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from pullback.verify.tree import name, text_of


def with_named_parts(lines: Sequence[str]) -> list[str]:
    """`y = W @ relu(z)` and `a = relu(z)` as `a = relu(z)`, `y = W @ a`; each line after those that it reads."""
    sides: dict[str, ast.expr] = {}
    for line in lines:
        statement = ast.parse(line).body
        if len(statement) != 1 or not isinstance(statement[0], ast.Assign):
            return list(lines)
        target = statement[0].targets[0]
        if not isinstance(target, ast.Name):
            return list(lines)
        sides[target.id] = statement[0].value
    for word, side in sides.items():
        if isinstance(side, ast.Name | ast.Constant):
            continue
        text = text_of(side)
        for other in sides:
            if other != word and other not in _reads(sides, word):
                sides[other] = _replaced(sides[other], text, word)
    ordered: list[str] = []
    while len(ordered) < len(sides):
        ready = [w for w in sides if w not in ordered and not (_words(sides[w]) & set(sides)) - set(ordered)]
        if not ready:
            return list(lines)
        ordered += ready
    return [f"{word} = {text_of(sides[word])}" for word in ordered]


def _words(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _reads(sides: Mapping[str, ast.expr], word: str) -> set[str]:
    """Every defined name that a name depends on."""
    found: set[str] = set()
    wanted = [word]
    while wanted:
        fresh = (_words(sides[wanted.pop()]) & set(sides)) - found
        found |= fresh
        wanted += fresh
    return found


def _replaced(value: ast.expr, text: str, word: str) -> ast.expr:
    class Naming(ast.NodeTransformer):
        def visit(self, found: ast.AST) -> ast.AST:
            if isinstance(found, ast.expr) and text_of(found) == text:
                return name(word)
            return self.generic_visit(found)

    result = Naming().visit(ast.parse(text_of(value), mode="eval").body)
    assert isinstance(result, ast.expr)
    return result


def followed_range(line: str, index: str, shapes: Mapping[str, Sequence[str]]) -> str | None:
    """The size of an index that stands in a slot `x[p + k]` alone: the extent of x, less that of k, and 1."""
    statement = ast.parse(line.splitlines()[-1]).body[0]
    extents: dict[str, str] = {}
    sums: list[tuple[str, str]] = []  # (the other index, the extent of the axis)
    for node in ast.walk(statement):
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            continue
        slots = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for slot, extent in zip(slots, shapes.get(node.value.id, ()), strict=False):
            match slot:
                case ast.Name(id=word):
                    extents[word] = extent
                case ast.BinOp(left=ast.Name(id=a), op=ast.Add(), right=ast.Name(id=b)) if index in (a, b):
                    sums.append((b if a == index else a, extent))
    for other, extent in sums:
        if other in extents:
            return f"{extent} - ({extents[other]}) + 1"
    return None


def unknown_range(message: str) -> str | None:
    """The index of which a reader says that its range is unknown."""
    found = re.search(r"range of index (\w+) is unknown", message)
    return found[1] if found is not None else None
