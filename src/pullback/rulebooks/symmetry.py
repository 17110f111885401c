"""Symmetric matrices: which defined ones are, so that S[i,j] and S[j,i] are one entry."""

from __future__ import annotations

from dataclasses import replace as changed

from pullback.affine import same
from pullback.expression import (
    Access,
    Definition,
    Element,
    Expr,
    Index,
    Tensor,
    is_symmetric,
    replace,
    substitute,
)
from pullback.program import Program
from pullback.rulebooks.algebra import key


def with_symmetry(program: Program) -> Program:
    """The program with the fact "symmetric" on every defined matrix whose entry is that of the mirrored place."""
    renewed: dict[Tensor, Tensor] = {}
    definitions = []
    for definition in program.definitions:
        body = _renewed(definition.body, renewed)
        tensor = definition.tensor
        if not is_symmetric(tensor) and mirrors(definition.indices, body):
            renewed[tensor] = Tensor(tensor.name, tensor.shape, tensor.values, tensor.facts | {"symmetric"})
        new = renewed.get(tensor, tensor)
        definitions.append(Definition(new, definition.indices, body, definition.source, definition.place))
    return changed(program, definitions=tuple(definitions)) if renewed else program


def _renewed(e: Expr, renewed: dict[Tensor, Tensor]) -> Expr:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access) and node.tensor in renewed:
            return Access(renewed[node.tensor], node.slots)
        return None

    return replace(e, change) if renewed else e


def mirrors(indices: tuple[Index, ...], body: Expr) -> bool:
    """Whether f(i, j) = f(j, i), as far as the order of factors and the names of bound indices go.

    The inverse of a symmetric matrix is symmetric: an element of `inv` is mirrored by its argument.
    """
    if len(indices) != 2 or not same(indices[0].extent, indices[1].extent):
        return False
    if isinstance(body, Element):
        inverse = body.operator == "inv" and set(body.at) == set(indices)
        return inverse and mirrors(body.binders[0][:2], body.bodies[0])
    i, j = indices
    return key(body) == key(substitute(body, {i: j, j: i}))
