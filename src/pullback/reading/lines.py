"""What a line is, before it is read: its target, its names, and which of the two notations it is in."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from pullback.reading.context import CONSTANTS
from pullback.reading.indexing import slots


def names_in(node: ast.AST) -> Iterator[ast.Name]:
    """The names of an expression in the order of reading, without those of functions."""
    stack: list[ast.AST] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Name):
            yield part
        below = list(ast.iter_child_nodes(part))
        if isinstance(part, ast.Call):
            below = [child for child in below if child is not part.func]
        stack.extend(reversed(below))


def subscripts(node: ast.AST) -> Iterator[ast.Subscript]:
    """The subscripts of an expression, in the order of reading."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Subscript):
            yield part
        stack.extend(reversed(list(ast.iter_child_nodes(part))))


def target_name(line: ast.Assign) -> str:
    target = line.targets[0]
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def is_index_line(line: ast.Assign, known: Collection[str], ranges: Collection[str] = ()) -> bool:
    """A subscript on the left, or on the right an unknown name in a slot or one with a declared range."""
    if isinstance(line.targets[0], ast.Subscript):
        return True
    if any(name.id in ranges and name.id not in known for name in names_in(line.value)):
        return True
    return any(
        name.id not in known and name.id not in CONSTANTS
        for node in subscripts(line.value)
        for slot in slots(node)
        if not isinstance(slot, ast.Slice)
        for name in names_in(slot)
    )
