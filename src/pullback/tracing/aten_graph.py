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
from pullback.tracing.recording import Graph, Node, ancestors, filled, recorded

FRESH: Final = (
    "zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones",
    "new_full", "new_empty", "clone", "arange", "_to_copy", "lift_fresh_copy",
)  # fmt: skip

WHOLE: Final = (
    "logsumexp", "logaddexp", "masked_fill", "addcmul", "addcdiv", "lerp", "square", "rsub", "silu", "index_add",
    "squeeze", "stack", "transpose", "t",
)  # fmt: skip
"""Operations that have a row of their own: PyTorch's way through others compares numbers that the function does not."""


@cache
def _decompositions() -> dict[Any, Any]:
    """PyTorch's own, to its core operations; to put the table together takes longer than a trace."""
    from torch._decomp import core_aten_decompositions

    table: Any = core_aten_decompositions()
    return {op: how for op, how in table.items() if str(op).split(".")[1] not in WHOLE}


def operations(joint: Any, samples: Sequence[Any]) -> Graph:
    """The graph of ATen operations of a function of tensors. Raises `Untraceable`."""
    import torch

    pure = torch.func.functionalize(joint, remove="mutations_and_views")
    seeded()
    try:
        return recorded(pure, samples, _decompositions())
    except PullbackError:
        raise
    except CODE_ERRORS as error:
        said = str(error).splitlines() or [""]
        raise Untraceable(f"it cannot be traced ({type(error).__name__}: {said[0]})") from error


def seeded() -> None:
    """PyTorch's random numbers of the CPU from the same start; a seed for every device records the stack."""
    import torch

    torch.default_generator.manual_seed(0)


def interpreted(graph: Graph, given: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """Some outputs of a graph of ATen operations, run on arrays of numbers; what they do not need is not run."""
    roots = [graph.results[k] for k in wanted]
    needed = ancestors(roots)
    values: dict[Node, Any] = {}
    inputs = iter(given)
    for node in graph.nodes:
        if node.op == "input":
            values[node] = next(inputs)
        elif node not in needed:
            continue
        elif node.op == "constant":
            constant = numpy_of(node.target)
            values[node] = numbers(constant) if constant.dtype.kind == "f" else constant
        else:
            values[node] = _applied(node, values)
    return [values[root] for root in roots]


def _applied(node: Node, values: dict[Node, Any]) -> Any:
    args = filled(node.args, values.__getitem__)
    if node.target is operator.getitem:
        return args[0][args[1]]
    kwargs = filled(node.kwargs, values.__getitem__)
    namespace, _, rest = str(node.target).partition(".")
    if namespace != "aten":
        raise Untraceable(f"the operation {node.target} has no meaning here")
    found = operation(_in_place_aside(node, rest.split(".")[0]))(*args, **kwargs)
    return tuple(_as_array(x) for x in found) if isinstance(found, tuple | list) else _as_array(found)


def _in_place_aside(node: Node, name: str) -> str:
    """The operation that changes nothing, for one on a tensor that no other shows a part of."""
    if not name.endswith("_") or name.endswith("__") or name in OPERATIONS:
        return name
    changed = str(node.args[0].target).split(".")[1] if node.args[0].op == "call" else ""
    if changed not in FRESH and not changed.endswith("_"):
        raise Untraceable(f"{name} changes a part of another tensor")
    return name[:-1]


def _as_array(x: Any) -> Any:
    return array(x) if not isinstance(x, np.ndarray) else x


def numpy_of(x: Any) -> Any:
    if x is None or isinstance(x, np.ndarray):
        return x
    if not hasattr(x, "detach"):
        return np.asarray(x)
    x = x.detach()
    return (x.float() if str(x.dtype) == "torch.bfloat16" else x).resolve_conj().numpy().copy()
