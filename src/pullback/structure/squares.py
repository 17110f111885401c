"""The line that shows the structure of a square result."""

from __future__ import annotations

import ast

from pullback.cost import tokens
from pullback.expression import ONE, Definition
from pullback.matrix import matrix_line
from pullback.rewriting import MatrixLine
from pullback.rulebooks.factoring import scalars_outside
from pullback.rulebooks.normal import TooManyTerms, expand
from pullback.structure.congruences import congruences
from pullback.structure.pieces import grouped, has_delta, matrix_text, tight


def structured(definition: Definition) -> MatrixLine | None:
    """The line that shows the structure of a square result, None where the plain matrix line shows it."""
    if len(definition.indices) != 2:
        return None
    plain = matrix_line(definition)
    for written in (congruences(definition), _expanded(definition, plain), _scaled_rows(definition, plain)):
        if written is not None:
            return MatrixLine(definition.tensor.name, written)
    return None


def transposed(definition: Definition, line: MatrixLine) -> MatrixLine:
    """The line, or where that reads shorter, the transpose of the line for the mirrored place."""
    if len(definition.indices) != 2:
        return line
    mirrored = matrix_line(Definition(definition.tensor, definition.indices[::-1], definition.body))
    if mirrored is None:
        return line
    match ast.parse(mirrored.text, mode="eval").body:
        case ast.BinOp(ast.Constant() as number, ast.Mult(), rest):
            text = f"{ast.unparse(number)} * {tight(ast.unparse(rest))}.T"
        case _:
            text = f"{tight(mirrored.text)}.T"
    return MatrixLine(line.target, text) if tokens(text) < tokens(line.text) else line


def _scaled_rows(definition: Definition, plain: MatrixLine | None) -> str | None:
    """s[i] A[i,j] as `diag(s) @ A`, and A[i,j] s[j] as `A @ diag(s)`, where that is no longer."""
    i, j = definition.indices
    groups = grouped(definition.body, ({i, j}, {i}, {j}))
    if groups is None or (groups[1] is ONE) == (groups[2] is ONE) or groups[0] is ONE:
        return None
    matrix, rows, columns, number = groups
    a, s = (
        matrix_text(matrix, (i, j)),
        matrix_text(rows, (i,)) if columns is ONE else matrix_text(columns, (j,)),
    )
    if a is None or s is None or number is not ONE:
        return None
    text = f"diag({s}) @ {tight(a)}" if columns is ONE else f"{tight(a)} @ diag({s})"
    return text if plain is None or tokens(text) < tokens(plain.text) else None


def _expanded(definition: Definition, plain: MatrixLine | None) -> str | None:
    """Brackets multiplied out, where that is no longer: `diag(y) - outer(y, y)`."""
    try:
        terms = expand(definition.body, lambda e: not has_delta(e))
    except TooManyTerms:
        return None
    body = scalars_outside(terms)
    line = matrix_line(Definition(definition.tensor, definition.indices, body))
    if line is None or (plain is not None and tokens(line.text) >= tokens(plain.text)):
        return None
    return line.text
