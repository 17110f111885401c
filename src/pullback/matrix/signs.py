"""Minus signs that a difference takes in: `(B - A) @ C` for `-(A - B) @ C`."""

from __future__ import annotations

import ast

from pullback.matrix.syntax import binary

LINEAR = ("sum", "mean", "diag", "trace", "tril", "triu", "reshape", "transpose", "take")


def opposite(node: ast.expr) -> ast.expr | None:
    """The negative of a product that holds a difference, written without a minus in front; else None."""
    match node:
        case ast.BinOp(left, ast.Mult() | ast.MatMult() as operator, right):
            turned = opposite(left)
            if turned is not None:
                return ast.BinOp(turned, operator, right)
            turned = opposite(right)
            return None if turned is None else ast.BinOp(left, operator, turned)
        case ast.BinOp(left, ast.Div() as operator, right):
            turned = opposite(left)
            return None if turned is None else ast.BinOp(turned, operator, right)
        case ast.BinOp(_, ast.Add() | ast.Sub(), _):
            return _turned(node)
        case ast.Attribute(value, "T"):
            turned = opposite(value)
            return None if turned is None else ast.Attribute(turned, "T", ast.Load())
        case ast.Call(ast.Name(text), [value, *rest], keywords) if text in LINEAR:
            turned = opposite(value)
            return None if turned is None else ast.Call(node.func, [turned, *rest], keywords)
    return None


def _turned(node: ast.expr) -> ast.expr | None:
    """b - a for a - b, what is added first; None where nothing is taken away."""
    terms = _terms(node, 1)
    above = [term for sign, term in terms if sign < 0]
    below = [term for sign, term in terms if sign > 0]
    if not above:
        return None
    result = above[0]
    for term in above[1:]:
        result = binary(result, "+", term)
    for term in below:
        result = binary(result, "-", term)
    return result


def _terms(node: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
            second = sign if isinstance(operator, ast.Add) else -sign
            return [*_terms(left, sign), *_terms(right, second)]
        case ast.UnaryOp(ast.USub(), value):
            return _terms(value, -sign)
    return [(sign, node)]
