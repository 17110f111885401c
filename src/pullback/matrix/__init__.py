"""The matrix view: an equation for one element as a line in matrix notation, where it has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache

from pullback.expression import ONE, Definition, Expr, accesses
from pullback.matrix.forms import NoMatrixForm
from pullback.matrix.layout import whole
from pullback.matrix.lifting import einsum_form
from pullback.matrix.peephole import polished
from pullback.matrix.printing import exact
from pullback.rewriting import MatrixLine, ShapeLine

__all__ = ["matrix_line", "shape_line"]


@lru_cache(maxsize=4096)
def matrix_line(definition: Definition) -> MatrixLine | None:
    """The definition as `Y = …` in matrix notation, None where it has no matrix form."""
    try:
        text = printed(definition)
    except NoMatrixForm:
        return None
    return MatrixLine(definition.tensor.name, text)


def printed(definition: Definition) -> str:
    """The right side in matrix notation; raises `NoMatrixForm` where there is none."""
    arrays = {a.tensor.name: a.tensor.rank for a in accesses(definition.body) if a.slots}
    text = _text(whole(definition.indices, definition.body), arrays)
    if "reshape(" in text or "transpose(" in text:
        # One einsum is what a person writes where products would need their operands laid out anew.
        other = einsum_form(definition.body)
        if other is not None:
            shorter = _text(exact(other, definition.indices), arrays)
            # Of three factors it takes every product at once, which costs more than one product after another.
            pair = shorter.count(",", 0, shorter.index("->")) == 1
            if (pair or "transpose(" in text) and _length(shorter) < _length(text):
                return shorter
    return text


def _length(text: str) -> int:
    """How much there is to read: names, numbers, signs, and one for a string."""
    return len(re.findall(r'"[^"]*"|\w+|[^\w\s]', text))


def _text(value: ast.expr, arrays: Mapping[str, int]) -> str:
    try:
        return ast.unparse(ast.fix_missing_locations(polished(value, arrays))).replace("'", '"')
    except RecursionError:  # a sum of many hundred terms
        raise NoMatrixForm from None


def shape_line(line: MatrixLine, definition: Definition) -> ShapeLine:
    """The sizes that meet in the line, where it is a product of named matrices, and those that result."""
    shapes = {access.tensor.name: access.tensor.shape for access in accesses(definition.body)}
    factors = _factor_shapes(ast.parse(line.text, mode="eval").body, shapes)
    return ShapeLine(factors or (), definition.tensor.shape, line.target)


def _factor_shapes(
    node: ast.expr, shapes: Mapping[str, tuple[Expr, ...]]
) -> tuple[tuple[Expr, ...], ...] | None:
    match node:
        case ast.Name(text) if text in shapes:
            return (shapes[text],)
        case ast.Attribute(ast.Name(text), "T") if text in shapes:
            return (shapes[text][::-1],)
        case ast.BinOp(left, ast.MatMult(), right):
            a, b = _factor_shapes(left, shapes), _factor_shapes(right, shapes)
            return None if a is None or b is None else a + b
        case ast.Call(ast.Name("outer"), [left, right]):
            a, b = _factor_shapes(left, shapes), _factor_shapes(right, shapes)
            if a is not None and b is not None and len(a) == len(b) == 1:
                return ((*a[0], ONE), (ONE, *b[0]))
    return None
