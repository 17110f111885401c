"""The last look at a line of matrix notation: scalars in one place, systems solved instead of inverses formed."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pullback.matrix.scaling import Scaling
from pullback.matrix.syntax import binary, function


def polished(node: ast.expr, arrays: Mapping[str, int]) -> ast.expr:
    """The same value, written as a person would: `-2 * A.T @ r`, `solve(A, b)`.

    `arrays` says how many axes a name has; every other name is a scalar.
    """
    return _Solve().visit(Scaling(arrays).rewritten(_Solve().visit(node)))


class _Solve(ast.NodeTransformer):
    """inv(A) @ b = solve(A, b), and inv(A).T @ b = solve(A.T, b)"""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.MatMult):
            matrix = _inverted(node.left)
            if matrix is not None:
                return function("solve", matrix, node.right)
            match node.left:
                case ast.BinOp(scale, ast.Mult(), right) if (matrix := _inverted(right)) is not None:
                    return binary(scale, "*", function("solve", matrix, node.right))
        return node


def _inverted(node: ast.expr) -> ast.expr | None:
    match node:
        case ast.Call(ast.Name("inv"), [matrix]):
            return matrix
        case ast.Attribute(ast.Call(ast.Name("inv"), [matrix]), "T"):
            if isinstance(matrix, ast.Attribute):
                return matrix.value
            return ast.Attribute(matrix, "T", ast.Load())
    return None
