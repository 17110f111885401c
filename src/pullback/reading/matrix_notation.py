"""Matrix notation, with NumPy's meaning, lowered to what one element is."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pullback.errors import (
    DomainProblem,
    LimitProblem,
    NameProblem,
    PullbackError,
    ShapeProblem,
    SyntaxProblem,
    nearest,
)
from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Const,
    Expr,
    Num,
    Size,
    add,
    call,
    mul,
    neg,
    power,
)
from pullback.limits import MAX_EXPONENT
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.arrangement import TABLE as ARRANGEMENT
from pullback.reading.context import CONSTANTS, Context, bounded
from pullback.reading.convolution import TABLE as CONVOLUTION
from pullback.reading.elsewhere import SPELLED
from pullback.reading.indexing import subscript
from pullback.reading.linear import TABLE as LINEAR
from pullback.reading.linear import is_plain_chain, matmul, matmul_chain, transposed
from pullback.reading.reductions import TABLE as REDUCTIONS
from pullback.reading.scalar import TABLE as SCALAR
from pullback.reading.scalar import comparison
from pullback.reading.syntax import chain
from pullback.reading.value import Value, elementwise, of_tensor, scalar

TABLE: dict[str, Entry] = {**SCALAR, **REDUCTIONS, **LINEAR, **ARRANGEMENT, **CONVOLUTION}


def _instead(name: str) -> str:
    """What to write for a function that is not known."""
    if name in SPELLED:
        return SPELLED[name]
    near = nearest(name, TABLE)
    return TABLE[near].signature(near) if near else "the functions are " + ", ".join(TABLE)


class MatrixNotation:
    """Lowers the expressions of one program."""

    def __init__(self, context: Context) -> None:
        self.context = context
        context.lower = self.lower

    def lower(self, node: ast.expr) -> Value:
        """The value of a syntax tree; an error that has no place yet gets this one."""
        try:
            return self._lower(node)
        except PullbackError as error:
            raise self.context.at(node, error) from None

    def _lower(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=value):
                return transposed(self.context.operand(value))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return elementwise([self.context.operand(operand)], neg, "-", linear=True)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.lower(operand)
            case ast.BinOp():
                return self._operation(node)
            case ast.Compare():
                return comparison(self.context, node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, node)
            case ast.Subscript():
                return subscript(self.context, node)
        hint = "a list stands only where a shape or axes are meant"
        raise SyntaxProblem("a value is expected here", hint=hint)

    def _constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            what = "a text" if isinstance(node.value, str) else f"`{node.value!r}`"
            raise SyntaxProblem(f"{what} is not a value", hint="numbers, names and functions of the language")
        return scalar(self.context.number(node))

    def _name(self, name: str) -> Value:
        if name in self.context.tensors:
            return of_tensor(self.context.tensors[name])
        if name in self.context.sizes:
            return scalar(Size(name))
        if name in CONSTANTS:
            return scalar(Const(name))
        if name in TABLE:
            raise NameProblem(f"`{name}` is a function", hint=TABLE[name].signature(name))
        raise self.context.unknown_name(name)

    def _call(self, name: str, node: ast.Call) -> Value:
        entry = TABLE.get(name)
        if entry is None:
            known = name in self.context.tensors
            what = f"`{name}` is a tensor, not a function" if known else f"unknown function `{name}`"
            raise self.context.at(node, NameProblem(what, hint=_instead(name)))
        return entry.build(Arguments(self.context, name, entry, node))

    # ---- operations ---------------------------------------------------------------------

    def _operation(self, node: ast.BinOp) -> Value:
        match node.op:
            case ast.Pow():
                return self._power(node)
            case ast.FloorDiv():
                return self._integer(node, "floordiv")
            case ast.Mod():
                return self._integer(node, "mod")
        links = [(op, self.context.operand(part), part) for op, part in chain(node)]
        match node.op:
            case ast.Add() | ast.Sub():
                return self._sum(links)
            case ast.Mult() | ast.Div():
                return self._product(links)
            case ast.MatMult():
                return self._chain(links)
        raise SyntaxProblem("this operator is not part of the language")

    def _combine(self, links: Sequence[tuple[ast.operator | None, Value, ast.expr]], what: str) -> None:
        """Meet the shapes one after the other, so that an error stands at the operand that does not fit."""
        so_far = links[0][1]
        for _, value, node in links[1:]:
            try:
                so_far = elementwise([so_far, value], lambda a, b: a, what, linear=True)
            except ShapeProblem as error:
                raise self.context.at(node, error) from None

    def _sum(self, links: Sequence[tuple[ast.operator | None, Value, ast.expr]]) -> Value:
        self._combine(links, "+")
        minus = [isinstance(op, ast.Sub) for op, _, _ in links]

        def build(*terms: Expr) -> Expr:
            return add(*(neg(term) if sign else term for term, sign in zip(terms, minus, strict=True)))

        return elementwise([value for _, value, _ in links], build, "+", linear=True)

    def _product(self, links: Sequence[tuple[ast.operator | None, Value, ast.expr]]) -> Value:
        self._combine(links, "*")
        below = [isinstance(op, ast.Div) for op, _, _ in links]
        parts = []
        for (_, value, node), divides in zip(links, below, strict=True):
            if divides and isinstance(node, ast.Constant) and node.value == 0:
                raise self.context.at(node, DomainProblem("division by zero"))
            parts.append(self.context.plain(value) if divides else value)

        def build(*factors: Expr) -> Expr:
            return bounded(
                mul(*(power(f, MINUS_ONE) if b else f for f, b in zip(factors, below, strict=True)))
            )

        linear = all(not b or not value.rank for b, value in zip(below, parts, strict=True))
        return elementwise(parts, build, "*", linear=linear)

    def _chain(self, links: Sequence[tuple[ast.operator | None, Value, ast.expr]]) -> Value:
        result = links[0][1]
        for _, value, node in links[1:]:
            try:
                result = matmul(self.context, result, value)
            except PullbackError as error:
                raise self.context.at(node, error) from None
        values = [value for _, value, _ in links]
        return matmul_chain(self.context, values) if is_plain_chain(values) else result

    def _power(self, node: ast.BinOp) -> Value:
        base, exponent = self.context.operand(node.left), self.context.operand(node.right)
        n = exponent.element(()) if exponent.rank == 0 else None
        if n is ONE:
            return base
        if isinstance(n, Num) and max(abs(n.value.numerator), n.value.denominator) > MAX_EXPONENT:
            what = f"an exponent beyond {MAX_EXPONENT}"
            raise self.context.at(node.right, LimitProblem(what, hint="exp(n * log(x)) for a large one"))
        parts = [self.context.plain(base), self.context.plain(exponent)]

        def build(b: Expr, e: Expr) -> Expr:
            if b is ZERO and isinstance(e, Num) and e.value < 0:
                raise self.context.at(node, DomainProblem("division by zero"))
            return bounded(power(b, e))

        linear = isinstance(n, Num) and n.value.denominator == 1 and n.value > 0
        return elementwise(parts, build, "**", linear=linear)

    def _integer(self, node: ast.BinOp, function: str) -> Value:
        parts = [self.context.plain(self.context.operand(part)) for part in (node.left, node.right)]
        return elementwise(parts, lambda a, b: call(function, a, b), "//", linear=False)
