"""An edited claim as a person would write it: `A.T.T` is `A`, `(2 * B).T` is `2 * B.T`, `x + -y` is `x - y`."""

from __future__ import annotations

import ast
from collections.abc import Collection

from pullback.verify.tree import binary, call, number, text_of, transposed


def tidied(node: ast.expr, scalars: Collection[str] = ()) -> ast.expr:
    """The expression in its plain form; its value is the same."""
    result: ast.expr = _Tidying(scalars).visit(ast.parse(text_of(node), mode="eval").body)
    return result


class _Tidying(ast.NodeTransformer):
    """From the leaves up."""

    def __init__(self, scalars: Collection[str]) -> None:
        self.scalars = scalars

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Name(id="sum"),
                args=[
                    ast.Call(
                        func=ast.Name(id="sum"),
                        args=[x],
                        keywords=[ast.keyword("axis", ast.Constant(value=0))],
                    )
                ],
                keywords=[ast.keyword("axis", ast.Constant(value=0))],
            ):
                return call("sum", x, axis=ast.Tuple([number(0), number(1)], ast.Load()))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return self.turned(node.value)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return _negated(node.operand) if isinstance(node.op, ast.USub) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.BinOp(left=a, op=ast.Add(), right=ast.UnaryOp(op=ast.USub(), operand=b)):
                return binary(a, ast.Sub(), b)
            case ast.BinOp(left=a, op=ast.Sub(), right=ast.UnaryOp(op=ast.USub(), operand=b)):
                return binary(a, ast.Add(), b)
            case ast.BinOp(left=a, op=ast.Mult() | ast.MatMult() | ast.Div() as op, right=ast.UnaryOp() as b):
                return _negated(binary(a, op, b.operand)) if isinstance(b.op, ast.USub) else node
            case ast.BinOp(left=a, op=ast.Div(), right=ast.Constant(value=int() as k)) if k:
                return _divided(a, k) or node
            case ast.BinOp(left=ast.Constant(value=1), op=ast.Mult(), right=b):
                return b
            case ast.BinOp(
                left=a, op=ast.Mult(), right=ast.BinOp(left=ast.Constant(value=1), op=ast.Div(), right=b)
            ):
                return binary(a, ast.Div(), b)
            case ast.BinOp(left=a, op=ast.Mult() | ast.Pow() | ast.Div(), right=ast.Constant(value=1)):
                return a
            case ast.BinOp(
                left=ast.Constant() as k,
                op=ast.Mult(),
                right=ast.BinOp(left=a, op=ast.Mult() | ast.Div() as op, right=b),
            ):
                return self.visit_product(k, a, op, b)
            case ast.BinOp(left=ast.Name() as c, op=ast.Mult(), right=ast.Constant() as k):
                return binary(k, ast.Mult(), c)
        return node

    def visit_product(self, k: ast.Constant, a: ast.expr, op: ast.operator, b: ast.expr) -> ast.expr:
        """2 * (a * b)  →  2 * a * b."""
        first: ast.expr = binary(k, ast.Mult(), a)
        if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Mult | ast.Div):
            first = self.visit_product(k, a.left, a.op, a.right)
        return binary(first, op, b)

    def turned(self, node: ast.expr) -> ast.expr:
        """The transpose, pushed inside where that is how it is written."""
        match node:
            case ast.Attribute(attr="T", value=inner):
                return inner
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _negated(self.turned(inner))
            case ast.BinOp(left=ast.Constant() | ast.Name() as k, op=ast.Mult(), right=b) if self.is_scalar(
                k
            ):
                return binary(k, ast.Mult(), self.turned(b))
            case ast.BinOp(left=a, op=ast.Div(), right=k) if self.is_scalar(k):
                return binary(self.turned(a), ast.Div(), k)
            case ast.Call(func=ast.Name(id="outer"), args=[a, b]):
                return call("outer", b, a)
            case ast.Call(func=ast.Name(id="eye")):
                return node
        return transposed(node)

    def is_scalar(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in self.scalars)


def _negated(node: ast.expr) -> ast.expr:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return inner
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            return binary(b, ast.Sub(), a)
    return ast.UnaryOp(ast.USub(), node)


def _divided(node: ast.expr, k: int) -> ast.expr | None:
    """The expression over k, where every term holds that factor; None where one does not."""
    match node:
        case ast.Constant(value=int() as n) if n % k == 0:
            return number(n // k)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            inner = _divided(a, k)
            return None if inner is None else _negated(inner)
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub() as op, right=b):
            left, right = _divided(a, k), _divided(b, k)
            return None if left is None or right is None else binary(left, op, right)
        case ast.BinOp(left=ast.Constant(value=int() as n), op=ast.Mult(), right=b) if n % k == 0:
            return b if n == k else binary(number(n // k), ast.Mult(), b)
        case ast.BinOp(left=a, op=ast.Mult() | ast.MatMult() | ast.Div() as op, right=b):
            left = _divided(a, k)
            return None if left is None else binary(left, op, b)
    return None
