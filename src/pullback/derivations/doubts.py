"""Lines that differ from the truth and may still be right in another reading: these are left open."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pullback.derivations.differentials import DifferentialSetting, ancestors
from pullback.derivations.setting import LineSetting
from pullback.expression import Expr
from pullback.sizes import size_text
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
    if source is None or isinstance(setting, DifferentialSetting):
        return ""
    above = ancestors(setting.program, source.name)
    read = {setting.sources[word].name for word in words if word in setting.sources}
    return DIFFERENTIALS if read & above else ""


def as_vector(tree: ast.expr, rank: int) -> ast.expr:
    """`rowsum(…)` is a column; where a vector is meant it is one."""
    match tree:
        case ast.Call(func=ast.Name(id="rowsum" | "rowmean" as word), args=[x]) if rank == 1:
            last = ast.UnaryOp(ast.USub(), ast.Constant(1))
            return ast.Call(name(word.removeprefix("row")), [x], [ast.keyword("axis", last)])
    return tree


def as_zeros(tree: ast.expr, shape: Sequence[Expr]) -> ast.expr:
    """0 beside a matrix is a matrix of zeros."""
    if not shape or not (isinstance(tree, ast.Constant) and tree.value == 0):
        return tree
    sizes = ", ".join(size_text(extent) for extent in shape)
    return ast.parse(f"zeros([{sizes}])", mode="eval").body
