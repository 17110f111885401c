"""Program text into checked syntax trees: capped first, then parsed, then held against an allow-list.

User text is data. Nothing here, or above, evaluates it.
"""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pullback.errors import LimitProblem, NameProblem, Place, SyntaxProblem
from pullback.limits import MAX_CHARACTERS, MAX_DIGITS, MAX_EXPONENT, MAX_NESTING, MAX_NODES

_TOKEN: Final = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<string>\"[^\"\n]*\"|'[^'\n]*')|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]+)?)"
    r"|(?P<odd>[^\x20-\x7e\n\t])"
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_KEYWORDS: Final = frozenset(keyword.kwlist) - {"in", "None", "True", "False"}
_OPERATORS: Final = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult, ast.Pow, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.Load, ast.Store,
)  # fmt: skip
_EXPRESSIONS: Final = (
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Tuple, ast.List,
)  # fmt: skip
_REFUSED: Final[dict[type[ast.AST], str]] = {
    ast.Import: "an import", ast.ImportFrom: "an import", ast.FunctionDef: "a function definition",
    ast.ClassDef: "a class", ast.Lambda: "a lambda", ast.NamedExpr: "an assignment inside an expression",
    ast.ListComp: "a comprehension", ast.GeneratorExp: "a comprehension", ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension", ast.JoinedStr: "an f-string", ast.AugAssign: "an augmented assignment",
    ast.For: "a loop", ast.While: "a loop", ast.If: "a statement", ast.IfExp: "a conditional expression",
    ast.Dict: "a dictionary", ast.Set: "a set", ast.Starred: "a starred expression", ast.BoolOp: "`and`/`or`",
    ast.Await: "an await", ast.Yield: "a yield", ast.Delete: "a statement", ast.Assert: "a statement",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """The text as its author wrote it, and how far its lines were moved to the left."""

    text: str
    margin: int = 0

    def place(self, node: ast.AST) -> Place:
        return (getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1 + self.margin)

    def segment(self, node: ast.AST) -> str:
        """The text of a node; comments beside it are left out."""
        first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0)
        rows = [row[self.margin :] for row in self.text.split("\n")[first - 1 : last]]
        if not rows:
            return ""
        rows[-1] = rows[-1][:end]
        rows[0] = rows[0][start:]
        return " ".join(" ".join(row.split("#")[0].split()) for row in rows) if len(rows) > 1 else rows[0]


