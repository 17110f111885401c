"""One line of text for an expression: for people (`show`) and in the language itself (`code`).

`show` writes Σ and ∂; `code` writes what the reader reads back, where the sum over indices that are
absent on the left is implied, so it accepts a sum only at the very top of a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Definition,
    Element,
    Equation,
    Expr,
    Index,
    Mul,
    Num,
    Partial,
    Pow,
    Size,
    Sum,
    mul,
    power,
)


@dataclass(frozen=True, slots=True)
class Style:
    """How the pieces are spelt."""

    times: str
    sigma: str
    partial: str
    relations: dict[str, str]
    open_bracket: str
    close_bracket: str
    superscripts: bool
    in_language: bool = False


UNICODE: Final = Style(
    " ", "Σ", "∂", {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "<": "<", ">": ">"}, "[", "]", True
)
ASCII: Final = Style(
    " ", "sum", "d", {"==": "=", "!=": "!=", "<=": "<=", ">=": ">=", "<": "<", ">": ">"}, "[", "]", False
)
LANGUAGE: Final = Style(
    " * ", "", "", {r: r for r in ("==", "!=", "<=", ">=", "<", ">")}, "(", ")", False, True
)

ADD, MUL, UNARY, POWER, ATOM = 1, 2, 3, 4, 5
_SUPERSCRIPT: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def show(e: Expr, style: Style = UNICODE) -> str:
    """The expression as one line for a reader.

    >>> from pullback.expression import Index, Size, bracket, num, mul
    >>> show(mul(num(2), bracket("==", Index("i", Size("N")), Index("j", Size("N")))))
    '2 [i = j]'
    """
    return _at(e, style)[0]


def code(e: Expr) -> str:
    """The expression in the language's own syntax; a `Sum` in it is a ValueError."""
    return _at(e, LANGUAGE)[0]


def show_equation(line: Equation, style: Style = UNICODE) -> str:
    return f"{show(line.left, style)} = {show(line.right, style)}"


def left_side(definition: Definition) -> Access:
    """The entry that a definition defines, as an access."""
    return Access(definition.tensor, definition.indices)


def _wrap(e: Expr, style: Style, least: int) -> str:
    text, level = _at(e, style)
    return text if level >= least else f"({text})"


def _at(e: Expr, style: Style) -> tuple[str, int]:
    """The text of `e` and how tightly its outermost operator binds."""
    match e:
        case Num(value):
            return _number(value, style)
        case Const(name) | Size(name) | Index(name, _):
            return ("π" if name == "pi" and style is UNICODE else name), ATOM
        case Access(tensor, slots):
            return tensor.name + _slots(slots, style), ATOM
        case Add(terms):
            return _sum_of_terms(terms, style), ADD
        case Mul():
            return _product(e, style)
        case Pow(base, exponent):
            return _power(base, exponent, style)
        case Call("floordiv" | "mod" as name, (a, b)):
            sign = "//" if name == "floordiv" else "%"
            return f"{_wrap(a, style, MUL)} {sign} {_wrap(b, style, UNARY)}", MUL
        case Call(name, arguments):
            return f"{name}({', '.join(show(a, style) for a in arguments)})", ATOM
        case Bracket(relation, left, right):
            inside = f"{show(left, style)} {style.relations[relation]} {show(right, style)}"
            return style.open_bracket + inside + style.close_bracket, ATOM
        case Sum(indices, body):
            if style.in_language:
                raise ValueError("a sum inside a line has no spelling in index notation")
            signs = " ".join(f"{style.sigma}_{index.name}" for index in indices)
            return f"{signs} {_wrap(body, style, MUL)}", MUL
        case Element():
            if style.in_language:
                raise ValueError(f"{e.operator} has no spelling in index notation")
            return _element(e, style), ATOM
        case Partial(of, by):
            d = style.partial
            return f"{d}{_wrap(of, style, ATOM)}/{d}{show(by, style)}", ATOM
    raise TypeError(type(e).__name__)


def _slots(slots: tuple[Expr, ...], style: Style) -> str:
    return f"[{','.join(show(slot, style) for slot in slots)}]" if slots else ""


