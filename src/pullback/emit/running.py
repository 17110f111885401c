"""Running emitted source. It is parsed again and every node and every name is checked before it is executed."""

from __future__ import annotations
import __future__

import ast
import linecache
import math
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from itertools import count
from typing import Any, Final

from pullback.emit.spelling import MATH
from pullback.emit.target import NUMPY, Target
from pullback.errors import InternalProblem, PullbackError

_counter = count(1)
_ALLOWED: Final = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.Expr, ast.Name, ast.Load,
    ast.Store, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.IfExp, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
# NumPy's own C code imports through the caller's builtins; the names are not reachable from checked source.
_BUILTINS: Final = {
    "float": float,
    "abs": abs,
    "max": max,
    "min": min,
    "len": len,
    "enumerate": enumerate,
    "zip": zip,
    "slice": slice,
    "tuple": tuple,
    "__import__": __import__,
}
# What spellings say beside the functions of their tables: methods and data of arrays, and how new ones are made.
_ATTRIBUTES: Final = {
    "T", "mT", "shape", "dtype", "device", "ndim", "astype", "to", "sum", "mean", "max", "min", "amax", "amin", "prod",
    "cumsum", "reshape", "transpose", "permute", "expand", "copy", "clamp", "flatten", "squeeze", "detach",
    "new_full", "index_add", "gather", "at", "add", "new_ones", "new_zeros", "logabsdet",
}  # fmt: skip
_MODULES: Final = {
    "numpy": {"np": "numpy"},
    "torch": {"torch": "torch"},
    "jax": {"jax": "jax", "jnp": "jax.numpy"},
}
_FUNCTIONS: Final = {
    "numpy": {"np.floating", "np.integer", "np.pi", "np.eye",
              "np.ones", "np.full", "np.zeros", "np.clip", "np.broadcast_to", "np.result_type", "np.take_along_axis",
              "np.swapaxes"},
    "torch": {"torch.softmax", "torch.log_softmax", "torch.logsumexp", "torch.where", "torch.maximum",
              "torch.minimum", "torch.logaddexp", "torch.hypot", "torch.full_like", "torch.cat", "torch.arange",
              "torch.eye",
              *(f"torch.nn.{word}" for axes in "123" for word in
                (f"functional.conv{axes}d", f"grad.conv{axes}d_input", f"grad.conv{axes}d_weight"))},
    "jax": {"jnp.eye", "jnp.ones", "jnp.zeros", "jnp.clip", "jnp.full", "jnp.broadcast_to", "jnp.asarray",
            "jax.nn.one_hot", "jax.lax.conv_general_dilated",
            "jnp.take_along_axis"},
}  # fmt: skip


def run_source(text: str, function: str, target: Target = NUMPY) -> Callable[..., Any]:
    """The function of that name defined by an emitted module.

    Raises `InternalProblem` where the text holds anything that emitted code never holds.
    """
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    heads = (*_MODULES[target.name], "math")
    allowed = _paths_allowed(target, heads)
    own = _helpers(target)
    for part in tree.body:
        if ast.dump(part) not in own:  # a helper stands in a table here, word for word
            for node in ast.walk(part):
                _check(node, heads)
    for path in _paths(tree, heads):
        if path not in allowed:
            raise InternalProblem(f"emitted code reads {path}, which is never emitted")
    name = f"<pullback {next(_counter)}>"
    # Tracebacks and inspect.getsource then show the emitted lines.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    code = compile(tree, name, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    namespace: dict[str, Any] = {"math": math, "__builtins__": _BUILTINS, **_modules(target)}
    exec(code, namespace)
    result: Callable[..., Any] = namespace[function]
    return result


def _modules(target: Target) -> dict[str, Any]:
    try:
        return {name: import_module(path) for name, path in _MODULES[target.name].items()}
    except ModuleNotFoundError:
        what = f"{target.name} is not installed"
        raise PullbackError(what, hint=f"pip install pullback[{target.name}]") from None


def _paths_allowed(target: Target, heads: Collection[str]) -> set[str]:
    """The dotted names that the target's tables, its helpers and its spelling hold."""
    allowed = {*target.speller.names_of_target.values(), *_FUNCTIONS[target.name]}
    for helper in target.speller.helpers_of_target.values():
        allowed |= set(_paths(ast.parse(helper), heads))
    return allowed | {f"math.{name}" for name in ("pi", "inf", *MATH.values())}


@cache
def _helpers(target: Target) -> frozenset[str]:
    """The functions that may stand beside emitted code."""
    return frozenset(ast.dump(ast.parse(text).body[0]) for text in target.speller.helpers_of_target.values())


def _paths(tree: ast.AST, heads: Collection[str]) -> Iterator[str]:
    """Every dotted name that begins with a module, as far as it reaches."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node not in inner:
            parts, base = [node.attr], node.value
            while isinstance(base, ast.Attribute):
                inner.add(base)
                parts.append(base.attr)
                base = base.value
            if isinstance(base, ast.Name) and base.id in heads:
                yield ".".join([base.id, *reversed(parts)])


def _check(node: ast.AST, heads: Collection[str]) -> None:
    if not isinstance(node, _ALLOWED):
        raise InternalProblem(f"emitted code holds {type(node).__name__}, which is never emitted")
    if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        raise InternalProblem(f"emitted code reads .{node.attr}, which is never emitted")
    if isinstance(node, ast.Attribute) and not _on_module(node, heads) and node.attr not in _ATTRIBUTES:
        raise InternalProblem(f"emitted code reads .{node.attr}, which is never emitted")
    if isinstance(node, ast.Name) and node.id.startswith("__"):
        raise InternalProblem(f"emitted code holds the name {node.id}, which is never emitted")


def _on_module(node: ast.Attribute, heads: Collection[str]) -> bool:
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        base = base.value
    return isinstance(base, ast.Name) and base.id in heads
