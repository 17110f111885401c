"""Lines that differ from the truth and may still be right in another reading: these are left open."""

from __future__ import annotations

import ast

from pullback.derivations.setting import LineSetting
from pullback.expression import tensors
from pullback.verify.tree import name

LAYOUT = "it depends on the layout of the Jacobian: write the indices"
DIFFERENTIALS = "it reads as a relation of differentials, which is not judged"


def doubtful(setting: LineSetting, target: str, node: ast.expr) -> str:
    """Why a line that is not true as read may mean something else; empty where it means nothing else."""
    slotted = {
        part.value.id
        for part in ast.walk(node)
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name)
    }
    words = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    if any(word in setting.jacobians and word not in slotted for word in words):
        return LAYOUT
    source = setting.sources.get(target)
    if source is None:
        return ""
    above = _depends(setting, source.name)
    read = {setting.sources[word].name for word in words if word in setting.sources}
    return DIFFERENTIALS if read & above else ""


def _depends(setting: LineSetting, word: str) -> set[str]:
    """The names that a tensor is computed from."""
    by_name = {d.tensor.name: d for d in setting.program.definitions}
    found: set[str] = set()
    wanted = [word]
    while wanted:
        current = by_name.get(wanted.pop())
        if current is not None:
            fresh = {t.name for t in tensors(current.body)} - found
            found |= fresh
            wanted += fresh
    return found


def as_vector(tree: ast.expr, rank: int) -> ast.expr:
    """`rowsum(…)` is a column; where a vector is meant it is one."""
    match tree:
        case ast.Call(func=ast.Name(id="rowsum" | "rowmean" as word), args=[x]) if rank == 1:
            last = ast.UnaryOp(ast.USub(), ast.Constant(1))
            return ast.Call(name(word.removeprefix("row")), [x], [ast.keyword("axis", last)])
    return tree
