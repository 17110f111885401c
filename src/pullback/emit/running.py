"""Running emitted source. It is parsed again and every node is checked before it is executed."""

from __future__ import annotations
import __future__

import ast
import linecache
import math
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import numpy as np

from pullback.errors import InternalProblem

_counter = count(1)
_ALLOWED: Final = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.Expr, ast.Name, ast.Load,
    ast.Store, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.IfExp, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
# NumPy's own C code imports through the caller's builtins; the names are not reachable from checked source.
_BUILTINS: Final = {"float": float, "__import__": __import__}
_ATTRIBUTES: Final = {
    "T", "shape", "dtype", "astype", "sum", "mean", "max", "min", "prod", "reshape", "transpose", "cumsum",
    "copy", "linalg",
}  # fmt: skip


def run_source(text: str, function: str) -> Callable[..., Any]:
    """The function of that name defined by an emitted module.

    Raises `InternalProblem` where the text holds anything that emitted code never holds.
    """
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        _check(node)
    name = f"<pullback {next(_counter)}>"
    # Tracebacks and inspect.getsource then show the emitted lines.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    code = compile(tree, name, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    namespace: dict[str, Any] = {"np": np, "math": math, "__builtins__": _BUILTINS}
    exec(code, namespace)
    result: Callable[..., Any] = namespace[function]
    return result


def _check(node: ast.AST) -> None:
    if not isinstance(node, _ALLOWED):
        raise InternalProblem(f"emitted code holds {type(node).__name__}, which is never emitted")
    if isinstance(node, ast.Attribute):
        on_numpy = isinstance(node.value, ast.Name) and node.value.id in ("np", "math")
        on_linalg = isinstance(node.value, ast.Attribute) and node.value.attr == "linalg"
        if node.attr.startswith("_") or not (on_numpy or on_linalg or node.attr in _ATTRIBUTES):
            raise InternalProblem(f"emitted code reads .{node.attr}, which is never emitted")
    if isinstance(node, ast.Name) and node.id.startswith("__"):
        raise InternalProblem(f"emitted code holds the name {node.id}, which is never emitted")
