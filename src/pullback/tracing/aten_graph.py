"""The graph of ATen operations that a PyTorch function runs, and its meaning on arrays of numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.tracing.arrays import numbers
from pullback.tracing.aten import OPERATIONS, array, operation
from pullback.tracing.numbers import Untraceable
from pullback.tracing.numpy_pair import CODE_ERRORS

FRESH: Final = (
    "zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones",
    "new_full", "new_empty", "clone", "arange", "_to_copy", "lift_fresh_copy",
)  # fmt: skip


@cache
def _decompositions() -> dict[Any, Any]:
    """PyTorch's own, to its core operations; to put the table together takes longer than a trace."""
    from torch._decomp import core_aten_decompositions

    table: Any = core_aten_decompositions()
    return dict(table.items())


def operations(joint: Any, samples: Sequence[Any], frozen: bool = False) -> Any:
    """The graph of ATen operations of a function of tensors. Raises `Untraceable`.

    With `frozen` the code may turn tensors into numbers that depend on none of the samples: a count of labels.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    pure = torch.func.functionalize(joint, remove="mutations_and_views")
    torch.manual_seed(0)
    try:
        traced: Any = make_fx(
            pure, decomposition_table=_decompositions(), _error_on_data_dependent_ops=not frozen
        )(*samples)
        _demand_constant(traced)
        return traced
    except PullbackError:
        raise
    except CODE_ERRORS as error:
        said = str(error).splitlines() or [""]
        raise Untraceable(f"it cannot be traced ({type(error).__name__}: {said[0]})") from error


def _demand_constant(graph: Any) -> None:
    """The tensors that the code turned into numbers depend on none of the inputs."""
    import torch

    read = [node for node in graph.graph.nodes if node.target is torch.ops.aten._local_scalar_dense.default]
    if any(node.op == "placeholder" for node in _ancestors(read)):
        raise Untraceable("its path depends on values")


def interpreted(graph: Any, given: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """Some outputs of a graph of ATen operations, run on arrays of numbers; what they do not need is not run."""
    nodes = list(graph.graph.nodes)
    (result,) = next(node for node in nodes if node.op == "output").args
    roots = [result[k] for k in wanted]
    needed = _ancestors(roots)
    values: dict[Any, Any] = {}
    inputs = iter(given)
    for node in nodes:
        if node.op == "placeholder":
            values[node] = next(inputs)
        elif node not in needed:
            continue
        elif node.op == "get_attr":
            constant = numpy_of(getattr(graph, node.target))
            values[node] = numbers(constant) if constant.dtype.kind == "f" else constant
        elif node.op == "call_function":
            values[node] = _applied(node, values)
    return [values[root] for root in roots]


def _applied(node: Any, values: dict[Any, Any]) -> Any:
    args = _filled(node.args, values)
    if node.target is operator.getitem:
        return args[0][args[1]]
    kwargs = {key: _filled(x, values) for key, x in node.kwargs.items()}
    namespace, _, rest = str(node.target).partition(".")
    if namespace != "aten":
        raise Untraceable(f"the operation {node.target} has no meaning here")
    found = operation(_in_place_aside(node, rest.split(".")[0]))(*args, **kwargs)
    return tuple(_as_array(x) for x in found) if isinstance(found, tuple | list) else _as_array(found)


def _in_place_aside(node: Any, name: str) -> str:
    """The operation that changes nothing, for one on a tensor that no other shows a part of."""
    if not name.endswith("_") or name.endswith("__") or name in OPERATIONS:
        return name
    changed = str(node.args[0].target).split(".")[1] if node.args[0].op == "call_function" else ""
    if changed not in FRESH and not changed.endswith("_"):
        raise Untraceable(f"{name} changes a part of another tensor")
    return name[:-1]


def _as_array(x: Any) -> Any:
    return array(x) if not isinstance(x, np.ndarray) else x


def _filled(x: Any, values: dict[Any, Any]) -> Any:
    if isinstance(x, tuple | list):
        return (
            type(x)(_filled(part, values) for part in x)
            if type(x) in (tuple, list)
            else [_filled(p, values) for p in x]
        )
    return values[x] if hasattr(x, "op") and hasattr(x, "target") else x


def _ancestors(roots: Sequence[Any]) -> set[Any]:
    found: set[Any] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def numpy_of(x: Any) -> Any:
    if x is None or isinstance(x, np.ndarray):
        return x
    if not hasattr(x, "detach"):
        return np.asarray(x)
    x = x.detach()
    return (x.float() if str(x.dtype) == "torch.bfloat16" else x).resolve_conj().numpy().copy()
