"""The ATen operations that run while a function of tensors is called: a graph of plain nodes.

PyTorch's own recorder keeps with every operation its stack, and a second tensor that has no values; here a node is
the operation with its arguments, which is all that an interpreter needs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pullback.tracing.numbers import Untraceable

RENAMES: Final = ("aten.alias.default", "aten.detach.default")


@dataclass(eq=False, slots=True)
class Node:
    """An input, a constant tensor (the target), or the call of an operation; nodes stand in its arguments."""

    op: Literal["input", "constant", "call"]
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> Iterator[Node]:
        """The nodes that it reads."""
        return _within((self.args, list(self.kwargs.values())))


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of their calls, those of the inputs first, and the nodes of the results."""

    nodes: tuple[Node, ...]
    results: tuple[Node, ...]

    def __call__(self, *tensors: Any) -> tuple[Any, ...]:
        """The results for other tensors of the same shapes, by PyTorch."""
        values: dict[Node, Any] = {}
        given = iter(tensors)
        for node in self.nodes:
            if node.op == "input":
                values[node] = next(given).clone()
            elif node.op == "constant":
                values[node] = node.target.clone()
            else:
                args, kwargs = filled(node.args, values.__getitem__), filled(node.kwargs, values.__getitem__)
                values[node] = node.target(*args, **kwargs)
        return tuple(values[node] for node in self.results)


def filled(x: Any, value_of: Callable[[Node], Any]) -> Any:
    """Arguments with a value in the place of each node."""
    if isinstance(x, Node):
        return value_of(x)
    if isinstance(x, dict):
        return {key: filled(part, value_of) for key, part in x.items()}
    if isinstance(x, list | tuple):
        parts = [filled(part, value_of) for part in x]
        return tuple(parts) if isinstance(x, tuple) else parts
    return x


def _within(x: Any) -> Iterator[Node]:
    if isinstance(x, Node):
        yield x
    elif isinstance(x, list | tuple):
        for part in x:
            yield from _within(part)


def ancestors(roots: Sequence[Node]) -> set[Node]:
    """The nodes that others need, themselves among them."""
    found: set[Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.inputs
    return found


def recorded(function: Callable[..., Any], samples: Sequence[Any], decompositions: Any) -> Graph:
    """The graph of a function at these samples, its operations replaced by simpler ones where a table has them.

    Raises `Untraceable` where a number is read off a tensor that depends on the samples.
    """
    recorder = _Recorder(decompositions)
    given = [x.clone() for x in samples]
    for x in given:
        recorder.keep(x, Node("input", None))
    with recorder.mode:
        results = function(*given)
    return Graph(tuple(recorder.nodes), tuple(recorder.node(x) for x in results))


class _Recorder:
    def __init__(self, decompositions: Any) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode

        def called(_: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return self.call(func, args, kwargs or {})

        own = {"__torch_dispatch__": called, "_should_skip_dynamo": classmethod(_compiled_alike)}
        self.mode: Any = type("Recording", (TorchDispatchMode,), own)()
        self.decompositions = decompositions
        self.nodes: list[Node] = []
        self.known: dict[int, Node] = {}
        self.alike: dict[int, list[int]] = {}  # tensors that show the same entries as another
        self.kept: list[Any] = []  # a tensor that is gone would leave its identity to another

    def keep(self, tensor: Any, node: Node) -> None:
        self.nodes.append(node)
        self.kept.append(tensor)
        for name in self.alike.setdefault(id(tensor), [id(tensor)]):
            self.known[name] = node

    def share(self, tensor: Any, other: Any) -> None:
        """Another name for a tensor: what changes the one in place changes the other."""
        node = self.node(other)
        self.kept.append(tensor)
        self.known[id(tensor)] = node
        self.alike[id(tensor)] = self.alike[id(other)]
        self.alike[id(other)].append(id(tensor))

    def node(self, x: Any) -> Any:
        """The node of a tensor, a constant where no operation made it; anything else as it is."""
        if isinstance(x, list | tuple):
            return type(x)([self.node(part) for part in x])
        if not _is_tensor(x):
            return x
        if id(x) not in self.known:
            self.keep(x, Node("constant", x.detach().clone()))
        return self.known[id(x)]

    def call(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """An operation: recorded as the simpler ones that it consists of, where that is known."""
        with self.mode:
            simpler = NotImplemented
            if func in self.decompositions:
                simpler = self.decompositions[func](*args, **kwargs)
            if simpler is NotImplemented:
                simpler = func.decompose(*args, **kwargs)
        if simpler is not NotImplemented:
            return simpler
        if str(func) in RENAMES:
            found = func(*args)
            self.share(found, args[0])
            return found
        node = Node("call", func, self.node(args), {key: self.node(x) for key, x in kwargs.items()})
        found = func(*args, **kwargs)
        self._record(node, found)
        return found

    def _record(self, node: Node, found: Any) -> None:
        if _is_tensor(found):
            self.keep(found, node)
            return
        self.nodes.append(node)
        if isinstance(found, list | tuple):
            for k, part in enumerate(found):
                if _is_tensor(part):
                    self.keep(part, Node("call", operator.getitem, (node, k)))
        elif found is not None and any(n.op == "input" for n in ancestors([node])):
            raise Untraceable("its path depends on values")


def _compiled_alike(_: type) -> bool:
    """Nothing is compiled here, and to be left out of compilation would load PyTorch's compiler first."""
    return False


def _is_tensor(x: Any) -> bool:
    import torch

    return isinstance(x, torch.Tensor)
