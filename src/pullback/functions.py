"""Scalar functions: one row each, with everything that is known about it.

The derivative is stated in the argument `x` (or `a`, `b`, `c`) and, where people write it so, in the
output `y`. At a kink the convention is PyTorch's, and the row says which points are meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pullback.errors import DomainProblem
from pullback.expression import (
    MINUS_ONE,
    NEGATED,
    ONE,
    ZERO,
    Bracket,
    Const,
    Expr,
    Num,
    add,
    bracket,
    call,
    mul,
    neg,
    num,
    over,
    power,
)

HALF: Final = Num(Fraction(1, 2))
TWO: Final = num(2)
PI: Final = Const("pi")


def sqrt(x: Expr) -> Expr:
    return power(x, HALF)


@dataclass(frozen=True, slots=True)
class Function:
    """One scalar function. `partials[k]` gives ∂y/∂(argument k) from the arguments and the output."""

    name: str
    law: str
    partials: tuple[Callable[..., Expr], ...]
    derivative: str  # the derivative, as a person writes it
    kink: str = ""  # the points where a convention decides, and what it decides
    latex: str = ""  # a command, applied to the arguments in parentheses
    numpy: str = ""  # an expression with {0}, {1}, … for the arguments
    domain: tuple[float, float] = (-3.0, 3.0)  # where samples are drawn

    @property
    def arity(self) -> int:
        return len(self.partials)


def _share(relation: str) -> tuple[Callable[..., Expr], Callable[..., Expr]]:
    """Derivatives of maximum (`>`) and minimum (`<`): each side where it wins, half at a tie."""

    def first(a: Expr, b: Expr, _y: Expr) -> Expr:
        return add(bracket(relation, a, b), mul(HALF, bracket("==", a, b)))

    def second(a: Expr, b: Expr, _y: Expr) -> Expr:
        return first(b, a, _y)

    return first, second


def _slope_of_arcsin(x: Expr) -> Expr:
    return power(add(ONE, neg(power(x, TWO))), neg(HALF))


def _no_order() -> Expr:
    raise DomainProblem(
        "the order of polygamma is a number, by which there is no derivative",
        hint="polygamma(1, x) is the derivative of digamma(x)",
    )


def condition(c: Expr) -> Expr:
    """A condition as a number 0 or 1; a bracket is one already."""
    return c if isinstance(c, Bracket) else bracket("!=", c, ZERO)


def negation(c: Expr) -> Expr:
    """1 where a condition fails, else 0."""
    if isinstance(c, Bracket):
        return bracket(NEGATED[c.relation], c.left, c.right)
    return bracket("==", c, ZERO)


_ROWS: Final = (
    Function("exp", "exp(x)", (lambda x, y: y,), "y", latex=r"\exp", numpy="np.exp({0})"),
    Function(
        "log",
        "log(x)",
        (lambda x, y: power(x, MINUS_ONE),),
        "1 / x",
        latex=r"\log",
        numpy="np.log({0})",
        domain=(0.1, 3.0),
    ),
    Function(
        "log1p",
        "log(1 + x)",
        (lambda x, y: power(add(ONE, x), MINUS_ONE),),
        "1 / (1 + x)",
        latex=r"\operatorname{log1p}",
        numpy="np.log1p({0})",
        domain=(-0.9, 3.0),
    ),
    Function(
        "expm1",
        "exp(x) - 1",
        (lambda x, y: call("exp", x),),
        "exp(x)",
        latex=r"\operatorname{expm1}",
        numpy="np.expm1({0})",
    ),
    Function(
        "tanh",
        "(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
        (lambda x, y: add(ONE, neg(power(y, TWO))),),
        "1 - y**2",
        latex=r"\tanh",
        numpy="np.tanh({0})",
    ),
    Function(
        "sigmoid",
        "1 / (1 + exp(-x))",
        (lambda x, y: mul(y, add(ONE, neg(y))),),
        "y * (1 - y)",
        latex=r"\sigma",
        numpy="sigmoid({0})",
    ),
    Function(
        "relu",
        "max(x, 0)",
        (lambda x, y: bracket(">", x, ZERO),),
        "(x > 0)",
        kink="x = 0: derivative 0",
        latex=r"\operatorname{relu}",
        numpy="np.maximum({0}, 0)",
    ),
    Function(
        "softplus",
        "log(1 + exp(x))",
        (lambda x, y: call("sigmoid", x),),
        "sigmoid(x)",
        latex=r"\operatorname{softplus}",
        numpy="np.logaddexp(0, {0})",
    ),
    Function(
        "gelu",
        "x * (1 + erf(x / sqrt(2))) / 2",
        (
            lambda x, y: add(
                mul(HALF, add(ONE, call("erf", over(x, sqrt(TWO))))),
                over(mul(x, call("exp", over(neg(power(x, TWO)), TWO))), sqrt(mul(TWO, PI))),
            ),
        ),
        "(1 + erf(x / sqrt(2))) / 2 + x * exp(-x**2 / 2) / sqrt(2 * pi)",
        latex=r"\operatorname{gelu}",
        numpy="gelu({0})",
    ),
    Function(
        "erf",
        "the error function",
        (lambda x, y: over(mul(TWO, call("exp", neg(power(x, TWO)))), sqrt(PI)),),
        "2 * exp(-x**2) / sqrt(pi)",
        latex=r"\operatorname{erf}",
        numpy="erf({0})",
    ),
    Function(
        "abs",
        "the absolute value",
        (lambda x, y: call("sign", x),),
        "sign(x)",
        kink="x = 0: derivative 0",
        latex=r"\operatorname{abs}",
        numpy="np.abs({0})",
    ),
    Function(
        "sign",
        "-1, 0 or 1",
        (lambda x, y: ZERO,),
        "0",
        kink="x = 0: derivative 0",
        latex=r"\operatorname{sign}",
        numpy="np.sign({0})",
    ),
    Function("sin", "sin(x)", (lambda x, y: call("cos", x),), "cos(x)", latex=r"\sin", numpy="np.sin({0})"),
    Function(
        "cos",
        "cos(x)",
        (lambda x, y: neg(call("sin", x)),),
        "-sin(x)",
        latex=r"\cos",
        numpy="np.cos({0})",
    ),
    Function(
        "arctan",
        "the angle whose tangent is x",
        (lambda x, y: power(add(ONE, power(x, TWO)), MINUS_ONE),),
        "1 / (1 + x**2)",
        latex=r"\arctan",
        numpy="np.arctan({0})",
    ),
    Function(
        "arcsin",
        "the angle whose sine is x",
        (lambda x, y: _slope_of_arcsin(x),),
        "1 / sqrt(1 - x**2)",
        latex=r"\arcsin",
        numpy="np.arcsin({0})",
        domain=(-0.9, 0.9),
    ),
    Function(
        "arccos",
        "the angle whose cosine is x",
        (lambda x, y: neg(_slope_of_arcsin(x)),),
        "-1 / sqrt(1 - x**2)",
        latex=r"\arccos",
        numpy="np.arccos({0})",
        domain=(-0.9, 0.9),
    ),
    Function(
        "arctan2",
        "the angle of the point (b, a)",
        (
            lambda a, b, y: over(b, add(power(a, TWO), power(b, TWO))),
            lambda a, b, y: neg(over(a, add(power(a, TWO), power(b, TWO)))),
        ),
        "b / (a**2 + b**2), -a / (a**2 + b**2)",
        latex=r"\operatorname{arctan2}",
        numpy="np.arctan2({0}, {1})",
    ),
    Function(
        "lgamma",
        "log |Γ(x)|",
        (lambda x, y: call("digamma", x),),
        "digamma(x)",
        latex=r"\log\Gamma",
        numpy="lgamma({0})",
        domain=(0.1, 3.0),
    ),
    Function(
        "digamma",
        "the derivative of log Γ(x)",
        (lambda x, y: call("polygamma", ONE, x),),
        "polygamma(1, x)",
        latex=r"\psi",
        numpy="digamma({0})",
        domain=(0.1, 3.0),
    ),
    Function(
        "polygamma",
        "the derivative of order a of digamma(b), for a number a",
        (lambda a, b, y: _no_order(), lambda a, b, y: call("polygamma", add(ONE, a), b)),
        "none by a, polygamma(a + 1, b)",
        latex=r"\operatorname{polygamma}",
        numpy="polygamma({0}, {1})",
        domain=(0.1, 3.0),
    ),
    Function(
        "logaddexp",
        "log(exp(a) + exp(b))",
        (
            lambda a, b, y: call("sigmoid", add(a, neg(b))),
            lambda a, b, y: call("sigmoid", add(b, neg(a))),
        ),
        "sigmoid(a - b), sigmoid(b - a)",
        latex=r"\operatorname{logaddexp}",
        numpy="np.logaddexp({0}, {1})",
    ),
    Function(
        "hypot",
        "sqrt(a² + b²)",
        (lambda a, b, y: over(a, y), lambda a, b, y: over(b, y)),
        "a / y, b / y",
        latex=r"\operatorname{hypot}",
        numpy="np.hypot({0}, {1})",
    ),
    Function(
        "maximum",
        "the larger of a and b",
        _share(">"),
        "(a > b) + (a == b) / 2",
        kink="a = b: half to each",
        latex=r"\max",
        numpy="np.maximum({0}, {1})",
    ),
    Function(
        "minimum",
        "the smaller of a and b",
        _share("<"),
        "(a < b) + (a == b) / 2",
        kink="a = b: half to each",
        latex=r"\min",
        numpy="np.minimum({0}, {1})",
    ),
    Function(
        "where",
        "a where the condition holds, else b",
        (
            lambda c, a, b, y: ZERO,
            lambda c, a, b, y: condition(c),
            lambda c, a, b, y: negation(c),
        ),
        "(c != 0), 1 - (c != 0)",
        latex=r"\operatorname{where}",
        numpy="np.where({0}, {1}, {2})",
    ),
    Function("floordiv", "a // b, for integers", (lambda a, b, y: ZERO,) * 2, "0", numpy="{0} // {1}"),
    Function("mod", "a % b, for integers", (lambda a, b, y: ZERO,) * 2, "0", numpy="{0} % {1}"),
)

FUNCTIONS: Final = {row.name: row for row in _ROWS}
assert len(FUNCTIONS) == len(_ROWS), "two rows for one function"
