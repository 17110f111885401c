"""Derivatives of what has no name, ∂ log p_i/∂z_j and d/dx (x² + 1): the rules of calculus on the tree of a line."""

from __future__ import annotations

import ast
from typing import Final

from pullback.derivations.names import ALIASES, Beside, Dot, Hadamard, Names
from pullback.derivations.nodes import is_sum
from pullback.errors import SyntaxProblem
from pullback.functions import FUNCTIONS
from pullback.verify.tree import binary, call, expression
from pullback.verify.vocabulary import inlined

HINT: Final = "a name for it, on a line of its own: u_i = …, then ∂u_i/∂x_j"
ZERO: Final = ast.Constant(0)


def derivative_of(node: ast.expr, by: ast.expr, names: Names) -> ast.expr:
    """d(a + b) = da + db, d(a b) = da b + a db, d f(u) = f'(u) du; a name keeps its own derivative, ∂p_i/∂z_j.

    Raises `SyntaxProblem` for whole matrices, whose derivatives have axes that the notation leaves out.
    """
    match node:
        case ast.Constant() | ast.Compare():
            return ZERO
        case ast.Name(id=word) if word in names.sizes or word == "pi":
            return ZERO
        case ast.Name(id=word) if names.ranks.get(word) == 0:
            return call("∂", node, by)
        case ast.Subscript():
            return call("∂", node, by)
        case ast.UnaryOp(op, operand):
            return ast.UnaryOp(op, derivative_of(operand, by, names))
        case ast.BinOp(left, op, right):
            return _operation(left, op, right, (derivative_of(left, by, names), by), names)
        case ast.Call(args=[bound, body]) if is_sum(node):
            inner = derivative_of(body, by, names)
            return ZERO if inner is ZERO else call("Σ", bound, inner)
        case ast.Call(func=ast.Name(id=word), args=[argument], keywords=[]):
            return _function(ALIASES.get(word, word), argument, by, names)
    raise SyntaxProblem("a derivative of this is not read", hint=HINT)


def _operation(
    left: ast.expr, op: ast.operator, right: ast.expr, first: tuple[ast.expr, ast.expr], names: Names
) -> ast.expr:
    dleft, by = first
    if isinstance(op, ast.Pow):
        if derivative_of(right, by, names) is not ZERO:
            raise SyntaxProblem("a derivative of a power is read where the exponent is a number", hint=HINT)
        lower = binary(left, ast.Pow(), binary(right, ast.Sub(), ast.Constant(1)))
        return _times(binary(right, ast.Mult(), lower), dleft)
    dright = derivative_of(right, by, names)
    match op:
        case ast.Add() | ast.Sub():
            return binary(dleft, op, dright)
        case ast.Mult() | Beside() | Dot() | Hadamard():
            return _plus(_times(right, dleft), _times(left, dright))
        case ast.Div():
            whole = binary(left, ast.Div(), right)
            return binary(_plus(dleft, ast.UnaryOp(ast.USub(), _times(whole, dright))), ast.Div(), right)
    raise SyntaxProblem("a derivative of this is not read", hint=HINT)


def _function(function: str, argument: ast.expr, by: ast.expr, names: Names) -> ast.expr:
    if function not in FUNCTIONS:
        raise SyntaxProblem(f"a derivative of {function} is not read here", hint=HINT)
    inner = derivative_of(argument, by, names)
    outer = inlined(
        expression(FUNCTIONS[function].derivative), {"x": argument, "y": call(function, argument)}
    )
    return _times(outer, inner)


def _times(factor: ast.expr, change: ast.expr) -> ast.expr:
    return ZERO if change is ZERO else binary(factor, ast.Mult(), change)


def _plus(left: ast.expr, right: ast.expr) -> ast.expr:
    if left is ZERO or right is ZERO:
        return right if left is ZERO else left
    return binary(left, ast.Add(), right)
