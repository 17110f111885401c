"""LaTeX of expressions, equations and shapes: commands that LaTeX, MathJax and KaTeX all know."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from pullback.expression import (
    Access,
    Add,
    Bracket,
    Call,
    Const,
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
    add,
    mul,
    num,
    power,
)
from pullback.functions import FUNCTIONS
from pullback.notation import decimal, fraction_of
from pullback.render.names import is_compound, latex_name

RELATIONS: Final = {"==": "=", "!=": r"\ne", "<": "<", "<=": r"\le", ">": ">", ">=": r"\ge"}
SUM, TERM, FACTOR, POWER, ATOM = 1, 2, 3, 4, 5


class Counting(NamedTuple):
    """Where indices start: at 1 as on paper, or at 0 where index arithmetic makes it matter."""

    from_one: bool = True


ON_PAPER: Final = Counting()


def latex(e: Expr, counting: Counting = ON_PAPER) -> str:
    r"""The expression in LaTeX's math mode.

    >>> from pullback.expression import Index, Size, bracket, num, mul
    >>> latex(mul(num(2), bracket("==", Index("i", Size("N")), Index("j", Size("N")))))
    '2 \\, [i = j]'
    """
    return _at(e, counting)[0]


def latex_equation(line: Equation, counting: Counting = ON_PAPER) -> tuple[str, str]:
    """Both sides."""
    return latex(line.left, counting), latex(line.right, counting)


def latex_shape(shape: Sequence[Expr]) -> str:
    r"""Sizes joined by \times; the empty shape is a 1."""
    return r" \times ".join(_wrap(size, ON_PAPER, FACTOR) for size in shape) or "1"


def _wrap(e: Expr, c: Counting, least: int) -> str:
    text, level = _at(e, c)
    return text if level >= least else parentheses(text)


def parentheses(text: str) -> str:
    """Parentheses as tall as what stands between them."""
    tall = any(sign in text for sign in (r"\frac", r"\sum", "^{", r"\left"))
    return rf"\left({text}\right)" if tall else f"({text})"


def _at(e: Expr, c: Counting) -> tuple[str, int]:
    """The LaTeX of `e`, and how tightly its outermost operator binds."""
    match e:
        case Num(value):
            return _number(value)
        case Const(name) | Size(name) | Index(name, _):
            return latex_name(name), ATOM
        case Access(tensor, slots):
            return entry(latex_name(tensor.name), [latex(slot, c) for slot in slots]), ATOM
        case Add(terms):
            return _terms(terms, c), SUM
        case Mul():
            return _product(e, c)
        case Pow(base, exponent):
            return _power(base, exponent, c)
        case Call(name, arguments):
            return _call(name, arguments, c)
        case Bracket(relation, left, right):
            return f"[{latex(left, c)} {RELATIONS[relation]} {latex(right, c)}]", ATOM
        case Sum(indices, body):
            signs = "".join(_sigma(index, c) for index in indices)
            return f"{signs} {_wrap(body, c, TERM)}", TERM
        case Element():
            return _element(e, c), ATOM
        case Partial(of, by):
            return _partial(of, by, c), FACTOR
    raise TypeError(type(e).__name__)


def entry(name: str, slots: Sequence[str]) -> str:
    """An entry of a tensor; a name with a subscript of its own is put in parentheses."""
    if not slots:
        return name
    return f"{f'({name})' if is_compound(name) else name}_{{{','.join(slots)}}}"


def _number(value: Fraction) -> tuple[str, int]:
    shown = decimal(abs(value))
    if shown is not None and "e" in shown:
        mantissa, exponent = shown.split("e")
        shown = rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    text = shown or rf"\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    return (f"-{text}", TERM) if value < 0 else (text, ATOM)


def _sigma(index: Index, c: Counting) -> str:
    first, last = ("1", index.extent) if c.from_one else ("0", add(index.extent, num(-1)))
    return rf"\sum_{{{latex_name(index.name)}={first}}}^{{{latex(last, c)}}}"


def _terms(terms: tuple[Expr, ...], c: Counting) -> str:
    text = ""
    for term in terms:
        piece = _wrap(term, c, TERM)
        if not text:
            text = piece
        elif piece.startswith("-"):
            text += f" - {piece[1:]}"
        else:
            text += f" + {piece}"
    return text


def _product(e: Mul, c: Counting) -> tuple[str, int]:
    first, *rest = e.factors
    if isinstance(first, Num) and first.value < 0:
        return "-" + _wrap(mul(num(-first.value), *rest), c, FACTOR), TERM
    above, below = fraction_of(e)
    # What sums or reaches far stands beside the fraction, not inside it.
    wide = [f for f in above if isinstance(f, Sum)]
    top = _factors([f for f in above if f not in wide] if below else above, c)
    if not below:
        return top, FACTOR if not isinstance(above[-1], Sum) else TERM
    text = rf"\frac{{{top}}}{{{_factors(below, c)}}}"
    return (f"{text} {_factors(wide, c)}", TERM) if wide else (text, FACTOR)


def _factors(factors: Sequence[Expr], c: Counting) -> str:
    if not factors:
        return "1"
    if len(factors) == 1:
        return latex(factors[0], c)
    last = len(factors) - 1
    pieces = [
        _wrap(factor, c, TERM if isinstance(factor, Sum) and k == last else FACTOR)
        for k, factor in enumerate(factors)
    ]
    text = pieces[0]
    for before, piece in itertools.pairwise(pieces):
        # Two numbers side by side would read as one.
        sign = r"\cdot" if before[-1].isdigit() and piece[0].isdigit() else r"\,"
        text += f" {sign} {piece}"
    return text


def _power(base: Expr, exponent: Expr, c: Counting) -> tuple[str, int]:
    match exponent:
        case Num(n) if n == Fraction(1, 2):
            return rf"\sqrt{{{latex(base, c)}}}", ATOM
        case Num(n) if n < 0:
            return rf"\frac{{1}}{{{latex(power(base, num(-n)), c)}}}", FACTOR
    inside = latex(base, c) if isinstance(base, Num | Size | Index | Access | Const) else ""
    if not inside or (isinstance(base, Num) and base.value < 0):
        inside = parentheses(latex(base, c))
    return f"{inside}^{{{latex(exponent, c)}}}", POWER


def _call(name: str, arguments: tuple[Expr, ...], c: Counting) -> tuple[str, int]:
    match name, arguments:
        case "floordiv", (a, b):
            return rf"\left\lfloor {_wrap(a, c, FACTOR)} / {_wrap(b, c, POWER)} \right\rfloor", ATOM
        case "mod", (a, b):
            return rf"{_wrap(a, c, FACTOR)} \bmod {_wrap(b, c, POWER)}", TERM
    return applied(name, [latex(a, c) for a in arguments]), ATOM


def applied(name: str, arguments: Sequence[str]) -> str:
    """A function of the table, or any other one, applied to its arguments."""
    match name, arguments:
        case "abs", (only,):
            return rf"\left|{only}\right|"
        case "sqrt", (only,):
            return rf"\sqrt{{{only}}}"
        case "inv", (only,):
            return rf"{only if only.isalnum() else parentheses(only)}^{{-1}}"
    known = FUNCTIONS.get(name)
    return f"{known.latex if known and known.latex else operator(name)}{parentheses(', '.join(arguments))}"


def operator(name: str) -> str:
    r"""An operator's name, upright.

    >>> operator("log_softmax")
    '\\operatorname{log\\_softmax}'
    """
    plain = "".join(sign for sign in name if sign.isascii() and (sign.isalnum() or sign == "_"))
    return rf"\operatorname{{{plain.replace('_', chr(92) + '_')}}}"


def _element(e: Element, c: Counting) -> str:
    arguments = [_argument(binder, body, c) for binder, body in zip(e.binders, e.bodies, strict=True)]
    whole = applied(e.operator, arguments)
    return entry(f"({whole})" if e.operator == "inv" else whole, [latex(slot, c) for slot in e.at])


def _argument(binder: tuple[Index, ...], body: Expr, c: Counting) -> str:
    """A whole tensor by its name where the argument is one, else a function of indices."""
    match body:
        case Access(tensor, slots) if slots == binder:
            return latex_name(tensor.name)
    bound = ",".join(latex_name(index.name) for index in binder)
    return rf"{bound} \mapsto {latex(body, c)}" if bound else latex(body, c)


def _partial(of: Expr, by: Access, c: Counting) -> str:
    below = rf"\partial {latex(by, c)}"
    if isinstance(of, Access):
        return rf"\frac{{\partial {latex(of, c)}}}{{{below}}}"
    return rf"\frac{{\partial}}{{{below}}} {parentheses(latex(of, c))}"
