"""Shapes, sizes, ranges and facts that stand beside a program: from text or Python values to expressions."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pullback.errors import IndexProblem, NameProblem, PullbackError, ShapeProblem, SyntaxProblem
from pullback.expression import MINUS_ONE, Expr, Num, Size, add, call, mul, num, power
from pullback.limits import MAX_DIGITS, MAX_RANK, demand
from pullback.reading.syntax import parse
from pullback.sizes import exact_quotient, normal_size, size_text

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")

Symbol = Callable[[str], Expr]


def size_expression(node: ast.expr, symbol: Symbol) -> Expr:
    """A size from its syntax tree: integers, symbols, `+ - * // %` and divisions that come out."""
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return num(value)
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return normal_size(mul(MINUS_ONE, size_expression(operand, symbol)))
        case ast.BinOp(left=left, op=operator, right=right):
            return _operation(operator, size_expression(left, symbol), size_expression(right, symbol))
    raise ShapeProblem("this is not a size", hint="N, 2*N-1, (H-R)//2+1, or a number")


def _operation(operator: ast.operator, a: Expr, b: Expr) -> Expr:
    match operator:
        case ast.Add():
            return normal_size(add(a, b))
        case ast.Sub():
            return normal_size(add(a, mul(MINUS_ONE, b)))
        case ast.Mult():
            return normal_size(mul(a, b))
        case ast.FloorDiv():
            return normal_size(call("floordiv", a, b))
        case ast.Mod():
            return normal_size(call("mod", a, b))
        case ast.Pow() if isinstance(b, Num) and 0 <= b.value <= 8:
            return normal_size(power(a, b))
        case ast.Div():
            quotient = exact_quotient(a, b)
            if quotient is not None:
                return quotient
            what = f"{size_text(a)} / {size_text(b)} does not come out for all sizes"
            raise ShapeProblem(what, hint="use // for a division that rounds down")
    raise ShapeProblem("sizes are combined with + - * // %")


def any_symbol(name: str) -> Expr:
    """Every well-formed name is a size."""
    if not _NAME.match(name) or "__" in name:
        raise NameProblem(f"`{name}` is not the name of a size", hint="a letter first, such as N")
    return Size(name)


def parse_size(entry: Any) -> Expr:
    """A size from a number, a text such as `2*N-1`, or an expression."""
    if isinstance(entry, Expr):
        return entry
    if isinstance(entry, bool):
        raise ShapeProblem(f"{entry!r} is not a size")
    if isinstance(entry, int):
        if abs(entry) >= 10**MAX_DIGITS:
            raise ShapeProblem(f"a size of more than {MAX_DIGITS} digits")
        size: Expr = num(entry)
    elif isinstance(entry, str) and _NAME.match(entry):
        return any_symbol(entry)
    elif isinstance(entry, str):
        size = _size_from_text(entry)
    else:
        raise ShapeProblem(f"{entry!r} is not a size", hint='"N", "2*N-1" or a number')
    if isinstance(size, Num) and size.value < 0:
        raise ShapeProblem(f"a size is not negative: {size_text(size)}")
    return size


def _size_from_text(text: str) -> Expr:
    try:
        _, statements = parse(text)
        if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
            raise SyntaxProblem("a size is one expression")
        return normal_size(size_expression(statements[0].value, any_symbol))
    except PullbackError as error:
        raise ShapeProblem(f"`{text}` is not a size: {error.message}", hint="N, 2*N-1 or 3") from None


def parse_shape(entry: Any) -> tuple[Expr, ...]:
    """A shape from `"N D"`, `("N", "D")`, `[]`, `""`; entries may be numbers or expressions."""
    if isinstance(entry, str):
        text = entry.strip()
        if text[:1] in ("[", "(") and text[-1:] in ("]", ")") and _one_bracket(text):
            text = text[1:-1]
        parts: Sequence[Any] = _split_entries(text)
    elif isinstance(entry, (tuple, list)):
        parts = entry
    else:
        parts = (entry,)
    demand(len(parts), MAX_RANK, "the number of axes")
    return tuple(parse_size(part) for part in parts)


def _one_bracket(text: str) -> bool:
    """Whether the first bracket closes at the very end."""
    depth = 0
    for k, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth == 0:
            return k == len(text) - 1
    return False


def _split_entries(text: str) -> list[str]:
    """Split at commas or blanks outside brackets; blanks around an operator do not split."""
    text = re.sub(r"\s*(//|[-+*%/])\s*", r"\1", text.strip())
    parts, depth, word = [], 0, ""
    for c in text:
        depth += (c in "([") - (c in ")]")
        if depth == 0 and (c.isspace() or c == ","):
            parts.append(word)
            word = ""
        else:
            word += c
    return [part for part in (*parts, word) if part]


def parse_shapes(text: str) -> dict[str, tuple[Expr, ...]]:
    """Shapes from the command line: `X: N D, W: D M`; a name without sizes is a scalar.

    >>> sorted(parse_shapes("X: N D, W: D M"))
    ['W', 'X']
    """
    return {name: parse_shape(entries) for name, entries in _items(text).items()}


def _items(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in re.split(r"[,;\n](?=\s*[A-Za-z_]\w*\s*:)", text):
        if not item.strip():
            continue
        name, colon, entries = item.partition(":")
        name = name.strip()
        if not colon or not _NAME.match(name):
            raise SyntaxProblem(f"`{item.strip()}` is not a shape", hint='"X: N D, W: D M"')
        if name in found:
            raise NameProblem(f"the shape of {name} is given twice")
        found[name] = entries
    return found


def by_name(given: Any, what: str, example: str) -> Mapping[str, Any]:
    """What is declared beside a program: a dictionary, or for shapes the text of the command line."""
    if given is None:
        return {}
    if isinstance(given, str) and what == "shapes":
        return _items(given)
    if not isinstance(given, Mapping):
        raise SyntaxProblem(
            f"{what}: a dictionary by name, not {type(given).__name__}", hint=f"{what}={example}"
        )
    return given


def parse_sizes(text: str) -> dict[str, int]:
    """Values of sizes from the command line: `N=2,D=3`.

    >>> parse_sizes("N=2, D=3")
    {'N': 2, 'D': 3}
    """
    sizes: dict[str, int] = {}
    for item in re.split(r"[,;\s]+(?=[A-Za-z_]\w*\s*=)", text.strip()):
        if not item.strip():
            continue
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not _NAME.match(name) or not re.fullmatch(r"[0-9]+", value):
            raise SyntaxProblem(f"`{item.strip()}` does not give a size", hint="N=2,D=3")
        demand(len(value), MAX_DIGITS, f"the digits of size {name}")
        sizes[name] = int(value)
    return sizes


def parse_integers(entry: Any) -> tuple[tuple[Expr, ...], Expr]:
    """Shape and range of an integer tensor: `("B", "V")`, `(("B", "T"), "V")`, or a mapping."""
    if isinstance(entry, Mapping) and {"shape", "range"} <= set(entry):
        return parse_shape(entry["shape"]), parse_size(entry["range"])
    if isinstance(entry, (tuple, list)) and len(entry) == 2:
        return parse_shape(entry[0]), parse_size(entry[1])
    raise ShapeProblem(
        f"{entry!r} does not describe an integer tensor",
        hint='("B", "V"): shape B, values 0 .. V-1',
    )


def parse_ranges(ranges: Mapping[str, Any] | None) -> dict[str, Expr]:
    """Ranges of indices, `{"p": "H-R+1"}`."""
    result = {}
    for name, entry in (ranges or {}).items():
        if not _NAME.match(name):
            raise IndexProblem(f"`{name}` is not the name of an index")
        result[name] = parse_size(entry)
    return result
