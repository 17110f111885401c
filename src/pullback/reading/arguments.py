"""The arguments of a call in matrix notation, bound to the parameters of a function of the language."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from pullback.errors import PullbackError, ShapeProblem, SyntaxProblem, nearest
from pullback.expression import Expr, num
from pullback.reading.context import Context
from pullback.reading.value import Value


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of matrix notation. A parameter with `=` may be left out; `*x` takes any number."""

    parameters: tuple[str, ...]
    build: Callable[[Arguments], Value]

    def signature(self, name: str) -> str:
        return f"{name}({', '.join(self.parameters)})"


class Arguments:
    """What a call was given. Each getter names the parameter it could not read."""

    def __init__(self, context: Context, name: str, entry: Entry, node: ast.Call) -> None:
        self.context = context
        self.name = name
        self.node = node
        self.given: dict[str, ast.expr] = {}
        self.rest: list[ast.expr] = []
        self._bind(entry)

    def _bind(self, entry: Entry) -> None:
        names = [parameter.split("=")[0] for parameter in entry.parameters]
        shape = entry.signature(self.name)
        for k, argument in enumerate(self.node.args):
            if names[min(k, len(names) - 1)].startswith("*"):
                self.rest.append(argument)
            elif k >= len(names):
                raise self.problem(argument, SyntaxProblem(f"{self.name} takes fewer arguments", hint=shape))
            else:
                self.given[names[k]] = argument
        for keyword in self.node.keywords:
            name = keyword.arg or ""
            if name not in names:
                near = nearest(name, names)
                what = f"{self.name} has no argument `{name}`"
                raise self.problem(keyword.value, SyntaxProblem(what, hint=near or shape))
            if name in self.given:
                raise self.problem(keyword.value, SyntaxProblem(f"`{name}` is given twice", hint=shape))
            self.given[name] = keyword.value
        for parameter in entry.parameters:
            required = "=" not in parameter and not parameter.startswith("*")
            if required and parameter not in self.given:
                what = f"{self.name} lacks its argument `{parameter}`"
                raise self.problem(self.node, SyntaxProblem(what, hint=shape))

    def problem(self, node: ast.AST, error: PullbackError) -> PullbackError:
        return self.context.at(node, error)

    def shape_problem(self, message: str, hint: str = "") -> PullbackError:
        return self.problem(self.node, ShapeProblem(f"{self.name}: {message}", hint=hint))

    # ---- getters ------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        return not self._none(self.given.get(name))

    @staticmethod
    def _none(node: ast.expr | None) -> bool:
        return node is None or (isinstance(node, ast.Constant) and node.value is None)

    def tensor(self, name: str) -> Value:
        return self.context.operand(self.given[name])

    def integer(self, name: str, default: int) -> int:
        node = self.given.get(name)
        if node is None or self._none(node):
            return default
        return self.literal(node, name)

    def literal(self, node: ast.expr, what: str) -> int:
        match node:
            case ast.Constant(value=int() as value) if not isinstance(value, bool):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return -value
        pairwise = {"max": "maximum(a, b) is the larger of two", "min": "minimum(a, b) is the smaller of two"}
        hint = pairwise.get(self.name, "")
        raise self.problem(node, SyntaxProblem(f"`{what}` of {self.name} is a whole number", hint=hint))

    def flag(self, name: str) -> bool:
        node = self.given.get(name)
        match node:
            case None:
                return False
            case ast.Constant(value=bool() as value):
                return value
        raise self.problem(node, SyntaxProblem(f"`{name}` of {self.name} is True or False"))

    def axes(self, name: str, rank: int, default: int | None = None) -> tuple[int, ...]:
        """The axes meant, counted from 0; all of them where none is given."""
        node = self.given.get(name)
        if node is None or self._none(node):
            return tuple(range(rank)) if default is None else (self._axis(default, rank, self.node),)
        parts = node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
        found = tuple(self._axis(self.literal(part, name), rank, part) for part in parts)
        if len(set(found)) != len(found):
            raise self.problem(node, ShapeProblem(f"{self.name}: an axis is given twice"))
        return found

    def axis(self, name: str, rank: int, default: int) -> int:
        found = self.axes(name, rank, default)
        if len(found) != 1:
            raise self.shape_problem("takes one axis")
        return found[0]

    def _axis(self, axis: int, rank: int, node: ast.AST) -> int:
        if not -rank <= axis < rank:
            what = f"{self.name}: axis {axis} of a tensor with {rank} axes"
            hint = f"axes count from 0 to {rank - 1}" if rank else "a scalar has no axes"
            raise self.problem(node, ShapeProblem(what, hint=hint))
        return axis % rank

    def pair(self, name: str, default: int) -> tuple[Expr, Expr]:
        """One number for both spatial axes, or one for each."""
        node = self.given.get(name)
        if isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == 2:
            return self.context.size(node.elts[0]), self.context.size(node.elts[1])
        size = self.size(name, default)
        return size, size

    def size(self, name: str, default: int | None = None) -> Expr:
        node = self.given.get(name)
        if node is None or (default is not None and self._none(node)):
            assert default is not None
            return num(default)
        return self.context.size(node)

    def sizes(self, name: str) -> tuple[ast.expr, ...]:
        node = self.given[name]
        return tuple(node.elts) if isinstance(node, (ast.Tuple, ast.List)) else (node,)
