"""The last look at a line of matrix notation: numbers in front, systems solved instead of inverses formed."""

from __future__ import annotations

import ast
from fractions import Fraction

from pullback.matrix.syntax import binary, constant, function, negative
from pullback.notation import decimal

LINEAR = ("sum", "mean", "diag", "trace", "tril", "triu", "reshape", "transpose", "take")


def polished(node: ast.expr) -> ast.expr:
    """The same value, written as a person would: `-2 * A.T @ r`, `solve(A, b)`."""
    number, rest = _strip(_Solve().visit(node))
    return _scaled(number, rest)


class _Solve(ast.NodeTransformer):
    """inv(A) @ b = solve(A, b), and inv(A).T @ b = solve(A.T, b)"""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.MatMult):
            matrix = _inverted(node.left)
            if matrix is not None:
                return function("solve", matrix, node.right)
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


def _strip(node: ast.expr) -> tuple[Fraction, ast.expr | None]:
    """The numbers that are factors of the whole, and what is left; None for nothing."""
    match node:
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return Fraction(str(value)), None
        case ast.UnaryOp(ast.USub(), operand):
            number, rest = _strip(operand)
            return -number, rest
        case ast.BinOp(left, ast.Mult(), right):
            a, x = _strip(left)
            b, y = _strip(right)
            return a * b, _joined(x, "*", y)
        case ast.BinOp(left, ast.Div(), right):
            return _strip_quotient(left, right)
        case ast.BinOp(left, ast.MatMult(), right):
            a, x = _strip(left)
            b, y = _strip(right)
            return a * b, _joined(x, "@", y)
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            return Fraction(1), _added(left, isinstance(sign, ast.Add), right)
        case ast.Attribute(value, "T"):
            number, rest = _strip(value)
            return number, None if rest is None else ast.Attribute(rest, "T", ast.Load())
        case ast.Call(ast.Name("outer"), [left, right]):
            a, x = _strip(left)
            b, y = _strip(right)
            if x is not None and y is not None:
                return a * b, function("outer", x, y)
        case ast.Call(ast.Name(text), [first, *others], keywords) if text in LINEAR:
            number, rest = _strip(first)
            if rest is not None:
                return number, ast.Call(ast.Name(text, ast.Load()), [rest, *others], keywords)
    return Fraction(1), _inside(node)


def _inside(node: ast.expr) -> ast.expr:
    """The node with each of its operands polished."""
    match node:
        case ast.Call(f, arguments, keywords):
            return ast.Call(f, [_operand(argument) for argument in arguments], keywords)
        case ast.BinOp(left, operator, right):
            return ast.BinOp(_operand(left), operator, _operand(right))
        case ast.Compare(left, operators, [right]):
            return ast.Compare(_operand(left), operators, [_operand(right)])
    return node


def _operand(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.List | ast.Tuple | ast.Constant | ast.Name):
        if isinstance(node, ast.List):
            return ast.List([_operand(item) for item in node.elts], ast.Load())
        return node
    return _scaled(*_strip(node))


def _strip_quotient(left: ast.expr, right: ast.expr) -> tuple[Fraction, ast.expr | None]:
    a, x = _strip(left)
    b, y = _strip(right)
    if b == 0:
        return Fraction(1), ast.BinOp(left, ast.Div(), right)
    number = a / b
    if y is None:
        return number, x
    if x is None:
        # A bare number stands above: it stays there, so that 1 / x is not written -1 * (1 / -x).
        return Fraction(1), binary(_constant(number), "/", y)
    return number, binary(x, "/", y)


def _joined(x: ast.expr | None, sign: str, y: ast.expr | None) -> ast.expr | None:
    if x is None or y is None:
        return x if y is None else y
    return binary(x, sign, y)


def _added(left: ast.expr, plus: bool, right: ast.expr) -> ast.expr:
    a, x = _strip(left)
    b, y = _strip(right)
    if not plus:
        b = -b
    if a < 0 < b:
        # A sum starts with a term that is added, where there is one.
        return binary(_scaled(b, y), "-", _scaled(-a, x))
    if a == b and isinstance(x, ast.Attribute) and y is not None and ast.dump(x.value) == ast.dump(y):
        x, y = y, x  # M + M.T, in the order in which it is written
    return binary(_scaled(a, x), "+" if b > 0 else "-", _scaled(abs(b), y))


def _constant(number: Fraction) -> ast.expr:
    text = decimal(abs(number))
    value: ast.expr
    if text is None:
        value = binary(constant(abs(number.numerator)), "/", constant(number.denominator))
    else:
        value = constant(int(text) if text.isdigit() else float(text))
    return negative(value) if number < 0 else value


def _scaled(number: Fraction, rest: ast.expr | None) -> ast.expr:
    """number × rest: the number in front, on the leftmost factor of a matrix product."""
    if rest is None:
        return _constant(number)
    if number == 1:
        return rest
    if number == -1:
        return _negated(rest)
    if abs(number.numerator) == 1 and number.denominator > 1 and isinstance(rest, ast.BinOp):
        if isinstance(rest.op, ast.MatMult):
            return binary(rest if number > 0 else _negated(rest), "/", constant(number.denominator))
    if number.numerator in (1, -1) and decimal(number) is None:
        inner = rest if number > 0 else _negated(rest)
        return binary(inner, "/", constant(number.denominator))
    if decimal(abs(number)) is None:
        scaled = _scaled(Fraction(number.numerator), rest)
        return binary(scaled, "/", constant(number.denominator))
    return _onto(_constant(number), rest)


def _onto(value: ast.expr, rest: ast.expr) -> ast.expr:
    match rest:
        case ast.BinOp(left, ast.Mult() | ast.Div() | ast.MatMult() as operator, right):
            if isinstance(left, ast.Name | ast.Attribute | ast.BinOp | ast.Call):
                return ast.BinOp(_onto(value, left), operator, right)
        case ast.BinOp(ast.Constant(1), ast.Div() as operator, right):
            return ast.BinOp(value, operator, right)
    return binary(value, "*", rest)


def _negated(rest: ast.expr) -> ast.expr:
    match rest:
        case ast.BinOp(left, ast.Add(), right):
            return binary(negative(left), "-", right)
        case ast.BinOp(left, ast.Sub(), right):
            return binary(right, "-", left)
        case ast.BinOp(left, ast.Mult() | ast.Div() as operator, right) if not isinstance(left, ast.Constant):
            return ast.BinOp(_negated(left), operator, right)
        case ast.BinOp(ast.BinOp(_, ast.Mult() | ast.Div(), _) as left, ast.MatMult() as operator, right):
            return ast.BinOp(_negated(left), operator, right)
    return negative(rest)
