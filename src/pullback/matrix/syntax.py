"""Building Python's syntax: operators, calls, numbers and expressions of sizes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from fractions import Fraction

from pullback.expression import Add, Call, Const, Expr, Mul, Num, Pow, Size, mul, num
from pullback.matrix.forms import NoMatrixForm
from pullback.notation import decimal, fraction_of

OPERATORS: dict[str, type[ast.operator]] = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "@": ast.MatMult, "**": ast.Pow,
    "//": ast.FloorDiv, "%": ast.Mod,
}  # fmt: skip
RELATIONS: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
}  # fmt: skip


# ---- building syntax ------------------------------------------------------------------------


def name(text: str) -> ast.expr:
    return ast.Name(text, ast.Load())


def binary(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    return ast.BinOp(left, OPERATORS[operator](), right)


def function(text: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.expr:
    return ast.Call(name(text), list(arguments), [ast.keyword(k, v) for k, v in keywords.items()])


def constant(value: int | float | bool) -> ast.expr:
    return ast.Constant(value)


def axis_argument(places: Sequence[int]) -> ast.expr:
    """One axis as a number, several as a tuple."""
    axes = [constant(place) for place in places]
    return axes[0] if len(axes) == 1 else ast.Tuple(axes, ast.Load())


def sequence(items: Sequence[ast.expr]) -> ast.expr:
    return ast.List(list(items), ast.Load())


def negative(value: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.USub(), value)


def transposed(value: ast.expr) -> ast.expr:
    return ast.Attribute(value, "T", ast.Load())


# ---- numbers and sizes ----------------------------------------------------------------------


def scalar(e: Expr) -> ast.expr:
    """A number or an expression of sizes."""
    match e:
        case Num(value):
            return number(value)
        case Const(text) | Size(text):
            return name(text)
        case Add(terms):
            result = scalar(terms[0])
            for term in terms[1:]:
                match term:
                    case Num(value) if value < 0:
                        result = binary(result, "-", number(-value))
                    case Mul((Num(value), *rest)) if value < 0:
                        result = binary(result, "-", scalar(mul(num(-value), *rest)))
                    case _:
                        result = binary(result, "+", scalar(term))
            return result
        case Mul((Num(value), *rest)) if value < 0:
            return negative(scalar(mul(num(-value), *rest)))
        case Mul():
            above, below = fraction_of(e)
            return quotient([scalar(x) for x in above], [scalar(x) for x in below])
        case Pow(_, Num(n)) if n < 0:
            return quotient([], [scalar(x) for x in fraction_of(e)[1]])
        case Pow(base, Num(n)) if n == Fraction(1, 2):
            return function("sqrt", scalar(base))
        case Pow(base, exponent):
            return binary(scalar(base), "**", scalar(exponent))
        case Call("floordiv", (a, b)):
            return binary(scalar(a), "//", scalar(b))
        case Call("mod", (a, b)):
            return binary(scalar(a), "%", scalar(b))
        case Call(text, arguments):
            return function(text, *(scalar(x) for x in arguments))
    raise NoMatrixForm


def number(value: Fraction) -> ast.expr:
    text = decimal(abs(value))
    if text is None:
        result = binary(constant(abs(value.numerator)), "/", constant(value.denominator))
    else:
        result = constant(int(text) if text.isdigit() else float(text))
    return negative(result) if value < 0 else result


def product(factors: Sequence[ast.expr]) -> ast.expr:
    if not factors:
        return constant(1)
    result = factors[0]
    for factor in factors[1:]:
        result = binary(result, "*", factor)
    return result


def quotient(above: Sequence[ast.expr], below: Sequence[ast.expr]) -> ast.expr:
    return binary(product(above), "/", product(below)) if below else product(above)
