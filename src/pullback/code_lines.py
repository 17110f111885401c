"""The line of a backward in which a gradient is made: the last one that writes to what is returned."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from pullback.code_edits import backward_of
from pullback.tracing.jax_function import JaxFunction
from pullback.tracing.numpy_layer import LayerPair
from pullback.tracing.numpy_nested import NestedPair
from pullback.tracing.numpy_pair import NumpyPair
from pullback.tracing.passes import Pass

DRESSED: Final = (
    "astype",
    "reshape",
    "squeeze",
    "copy",
    "T",
    "mT",
    "transpose",
    "view",
    "to",
    "contiguous",
    "type_as",
)


def line_of(code: Pass, name: str) -> str:
    """FILE:LINE for the gradient of an input; nothing where the source does not tell."""
    function = inspect.unwrap(backward_of(code)) if backward_of(code) is not None else None
    try:
        lines, start = inspect.getsourcelines(function)  # type: ignore[arg-type]
        body = ast.parse(textwrap.dedent("".join(lines))).body
        file = inspect.getsourcefile(function) or ""  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return ""
    made = body[0] if body else None
    if not isinstance(made, ast.FunctionDef):
        return ""
    found = _Source(made).line(*_wanted(code, name))
    return f"{file}:{start + found - 1}" if found else ""


def _wanted(code: Pass, name: str) -> tuple[list[tuple[int, int]], list[str], str]:
    """Places among the returned gradients, as (of how many, which); keys of dictionaries; an attribute."""
    position = code.names.index(name)
    index = code.wrt.index(position)
    if isinstance(code, LayerPair):
        first = len(code.names) - len(code.held)
        if position >= first:
            gradient = code.held[position - first].gradient
            return [], [str(k) for k in gradient[1:]], str(gradient[0])
        return [(first, position), (1, 0)], [name], ""
    if isinstance(code, NestedPair):
        leaf = code.nested.leaves[position]
        count = len(code.nested.names)
        return [(count, leaf.argument)], [str(k) for k in leaf.path[-1:]] or [name], ""
    if isinstance(code, JaxFunction):
        rest = [k for k in range(len(code.arguments.names)) if k not in code.fixed]
        argument = next(k for k in rest if position in code.arguments.positions(k))
        return [(len(rest), rest.index(argument))], [name], ""
    places = [(len(code.names), position)]
    return ([(len(code.wrt), index), *places] if isinstance(code, NumpyPair) else places), [name], ""


class _Source:
    """A function, the values that it returns, and what it assigns."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.statements = list(_own(function.body))

    def line(self, places: Sequence[tuple[int, int]], keys: Sequence[str], attribute: str) -> int:
        if attribute:
            return self._entry(attribute, keys) if keys else self._written(attribute)
        returned = [s.value for s in self.statements if isinstance(s, ast.Return) and s.value is not None]
        if not returned:
            return 0
        value = returned[-1]
        if isinstance(value, ast.Tuple | ast.List):
            for count, which in places:
                if len(value.elts) == count:
                    return self._resolved(value.elts[which], keys)
            return value.lineno
        return self._resolved(value, keys)

    def _resolved(self, value: ast.expr, keys: Sequence[str]) -> int:
        if isinstance(value, ast.Dict):
            for key, part in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and _is_gradient(str(key.value), keys):
                    return self._resolved(part, ())
            return value.lineno
        name = _root(value)
        if name is None:
            return value.lineno
        return (self._entry(name, keys) if keys else 0) or self._written(name) or value.lineno

    def _entry(self, name: str, keys: Sequence[str]) -> int:
        """The last line that writes to one key of a dictionary."""
        found = 0
        for statement in self.statements:
            for target in _targets(statement):
                if isinstance(target, ast.Subscript) and _root(target.value) == name:
                    key = target.slice
                    if isinstance(key, ast.Constant) and _is_gradient(str(key.value), keys):
                        found = target.lineno
            value = statement.value if isinstance(statement, ast.Assign) else None
            if isinstance(value, ast.Dict) and any(_root(t) == name for t in _targets(statement)):
                found = self._resolved(value, keys)
        return found

    def _written(self, name: str) -> int:
        """The last line that assigns to a name, or into it."""
        lines = [
            statement.lineno
            for statement in self.statements
            for target in _targets(statement)
            if _root(target.value if isinstance(target, ast.Subscript) else target) == name
        ]
        return lines[-1] if lines else 0


def _own(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a function in the order of its lines, without those of functions inside it."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from _own(getattr(statement, field, []))


def _targets(statement: ast.stmt) -> Iterator[ast.expr]:
    match statement:
        case ast.Assign(targets=targets):
            for target in targets:
                yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            yield target
        case ast.Expr(value=ast.Call(func=ast.Attribute(), args=[first, *_])):
            yield first  # np.add.at(dx, …)


def _root(value: ast.expr) -> str | None:
    """The variable (or attribute of `self`) that a value is, but for its type and shape."""
    match value:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
        case ast.Attribute(value=inner, attr=name) if name in DRESSED:
            return _root(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in DRESSED:
            return _root(inner)
    return None


def _is_gradient(key: str, names: Sequence[str]) -> bool:
    return any(key in (name, f"d{name}", f"d_{name}", f"grad_{name}") for name in names)
