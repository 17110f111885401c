"""Tensors as rows of entries, and the two factors of a matrix line."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Mapping, Sequence

from pullback.errors import DomainProblem
from pullback.expression import Expr
from pullback.render.page import Grid
from pullback.sizes import evaluate_size

Sizes = Mapping[str, int]
Place = tuple[int, ...]
Named = Callable[[str, bool], Grid | None]  # the matrix of a name; as a column where it is a vector


def places(shape: Sequence[Expr], sizes: Sizes) -> list[Place]:
    """Every place of a tensor, counted from 0, the last axis fastest."""
    return list(itertools.product(*(range(evaluate_size(extent, sizes)) for extent in shape)))


def written(shape: Sequence[Expr], sizes: Sizes, at: Callable[[Place], Expr]) -> Grid | Expr:
    """A tensor written out: a matrix, or its one entry where it is a number."""
    return grid_of(shape, sizes, at) if shape else at(())


def grid_of(shape: Sequence[Expr], sizes: Sizes, at: Callable[[Place], Expr], column: bool = False) -> Grid:
    """A tensor as rows of entries: a vector is one row (or column), more axes than two are stacked rows."""
    cells = [at(place) for place in places(shape, sizes)]
    if not cells:
        raise DomainProblem("a tensor without entries has nothing to write out")
    width = 1 if column else evaluate_size(shape[-1], sizes)
    return Grid(tuple(tuple(cells[k : k + width]) for k in range(0, len(cells), width)))


def transposed(grid: Grid) -> Grid:
    return Grid(tuple(zip(*grid.rows, strict=True)))


def two_factors(text: str, named: Named) -> tuple[Grid, Grid] | None:
    """The matrices of `A @ B` or `outer(a, b)`, where both are tensors or their transposes."""
    match ast.parse(text, mode="eval").body:
        case ast.BinOp(left, ast.MatMult(), right):
            first, second = _factor(left, named, False), _factor(right, named, True)
        case ast.Call(ast.Name("outer"), [left, right], []):
            first, second = _factor(left, named, True), _factor(right, named, False)
        case _:
            return None
    return None if first is None or second is None else (first, second)


def _factor(node: ast.expr, named: Named, column: bool) -> Grid | None:
    match node:
        case ast.Attribute(ast.Name(name), "T"):
            found = named(name, False)
            return transposed(found) if found is not None else None
        case ast.Name(name):
            return named(name, column)
    return None
