"""Matrix products as a person writes them: systems solved instead of inverses formed, one transpose for many."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pullback.matrix.syntax import binary, function, negative, transposed


def neat(node: ast.expr, arrays: Mapping[str, int]) -> ast.expr:
    """The same value: `solve(A, b)` for `inv(A) @ b`, `(A @ B @ C).T` for `C.T @ (B.T @ A.T)`.

    `arrays` says how many axes a name has; every other name is a scalar.
    """
    result = _Neat(arrays).visit(node)
    assert isinstance(result, ast.expr)
    return result


class _Neat(ast.NodeTransformer):
    def __init__(self, arrays: Mapping[str, int]) -> None:
        self.arrays = arrays

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """sum(diag(A)) = trace(A), trace(outer(a, b)) = a @ b, sum(A.T, axis=0) = sum(A, axis=1), √(b·b) = norm(b);
        one reshape of two
        """
        self.generic_visit(node)
        match node:
            case ast.Call(
                ast.Name("sum" | "mean" as text),
                [ast.Attribute(matrix, "T")],
                [ast.keyword("axis", ast.Constant(0 | 1 as axis))],
            ):
                return function(text, matrix, axis=ast.Constant(1 - axis))
            case ast.Call(ast.Name("reshape"), [ast.Call(ast.Name("reshape"), [inner, _], []), sizes], []):
                return function("reshape", inner, sizes)
            case ast.Call(ast.Name("trace"), [ast.Call(ast.Name("outer"), [first, second])], []):
                return binary(first, "@", second)
            case ast.Call(ast.Name("sqrt"), [ast.BinOp(ast.Name(first), ast.MatMult(), ast.Name(second))]):
                if first == second and self.arrays.get(first) == 1:
                    return function("norm", ast.Name(first, ast.Load()))
            case ast.Call(ast.Name("sum"), [ast.Call(ast.Name("diag"), [matrix])], []):
                return function("trace", matrix)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """A.T.T = A"""
        self.generic_visit(node)
        match node.value:
            case ast.Attribute(matrix, "T"):
                return matrix
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Products from the outside in: a chain is looked at as a whole."""
        if isinstance(node.op, ast.MatMult | ast.Mult | ast.Add | ast.Sub):
            turned = _turned(node)
            if turned is not None:
                whole = transposed(neat(turned, self.arrays))
                if len(ast.unparse(whole)) < len(ast.unparse(node)):
                    return whole
        self.generic_visit(node)
        match node:
            case ast.BinOp(ast.Attribute(left, "T") as first, ast.Add(), right):
                # M + M.T, in the order in which it is written
                return binary(right, "+", first) if ast.dump(left) == ast.dump(right) else node
        return self._solved(node.left, node.right) or node if isinstance(node.op, ast.MatMult) else node

    def _solved(self, left: ast.expr, right: ast.expr) -> ast.expr | None:
        """inv(A) @ b = solve(A, b), inv(A).T @ b = solve(A.T, b), and C @ inv(A) @ b = C @ solve(A, b)"""
        match left:
            case ast.UnaryOp(ast.USub(), inner):
                found = self._solved(inner, right)
                return None if found is None else negative(found)
            case ast.BinOp(scale, ast.Mult(), inner) if self._is_scalar(scale):
                found = self._solved(inner, right)
                return None if found is None else binary(scale, "*", found)
            case ast.BinOp(first, ast.MatMult(), inner):
                found = self._solved(inner, right)
                return None if found is None else binary(first, "@", found)
        matrix = _inverted(left)
        return None if matrix is None else function("solve", matrix, right)

    def _is_scalar(self, node: ast.expr) -> bool:
        """Whether nothing but numbers and scalars stands in an arithmetic expression."""
        match node:
            case ast.Constant():
                return True
            case ast.Name(text):
                return not self.arrays.get(text)
            case ast.UnaryOp(_, operand):
                return self._is_scalar(operand)
            case ast.BinOp(left, _, right):
                return self._is_scalar(left) and self._is_scalar(right)
        return False


def _inverted(node: ast.expr) -> ast.expr | None:
    match node:
        case ast.Call(ast.Name("inv"), [matrix]):
            return matrix
        case ast.Attribute(ast.Call(ast.Name("inv"), [matrix]), "T"):
            if isinstance(matrix, ast.Attribute):
                return matrix.value
            return ast.Attribute(matrix, "T", ast.Load())
    return None


def _turned(node: ast.expr) -> ast.expr | None:
    """The transpose of a product of transposed matrices, which needs none: A @ B for B.T @ A.T."""
    match node:
        case ast.BinOp(left, ast.MatMult(), right):
            a, b = _turned(left), _turned(right)
            return None if a is None or b is None else binary(b, "@", a)
        case ast.BinOp(left, ast.Mult(), right):
            a, b = _turned(left), _turned(right)
            return None if a is None or b is None else binary(a, "*", b)
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            a, b = _turned(left), _turned(right)
            return None if a is None or b is None else ast.BinOp(a, sign, b)
        case ast.Attribute(value, "T"):
            return value
    return None