def parse(text: str) -> tuple[Source, list[ast.stmt]]:
    """The statements of a program, checked against the allow-list."""
    source, body = _capped(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(body)
    except SyntaxError as error:
        raise _syntax_problem(error, source) from None
    except (RecursionError, MemoryError):
        raise LimitProblem("the program nests too deeply to be read", source=text) from None
    except ValueError as error:
        raise SyntaxProblem(f"the text cannot be read: {error}", source=text) from None
    checker = _Checker(source)
    for statement in tree.body:
        checker.statement(statement)
    return source, tree.body


def _capped(text: str) -> tuple[Source, str]:
    if len(text) > MAX_CHARACTERS:
        raise LimitProblem(
            f"the program has {len(text):,} characters where at most {MAX_CHARACTERS:,} are accepted",
            hint="split it, or derive one layer at a time",
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # A comment may hold any character: it is blanked, and every place stays where it was.
    parts, last = [], 0
    for start, end in _scan(text):
        parts += [text[last:start], " " * (end - start)]
        last = end
    body = "".join([*parts, text[last:]])
    rows = [row for row in body.split("\n") if row.strip()]
    moved = textwrap.dedent("\n".join(rows)).split("\n") if rows else []
    margin = len(rows[0]) - len(moved[0]) if rows else 0
    body = "\n".join(row[margin:] for row in body.split("\n"))
    return Source(text, margin), body


def _scan(text: str) -> list[tuple[int, int]]:
    """Refuse what must not reach the parser; give back where the comments are."""
    comments = []
    depth = 0
    for match in _TOKEN.finditer(text):
        match match.lastgroup:
            case "comment":
                comments.append(match.span())
            case "open":
                depth += 1
                if depth > MAX_NESTING:
                    raise LimitProblem(
                        f"brackets nest more than {MAX_NESTING} deep",
                        where=place_at(text, match.start()),
                        source=text,
                        hint="name a subexpression on a line of its own",
                    )
            case "close":
                depth -= 1
            case "number":
                _check_number(match.group(), text, match.start())
            case "odd" | "string":
                _check_characters(match.group(), text, match.start())
    return comments


def _check_number(digits: str, text: str, start: int) -> None:
    following = text[start + len(digits) : start + len(digits) + 1]
    if following.isalpha() or following == "_":
        what = f"`{digits}{following}…` is neither a number nor a name"
        hint = "decimal numbers, and names that begin with a letter"
        raise SyntaxProblem(what, where=place_at(text, start), source=text, hint=hint)
    mantissa, _, exponent = digits.lower().partition("e")
    if sum(c.isdigit() for c in mantissa) > MAX_DIGITS:
        what = f"a number of more than {MAX_DIGITS} digits"
    elif exponent and (len(exponent) > 6 or abs(int(exponent.replace("_", ""))) > MAX_EXPONENT):
        what = f"a number with an exponent beyond {MAX_EXPONENT}"
    else:
        return
    raise LimitProblem(what, where=place_at(text, start), source=text, hint="use a shorter number")


def _check_characters(part: str, text: str, start: int) -> None:
    for offset, c in enumerate(part):
        if not "\x20" <= c <= "\x7e":
            kind = "letter outside ASCII" if c.isprintable() else "control character"
            raise SyntaxProblem(
                f"a {kind}, {c!r}, is not part of the language",
                where=place_at(text, start + offset),
                source=text,
                hint="names are made of A-Z, a-z, 0-9 and _",
            )


def place_at(text: str, position: int) -> Place:
    """Line and column of a position in the text, counted from 1."""
    line = text.count("\n", 0, position) + 1
    return line, position - (text.rfind("\n", 0, position) + 1) + 1


def _syntax_problem(error: SyntaxError, source: Source) -> SyntaxProblem | LimitProblem:
    line, column = error.lineno or 1, (error.offset or 1) + source.margin
    rows = source.text.split("\n")
    row = rows[line - 1] if line <= len(rows) else ""
    message = str(error.msg)
    if "too many nested" in message or "too complex" in message:
        what = "the program nests too deeply to be read"
        return LimitProblem(what, where=(line, column), source=source.text)
    word = next((w for w in re.findall(r"[A-Za-z_]+", row) if w in _KEYWORDS), None)
    if word is not None:
        text = f"`{word}` is a Python keyword, not part of the language"
        place = (line, row.index(word) + 1)
        return SyntaxProblem(text, where=place, source=source.text, hint="one definition a line: Y = X @ W")
    hint = "use ** for a power" if "^" in row else "one definition a line, in Python's syntax: Y = X @ W"
    what = f"this is not an expression: {message}"
    return SyntaxProblem(what, where=(line, column), source=source.text, hint=hint)


class _Checker:
    """The allow-list of node classes, the count of nodes, and the depth of nesting."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0
        self.dots: set[int] = set()  # nodes that stand in a slot, where `...` may stand

    def refuse(self, node: ast.AST, what: str, hint: str = "") -> SyntaxProblem:
        return SyntaxProblem(what, where=self.source.place(node), source=self.source.text, hint=hint)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name() | ast.Subscript() as target], value=value):
                self.expression(target)
                self.expression(value)
            case ast.Assign(targets=targets):
                what = "one name stands on the left of a definition"
                raise self.refuse(targets[-1], what, "write one definition a line")
            case ast.AnnAssign(target=ast.Name() as target, annotation=annotation, value=None):
                self.expression(target)
                self.expression(annotation)
            case ast.AnnAssign():
                raise self.refuse(node, "a declaration is a name, a colon and a shape", "X: [N, D]")
            case ast.Expr(value=value):
                self.expression(value)
            case _:
                raise self.unknown(node)

    def unknown(self, node: ast.AST) -> SyntaxProblem:
        what = _REFUSED.get(type(node), f"Python's {type(node).__name__}")
        return self.refuse(node, f"{what} is not part of the language", "one definition a line: Y = X @ W")

    def expression(self, root: ast.AST) -> None:
        for node, depth in _nodes(root):
            if isinstance(node, _OPERATORS):
                continue
            self.count += 1
            if self.count > MAX_NODES:
                raise LimitProblem(f"the program has more than {MAX_NODES:,} parts", source=self.source.text)
            if depth > MAX_NESTING:
                raise LimitProblem(
                    f"the expression nests more than {MAX_NESTING} deep",
                    where=self.source.place(node),
                    source=self.source.text,
                    hint="name a subexpression on a line of its own",
                )
            if not isinstance(node, _EXPRESSIONS):
                raise self.unknown(node)
            self.node(node)

    def node(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name):
                self.name(node, name)
            case ast.BinOp(op=operator) if not isinstance(operator, _OPERATORS):
                hint = "use ** for a power" if isinstance(operator, ast.BitXor) else "+ - * / // % ** @"
                raise self.refuse(node, f"the operator {type(operator).__name__} is not known", hint)
            case ast.UnaryOp(op=operator) if not isinstance(operator, _OPERATORS):
                raise self.refuse(node, f"the operator {type(operator).__name__} is not known", "-x")
            case ast.Attribute(attr=attribute) if attribute != "T":
                what = f"`.{attribute}` is not part of the language; the one attribute is .T"
                raise self.refuse(node, what, "functions stand in front: sum(X, axis=0), not X.sum(axis=0)")
            case ast.Call(func=func) if not isinstance(func, ast.Name):
                what = "only the functions of the language are called, by their name"
                raise self.refuse(node, what, "sum(X, axis=0) instead of X.sum(axis=0)")
            case ast.keyword(arg=None):
                raise self.refuse(node.value, "`**` before an argument is not part of the language")
            case ast.Constant(value=complex() | bytes()):
                raise self.refuse(node, "only real numbers are part of the language")
            case ast.Subscript(slice=place):
                slots = place.elts if isinstance(place, ast.Tuple) else [place]
                self.dots |= {id(slot) for slot in slots}
            case ast.Constant(value=value) if value is Ellipsis and id(node) not in self.dots:
                raise self.refuse(node, "`...` stands for axes in a subscript only", "X[..., 0]")

    def name(self, node: ast.AST, name: str) -> None:
        if "__" in name or not _NAME.match(name):
            raise NameProblem(
                f"`{name}` is not a name of the language",
                where=self.source.place(node),
                source=self.source.text,
                hint="a letter first, then letters, digits and single underscores",
            )


def _nodes(root: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Every node with its depth. The left spine of an operator chain counts as one level."""
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        for child in reversed(list(ast.iter_child_nodes(node))):
            stack.append((child, depth if _goes_on(node, child) else depth + 1))


def _goes_on(node: ast.AST, child: ast.AST) -> bool:
    """Whether a chain of one kind of operators goes on to its left."""
    if not (isinstance(node, ast.BinOp) and child is node.left and isinstance(child, ast.BinOp)):
        return False
    return _family(node.op) == _family(child.op)


def _family(operator: ast.operator) -> str:
    """Operators whose chains are read in one go."""
    match operator:
        case ast.Add() | ast.Sub():
            return "sum"
        case ast.Mult() | ast.Div():
            return "product"
    return type(operator).__name__


def chain(node: ast.expr) -> list[tuple[ast.operator | None, ast.expr]]:
    """A left-nested chain `a op b op c` as [(None, a), (op, b), (op, c)], without recursion."""
    links: list[tuple[ast.operator | None, ast.expr]] = []
    if isinstance(node, ast.BinOp):
        family = _family(node.op)
        while isinstance(node, ast.BinOp) and _family(node.op) == family:
            links.append((node.op, node.right))
            node = node.left
    links.append((None, node))
    links.reverse()
    return links
