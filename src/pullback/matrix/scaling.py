"""Scalar factors of a line of matrix notation: gathered from a whole product, and written in one place.

A product of matrices, its transposes, sums and the like are linear, so numbers, sizes and other scalars may
stand anywhere in them. Written together they cost one multiplication an entry.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pullback.matrix.signs import LINEAR, opposite
from pullback.matrix.syntax import binary, constant, function, negative, product, quotient
from pullback.notation import decimal

ARRAYS = ("ones", "zeros", "eye", "onehot")
Rest = ast.expr | None  # None for nothing


@dataclass(frozen=True)
class Scale:
    """number × Π above / Π below, all of them scalars."""

    number: Fraction = Fraction(1)
    above: tuple[ast.expr, ...] = ()
    below: tuple[ast.expr, ...] = ()

    def times(self, other: Scale) -> Scale:
        return Scale(self.number * other.number, self.above + other.above, self.below + other.below)

    def inverse(self) -> Scale:
        return Scale(1 / self.number, self.below, self.above)

    def times_number(self, number: Fraction) -> Scale:
        return Scale(self.number * number, self.above, self.below)

    @property
    def is_number(self) -> bool:
        return not self.above and not self.below


class Scaling:
    """Splits an expression into its scalar factors and the rest. Every name that is no array is a scalar."""

    def __init__(self, arrays: Mapping[str, int]) -> None:
        self.arrays = arrays

    def rewritten(self, node: ast.expr) -> ast.expr:
        """The same value, the scalar factors of each product together."""
        return self.written(*self.split(node))

    def written(self, scale: Scale, rest: Rest) -> ast.expr:
        match rest:
            case ast.BinOp(left, ast.Mult(), ast.Call(ast.Name("ones")) as ones):
                return binary(self.written(scale, left), "*", ones)  # before it is laid out
        if not scale.is_number and isinstance(rest, ast.BinOp) and isinstance(rest.op, ast.MatMult):
            if self.rank(rest.right) == 1 and (scale.above or abs(scale.number.numerator) != 1):
                # The product is smaller than its matrix.
                return binary(_alone(_reduced(scale)), "*", rest)
        return written(scale, rest)

    def rank(self, node: ast.expr) -> int | None:
        """How many axes the value has; None where the text does not tell."""
        match node:
            case ast.Name(text):
                return self.arrays.get(text, 0)
            case ast.Constant():
                return 0
            case ast.Attribute(value) | ast.UnaryOp(_, value):
                return self.rank(value)
            case ast.BinOp(left, operator, right) | ast.Compare(left, [operator], [right]):
                a, b = self.rank(left), self.rank(right)
                if a is None or b is None:
                    return None
                return a + b - 2 if isinstance(operator, ast.MatMult) and b < 3 else max(a, b)
            case ast.Call(ast.Name("solve"), [_, right]):
                return self.rank(right)
            case ast.Call(ast.Name("reshape"), [_, ast.List(sizes)]):
                return len(sizes)
        return None

    def split(self, node: ast.expr) -> tuple[Scale, Rest]:
        match node:
            case ast.Constant(int() | float() as value) if not isinstance(value, bool):
                return Scale(Fraction(str(value))), None
            case ast.UnaryOp(ast.USub(), operand):
                scale, rest = self.split(operand)
                return scale.times_number(Fraction(-1)), rest
            case ast.BinOp(left, ast.Mult(), right):
                return self._joined(left, "*", right)
            case ast.BinOp(left, ast.MatMult(), right):
                return self._joined(left, "@", right)
            case ast.BinOp(left, ast.Div(), right):
                return self._quotient(left, right)
            case _ if self._is_scalar(node):
                return Scale(above=(node,)), None
            case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
                return Scale(), self._added(left, isinstance(sign, ast.Add), right)
            case ast.Attribute(value, "T"):
                scale, rest = self.split(value)
                return scale, None if rest is None else ast.Attribute(rest, "T", ast.Load())
            case ast.Call(ast.Name(text), arguments, keywords):
                return self._called(text, arguments, keywords)
        return Scale(), self._inside(node)

    def _is_scalar(self, node: ast.AST) -> bool:
        """Whether no array is named in it; the first one found ends the search."""
        match node:
            case ast.Name(text):
                return text not in self.arrays
            case ast.Call(ast.Name(text), arguments, keywords):
                return text not in ARRAYS and all(map(self._is_scalar, (*arguments, *keywords)))
        return all(map(self._is_scalar, ast.iter_child_nodes(node)))

    def _joined(self, left: ast.expr, sign: str, right: ast.expr) -> tuple[Scale, Rest]:
        a, x = self.split(left)
        b, y = self.split(right)
        if x is None or y is None:
            return a.times(b), y if x is None else x
        return a.times(b), binary(x, sign, y)

    def _quotient(self, left: ast.expr, right: ast.expr) -> tuple[Scale, Rest]:
        a, x = self.split(left)
        b, y = self.split(right)
        if b.number == 0:
            return Scale(), ast.BinOp(left, ast.Div(), right)
        scale = a.times(b.inverse())
        return scale, x if y is None else binary(constant(1) if x is None else x, "/", y)

    def _added(self, left: ast.expr, plus: bool, right: ast.expr) -> ast.expr:
        a, x = self.split(left)
        b, y = self.split(right)
        if not plus:
            b = b.times_number(Fraction(-1))
        if a.number < 0 < b.number:
            # A sum starts with a term that is added, where there is one.
            return binary(self.written(b, y), "-", self.written(a.times_number(Fraction(-1)), x))
        sign = Fraction(1 if b.number > 0 else -1)
        return binary(self.written(a, x), "+" if sign > 0 else "-", self.written(b.times_number(sign), y))

    def _called(
        self, text: str, arguments: list[ast.expr], keywords: list[ast.keyword]
    ) -> tuple[Scale, Rest]:
        head = ast.Name(text, ast.Load())
        parts = (
            [self.split(argument) for argument in arguments] if text in ("outer", "solve", *LINEAR) else []
        )
        match text:
            case "outer" if all(rest is not None for _, rest in parts):
                scale = parts[0][0].times(parts[1][0])
                return scale, function("outer", *(rest for _, rest in parts if rest is not None))
            case "solve" if parts[1][1] is not None:
                return parts[1][0], function("solve", self.rewritten(arguments[0]), parts[1][1])
            case _ if text in LINEAR and parts[0][1] is not None:
                return parts[0][0], ast.Call(head, [parts[0][1], *arguments[1:]], keywords)
        return Scale(), ast.Call(head, [self._operand(argument) for argument in arguments], keywords)

    def _inside(self, node: ast.expr) -> ast.expr:
        """The node with each of its operands rewritten."""
        match node:
            case ast.BinOp(left, operator, right):
                return ast.BinOp(self._operand(left), operator, self._operand(right))
            case ast.Compare(left, operators, [right]):
                return ast.Compare(self._operand(left), operators, [self._operand(right)])
        return node

    def _operand(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.List(items):
                return ast.List([self._operand(item) for item in items], ast.Load())
            case ast.Tuple() | ast.Constant() | ast.Name():
                return node
            case _ if self._is_scalar(node):
                return node
        return self.rewritten(node)


# ---- writing ------------------------------------------------------------------------------------


def written(scale: Scale, rest: Rest) -> ast.expr:
    """scale × rest: in front of the leftmost factor, or a divisor behind."""
    scale = _reduced(scale)
    if rest is None:
        return _alone(scale)
    turned = opposite(rest) if scale.number.numerator == -1 else None  # any other number is multiplied anyway
    if turned is not None:
        scale, rest = scale.times_number(Fraction(-1)), turned
    if scale.is_number:
        return _numbered(scale.number, rest)
    number = scale.number
    if (
        not scale.above
        and abs(number.numerator) == 1
        and (number.denominator == 1 or decimal(number) is None)
    ):
        below = [constant(number.denominator)] if number.denominator > 1 else []
        inner = rest if number > 0 else _negated(rest)
        return binary(inner, "/", product([*below, *scale.below]))
    if any(isinstance(node, ast.BinOp) for node in scale.below):
        front = _alone(Scale(number, scale.above))
        inner = _numbered(number, rest) if not scale.above else _onto(front, rest)
        return binary(inner, "/", product(scale.below))
    return _onto(_alone(scale), rest)


def _reduced(scale: Scale) -> Scale:
    """Equal factors as powers; those that stand above and below gone."""
    above, below = list(scale.above), list(scale.below)
    for node in scale.above:
        same = next((other for other in below if ast.dump(other) == ast.dump(node)), None)
        if same is not None:
            above.remove(node)
            below.remove(same)
    return Scale(scale.number, tuple(_powers(above)), tuple(_powers(below)))


def _powers(nodes: Sequence[ast.expr]) -> list[ast.expr]:
    counts: dict[str, list[ast.expr]] = {}
    for node in nodes:
        counts.setdefault(ast.dump(node), []).append(node)
    return [
        same[0] if len(same) == 1 else binary(same[0], "**", constant(len(same))) for same in counts.values()
    ]


def _alone(scale: Scale) -> ast.expr:
    """The scale itself as an expression."""
    number, above, below = scale.number, list(scale.above), list(scale.below)
    if decimal(abs(number)) is None and number.denominator > 1:
        below.insert(0, constant(number.denominator))
        number = Fraction(number.numerator)
    if abs(number) != 1 or not above:
        above.insert(0, _constant(number))
    elif number < 0:
        above[0] = negative(above[0])
    return quotient(above, below)


def _constant(number: Fraction) -> ast.expr:
    text = decimal(abs(number))
    value: ast.expr
    if text is None:
        value = binary(constant(abs(number.numerator)), "/", constant(number.denominator))
    else:
        value = constant(int(text) if text.isdigit() else float(text))
    return negative(value) if number < 0 else value


def _numbered(number: Fraction, rest: ast.expr) -> ast.expr:
    """number × rest: the number in front, on the leftmost factor of a matrix product."""
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
        scaled = _numbered(Fraction(number.numerator), rest)
        return binary(scaled, "/", constant(number.denominator))
    return _onto(_constant(number), rest)


def _onto(value: ast.expr, rest: ast.expr) -> ast.expr:
    match rest:
        case ast.BinOp(ast.Constant(1), ast.Div() as operator, right):
            return ast.BinOp(value, operator, right)
        case ast.BinOp(left, ast.Mult() | ast.Div() | ast.MatMult() as operator, right):
            if isinstance(left, ast.Name | ast.Attribute | ast.BinOp | ast.Call):
                return ast.BinOp(_onto(value, left), operator, right)
    return binary(value, "*", rest)


def _negated(rest: ast.expr) -> ast.expr:
    match rest:
        case ast.BinOp(left, ast.Add(), right):
            return binary(negative(left), "-", right)
        case ast.BinOp(left, ast.Sub(), right):
            return binary(right, "-", left)
        case ast.BinOp(ast.Constant(1), ast.Div() as operator, right):
            return ast.BinOp(negative(constant(1)), operator, right)
        case ast.BinOp(left, ast.Mult() | ast.Div() as operator, right) if not isinstance(left, ast.Constant):
            return ast.BinOp(_negated(left), operator, right)
        case ast.BinOp(ast.BinOp(_, ast.Mult() | ast.Div(), _) as left, ast.MatMult() as operator, right):
            return ast.BinOp(_negated(left), operator, right)
    return negative(rest)
