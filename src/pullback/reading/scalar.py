"""Scalar functions and comparisons, applied to each element."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from pullback.errors import SyntaxProblem
from pullback.expression import Expr, bracket, call, mul
from pullback.functions import FUNCTIONS, sqrt
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.context import Context
from pullback.reading.value import Value, elementwise

RELATION: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_PARAMETERS: Final = {1: ("x",), 2: ("a", "b"), 3: ("condition", "a", "b")}
NOT_CALLED: Final = ("floordiv", "mod")  # written // and %


def _function(name: str) -> Callable[[Arguments], Value]:
    def build(arguments: Arguments) -> Value:
        parameters = _PARAMETERS[FUNCTIONS[name].arity]
        parts = [arguments.context.plain(arguments.tensor(p)) for p in parameters]
        return elementwise(parts, lambda *x: call(name, *x), name, linear=False)

    return build


def _sqrt(arguments: Arguments) -> Value:
    x = arguments.context.plain(arguments.tensor("x"))
    return elementwise([x], sqrt, "sqrt", linear=False)


TABLE: Final[dict[str, Entry]] = {
    name: Entry(_PARAMETERS[row.arity], _function(name))
    for name, row in FUNCTIONS.items()
    if name not in NOT_CALLED
} | {"sqrt": Entry(("x",), _sqrt)}


def relation(operator: ast.cmpop) -> str:
    if type(operator) not in RELATION:
        raise SyntaxProblem("this comparison is not part of the language", hint="== != < <= > >=")
    return RELATION[type(operator)]


def comparison(context: Context, node: ast.Compare) -> Value:
    """A comparison as 0 or 1; a chain of them as a product."""
    values = [context.plain(context.operand(part)) for part in (node.left, *node.comparators)]
    relations = [relation(operator) for operator in node.ops]

    def build(*sides: Expr) -> Expr:
        pairs = zip(relations, sides, sides[1:], strict=False)
        return mul(*(bracket(r, left, right) for r, left, right in pairs))

    return elementwise(values, build, "a comparison", linear=True)
