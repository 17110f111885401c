"""LaTeX of a line in matrix notation, by walking its syntax tree; the text is never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from pullback.render.latex_expression import RELATIONS, applied, operator, parentheses
from pullback.render.names import is_compound, latex_name, latex_prose, math_text

SUM, TERM, UNARY, POWER, ATOM = 1, 2, 3, 4, 5
Ranks = Mapping[str, int]  # of every tensor; a name that is missing is a number

_COMPARED: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_NAMED: Final = {"trace": r"\operatorname{tr}", "det": r"\det", "pi": r"\pi"}
_SCALAR_RESULTS: Final = frozenset(["trace", "det", "logdet"])
_REDUCTIONS: Final = frozenset(["sum", "mean", "max", "min", "prod", "logsumexp", "norm"])


def latex_line(line: str, ranks: Ranks) -> tuple[str, str]:
    r"""Both sides of `target = expression`; a line that is no assignment has an empty left side.

    >>> latex_line("dX = dY @ W.T", {"dX": 2, "dY": 2, "W": 2})
    ('dX', 'dY\\, W^{\\top}')
    """
    try:
        (statement,) = ast.parse(line).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", math_text(line)
    match statement:
        case ast.Assign([target], value):
            return latex_source(target, ranks), latex_source(value, ranks)
        case ast.Expr(value):
            return "", latex_source(value, ranks)
        case ast.AnnAssign(target, ast.List(sizes)):
            shape = r" \times ".join(latex_source(size, ranks) for size in sizes)
            return "", rf"{latex_source(target, ranks)} \in \mathbb{{R}}^{{{shape or '1'}}}"
    return "", math_text(line)


def latex_text(text: str, ranks: Ranks) -> str:
    """An expression in the language as LaTeX."""
    left, right = latex_line(text, ranks)
    return f"{left} = {right}" if left else right


def latex_source(node: ast.expr, ranks: Ranks) -> str:
    return _at(node, ranks)[0]


def _wrap(node: ast.expr, ranks: Ranks, least: int) -> str:
    text, level = _at(node, ranks)
    return text if level >= least else parentheses(text)


def _at(node: ast.expr, ranks: Ranks) -> tuple[str, int]:
    match node:
        case ast.Name(name):
            return _NAMED.get(name) or latex_name(name), ATOM
        case ast.Constant(value):
            return _constant(value), ATOM
        case ast.Attribute(value, "T"):
            return _raised(value, r"\top", ranks), POWER
        case ast.UnaryOp(ast.USub(), value):
            return f"-{_wrap(value, ranks, TERM)}", UNARY
        case ast.UnaryOp(ast.UAdd(), value):
            return _at(value, ranks)
        case ast.BinOp():
            return _binary(node, ranks)
        case ast.Compare(left, [relation], [right]) if type(relation) in _COMPARED:
            sign = RELATIONS[_COMPARED[type(relation)]]
            return f"[{latex_source(left, ranks)} {sign} {latex_source(right, ranks)}]", ATOM
        case ast.Call(ast.Name(name), arguments, keywords):
            return _call(name, arguments, keywords, ranks)
        case ast.Subscript(value, slots):
            return _subscript(value, slots, ranks), ATOM
        case ast.Tuple(items) | ast.List(items):
            return f"({', '.join(latex_source(item, ranks) for item in items)})", ATOM
    return math_text(ast.unparse(node)), ATOM


def _constant(value: object) -> str:
    if isinstance(value, float) and "e" in repr(value):
        mantissa, exponent = repr(value).split("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    # The arrow of an einsum's subscripts.
    return r" \to ".join(math_text(part) for part in str(value).split("->"))


def _raised(value: ast.expr, above: str, ranks: Ranks) -> str:
    inner = latex_source(value, ranks)
    plain = isinstance(value, ast.Name)
    return f"{inner if plain else parentheses(inner)}^{{{above}}}"


def _binary(node: ast.BinOp, ranks: Ranks) -> tuple[str, int]:
    match node.op:
        case ast.Add() | ast.Sub():
            return _chain(node, ranks), SUM
        case ast.Mult() | ast.MatMult():
            return _chain(node, ranks), TERM
        case ast.Div():
            return rf"\frac{{{latex_source(node.left, ranks)}}}{{{latex_source(node.right, ranks)}}}", ATOM
        case ast.Pow():
            return _raised_to(node.left, node.right, ranks), POWER
        case ast.FloorDiv():
            top, bottom = _wrap(node.left, ranks, TERM), _wrap(node.right, ranks, POWER)
            return rf"\left\lfloor {top} / {bottom} \right\rfloor", ATOM
        case ast.Mod():
            return rf"{_wrap(node.left, ranks, TERM)} \bmod {_wrap(node.right, ranks, POWER)}", TERM
    return math_text(ast.unparse(node)), ATOM


def _raised_to(base: ast.expr, exponent: ast.expr, ranks: Ranks) -> str:
    above = latex_source(exponent, ranks)
    return _raised(base, rf"\circ {above}" if _is_matrix(base, ranks) else above, ranks)


def _chain(node: ast.BinOp, ranks: Ranks) -> str:
    """A run of operators of one precedence, from the left; a loop, because such a run may be long."""
    additive = isinstance(node.op, ast.Add | ast.Sub)
    kinds = (ast.Add, ast.Sub) if additive else (ast.Mult, ast.MatMult)
    links: list[ast.BinOp] = []
    head: ast.expr = node
    while isinstance(head, ast.BinOp) and isinstance(head.op, kinds):
        links.append(head)
        head = head.left
    text = _wrap(head, ranks, SUM if additive else TERM)
    scalar = _is_scalar(head, ranks)
    for link in reversed(links):
        right_scalar = _is_scalar(link.right, ranks)
        piece = _wrap(link.right, ranks, TERM if additive else POWER)
        text += _sign(link.op, text, piece, scalar or right_scalar) + piece
        scalar = scalar and right_scalar
    return text


def _sign(op: ast.operator, before: str, after: str, with_scalar: bool) -> str:
    match op:
        case ast.Add():
            return " + "
        case ast.Sub():
            return " - "
        case ast.Mult() if not with_scalar:
            return r" \odot "
    return r" \cdot " if before[-1].isdigit() and after[0].isdigit() else r"\, "


def _is_scalar(node: ast.expr, ranks: Ranks) -> bool:
    """Whether the value is one number, as far as the syntax shows it; a loop, because sums may be long."""
    waiting: list[ast.AST] = [node]
    while waiting:
        match waiting.pop():
            case ast.Name(name):
                if ranks.get(name, 0):
                    return False
            case ast.Subscript(value, slots):
                if not _is_entry(value, slots, ranks):
                    return False
            case ast.Call(ast.Name(name), arguments, keywords):
                whole = name in _REDUCTIONS and len(arguments) == 1 and not keywords
                if not whole and name not in _SCALAR_RESULTS:
                    waiting += arguments
            case ast.BinOp() | ast.UnaryOp() | ast.Compare() | ast.Attribute() as inner:
                waiting += [child for child in ast.iter_child_nodes(inner) if isinstance(child, ast.expr)]
            case ast.List() | ast.Tuple():
                return False
    return True


def _is_entry(value: ast.expr, slots: ast.expr, ranks: Ranks) -> bool:
    """Whether a subscript names a single entry, `X[n,d]`, and not a slice or a row."""
    parts = slots.elts if isinstance(slots, ast.Tuple) else [slots]
    if any(isinstance(part, ast.Slice) or _is_none(part) for part in parts):
        return False
    return not isinstance(value, ast.Name) or ranks.get(value.id, len(parts)) == len(parts)


def _is_none(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is None


def _is_matrix(node: ast.expr, ranks: Ranks) -> bool:
    """Whether a power could be mistaken for a matrix power."""
    return isinstance(node, ast.Name) and ranks.get(node.id, 0) >= 2


def _call(name: str, arguments: list[ast.expr], keywords: list[ast.keyword], ranks: Ranks) -> tuple[str, int]:
    shown = [latex_source(argument, ranks) for argument in arguments]
    match name, arguments:
        case "outer", [a, b] if not keywords:
            return rf"{_wrap(a, ranks, POWER)}\, {_raised(b, chr(92) + 'top', ranks)}", TERM
        case "kron", [a, b] if not keywords:
            return rf"{_wrap(a, ranks, POWER)} \otimes {_wrap(b, ranks, POWER)}", TERM
        case "inv", [a] if not keywords:
            return _raised(a, "-1", ranks), POWER
        case "transpose", [a] if not keywords:
            return _raised(a, r"\top", ranks), POWER
        case "eye", [_]:
            return f"I_{{{shown[0]}}}", ATOM
        case "norm", [_] if not keywords:
            return rf"\left\lVert {shown[0]} \right\rVert", ATOM
    if name in _NAMED:
        return _NAMED[name] + parentheses(", ".join(shown)), ATOM
    if not keywords:
        return applied(name, shown), ATOM
    options = r",\,".join(_option(keyword, ranks) for keyword in keywords)
    return f"{operator(name)}_{{{options}}}{parentheses(', '.join(shown))}", ATOM


def _option(keyword: ast.keyword, ranks: Ranks) -> str:
    label = rf"\mathrm{{{latex_prose(keyword.arg or '')}}}"
    match keyword.value:
        case ast.Constant(True):
            return label
        case value:
            return f"{label}={latex_source(value, ranks)}"


def _subscript(value: ast.expr, slots: ast.expr, ranks: Ranks) -> str:
    parts = slots.elts if isinstance(slots, ast.Tuple) else [slots]
    name = _wrap(value, ranks, ATOM)
    if is_compound(name):
        name = parentheses(name)
    return f"{name}_{{{','.join(_slot(part, ranks) for part in parts)}}}"


def _slot(part: ast.expr, ranks: Ranks) -> str:
    match part:
        case ast.Slice(lower, upper, step):
            ends = ["" if end is None else latex_source(end, ranks) for end in (lower, upper)]
            return ":".join(ends) + (f":{latex_source(step, ranks)}" if step is not None else "")
        case ast.Constant(None):
            return r"\mathrm{new}"
    return latex_source(part, ranks)