def _number(value: Fraction, style: Style) -> tuple[str, int]:
    text = decimal(value)
    if text is None:
        text = f"{value.numerator}/{value.denominator}"
        return text, MUL
    return text, (UNARY if value < 0 else ATOM)


def decimal(value: Fraction) -> str | None:
    """The shortest exact decimal spelling, None where there is none of reasonable length.

    >>> decimal(Fraction(1, 4)), decimal(Fraction(1, 3)), decimal(Fraction(1, 100000))
    ('0.25', None, '1e-05')
    """
    if value.denominator == 1 and abs(value.numerator) < 10**16:
        return str(value.numerator)
    as_float = float(value) if abs(value) < 10**300 else 0.0
    return repr(as_float) if Fraction(repr(as_float)) == value else None


def _sum_of_terms(terms: tuple[Expr, ...], style: Style) -> str:
    text = ""
    for k, term in enumerate(terms):
        sign, rest = _sign(term)
        piece = _wrap(rest, style, MUL)
        if k == 0:
            text = ("-" if sign < 0 else "") + piece
        else:
            text += (" - " if sign < 0 else " + ") + piece
    return text


def _sign(e: Expr) -> tuple[int, Expr]:
    """The sign of the leading number, and the rest."""
    match e:
        case Num(value) if value < 0:
            return -1, Num(-value)
        case Mul((Num(value), *rest)) if value < 0:
            return -1, mul(Num(-value), *rest)
    return 1, e


def _product(e: Mul, style: Style) -> tuple[str, int]:
    sign, rest = _sign(e)
    if sign < 0:
        return "-" + _wrap(rest, style, MUL), UNARY if not isinstance(rest, Mul) else MUL
    above, below = fraction_of(e)
    top = _factors(above, style)
    if not below:
        return top, MUL
    bottom = _factors(below, style)
    single = len(below) == 1 and _at(below[0], style)[1] >= UNARY
    return f"{top} / {bottom if single else f'({bottom})'}", MUL


def fraction_of(e: Expr) -> tuple[list[Expr], list[Expr]]:
    """Numerator and denominator: factors with a negative number as exponent go below."""
    above: list[Expr] = []
    below: list[Expr] = []
    for factor in e.factors if isinstance(e, Mul) else (e,):
        match factor:
            case Pow(base, Num(n)) if n < 0:
                below.append(power(base, Num(-n)))
            case Num(value) if value.denominator != 1 and decimal(value) is None:
                if value.numerator != 1:
                    above.append(Num(Fraction(value.numerator)))
                below.insert(0, Num(Fraction(value.denominator)))
            case _:
                above.append(factor)
    return above, below


def _factors(factors: list[Expr], style: Style) -> str:
    if not factors:
        return "1"
    last = len(factors) - 1
    pieces = []
    for k, factor in enumerate(factors):
        # A Σ reaches to the end of its product, so it needs parentheses unless it stands last.
        least = UNARY if not (isinstance(factor, Sum) and k == last) else MUL
        pieces.append(_wrap(factor, style, least))
    return style.times.join(pieces)


def _power(base: Expr, exponent: Expr, style: Style) -> tuple[str, int]:
    match exponent:
        case Num(n) if n == Fraction(1, 2):
            return f"sqrt({show(base, style)})", ATOM
        case Num(n) if n < 0:
            return f"1 / {_wrap(power(base, Num(-n)), style, UNARY)}", MUL
        case Num(n) if style.superscripts and n.denominator == 1 and isinstance(base, Access | Size | Index):
            return show(base, style) + str(n).translate(_SUPERSCRIPT), ATOM
    sign = "**" if not style.superscripts else "^"
    inner = show(exponent, style)
    plain = isinstance(exponent, Num | Size | Access) and inner.replace(".", "").isalnum()
    return f"{_wrap(base, style, ATOM)}{sign}{inner if plain else f'({inner})'}", POWER


def _element(e: Element, style: Style) -> str:
    arguments = []
    for binder, body in zip(e.binders, e.bodies, strict=True):
        bound = ",".join(index.name for index in binder)
        arguments.append(f"{bound}: {show(body, style)}")
    return f"{e.operator}({'; '.join(arguments)}){_slots(e.at, style)}"
