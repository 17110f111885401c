"""An exported graph of PyTorch read into a writer, operation by operation."""

from __future__ import annotations

import inspect
import operator
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pullback.capture import aten_more
from pullback.capture.aten import TABLE as OPERATIONS
from pullback.capture.aten_cells import TABLE as CELLS
from pullback.capture.aten_data import TABLE as DATA
from pullback.capture.aten_data import ungraded
from pullback.capture.aten_layers import TABLE as LAYERS
from pullback.capture.aten_losses import TABLE as LOSSES
from pullback.capture.aten_pooling import TABLE as POOLING
from pullback.capture.aten_recurrent import TABLE as RECURRENT
from pullback.capture.aten_views import TABLE as VIEWS
from pullback.capture.captured import Captured
from pullback.capture.torch_data import Numbers, Pick
from pullback.capture.torch_held import Holding
from pullback.capture.torch_places import assigned_at, called_as, layer_of, place_of, spoken
from pullback.capture.writing import Value, Writer
from pullback.errors import DomainProblem, InternalProblem, PullbackError, nearest
from pullback.reading.shapes import parse_size
from pullback.sizes import same_size, shape_text, size_text

_ROWS: Final = {**OPERATIONS, **VIEWS, **LAYERS, **POOLING, **CELLS, **LOSSES, **RECURRENT, **DATA}
TABLE: Final = {**_ROWS, **aten_more.table(_ROWS.__getitem__)}
LETTERS: Final = {1: ("N",), 2: ("N",), 3: ("B", "T"), 4: ("N",)}  # names of free sizes, by rank of an input
# Of code without parameters of its own every axis is free, as far as it says nothing else.
WHOLE: Final = {1: ("N",), 2: ("N", "D"), 3: ("B", "T", "D"), 4: ("B", "C", "H", "W")}


@dataclass
class TorchCode:
    """A module with an example of its arguments, in float64."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    output: int | str | None = None
    letters: Mapping[int, Sequence[str]] = field(default_factory=lambda: LETTERS)  # of what is read now
    differentiated: bool = True  # whether the program has to have the derivative of the code as well

    def argument_names(self) -> list[str]:
        """The code's own names of its positional arguments, where each of them is one leaf; export changes them."""
        names = list(inspect.signature(self.module.forward).parameters)[: len(self.args)]
        return names if len(names) == len(flat(self.args)) else []

    def outputs(self, held: Mapping[str, Any], arguments: Sequence[Any]) -> list[Any]:
        """The tensors that the code gives, for parameters and arguments (in the order of the example)."""
        import torch

        count = len(self.args)
        kwargs = dict(zip(self.kwargs, arguments[count:], strict=True))
        found = torch.func.functional_call(self.module, dict(held), tuple(arguments[:count]), kwargs)
        return flat(found)


def flat(x: Any) -> list[Any]:
    """The leaves of nested tuples, lists and dictionaries."""
    from torch.utils._pytree import tree_leaves

    return list(tree_leaves(x))


class Reading:
    """One exported graph read into a writer, operation by operation."""

    def __init__(self, code: TorchCode, exported: Any) -> None:
        self.code = code
        self.exported = exported
        self.writer = Writer()
        self.values: dict[Any, Any] = {}
        self.symbols: dict[str, str] = {}  # export's name of a size -> ours
        self.leaves = flat((code.args, code.kwargs))
        self.own_names = dict(enumerate(code.argument_names()))
        self.held: dict[str, Any] = {}
        self.tied: dict[int, Any] = {}  # the module's tensors, by identity
        self.leaf = 0  # how many of the leaves have been met: numbers are leaves, too
        self.given: dict[str, int] = {}  # name of an argument -> its place among the leaves
        self.shapes: dict[str, Any] = {}  # name of an argument -> its shape
        specs = exported.graph_signature.input_specs
        self.own = {s.arg.name: self._found(s) for s in specs if s.kind.name != "USER_INPUT"}
        self.targets: dict[str, str] = {}  # placeholder -> the first path of what it stands for
        self.first: dict[int, str] = {}
        self.numbers = Numbers(exported, self.leaves, self.own)
        self.lengths: dict[Any, Value] = {}  # where a mask holds, by the mask
        self.node: Any = None  # the operation that is being read
        self.writer.computed = self._computed
        self.writer.see = lambda k: self.numbers.at(self.node)[1][k].numpy()

    def captured(self) -> Captured:
        nodes = list(self.exported.graph.nodes)
        specs = {spec.arg.name: spec for spec in self.exported.graph_signature.input_specs}
        for node in nodes:
            if node.op == "placeholder":
                self.node = node
                self.values[node] = self._input(node, specs[node.name])
            elif node.op == "get_attr":
                self.values[node] = None
        operations = [node for node in nodes if node.op == "call_function"]
        for node, following in zip(operations, [*operations[1:], None], strict=True):
            self.values[node] = self._called(node)
            self._name_assigned(node, following)
        output, place = self._output(nodes[-1])
        captured = self.writer.finish(output)
        if not captured.wrt:
            raise DomainProblem("no gradient flows from the output to any input")
        holding = Holding(self, captured, place)
        holding.demand_same()
        return holding.captured

    # ---- sizes

    def _size(self, x: Any) -> Any:
        """A number, or a size expression for a symbolic one."""
        if isinstance(x, int):
            return x
        text = str(x.node.expr)
        for theirs, ours in self.symbols.items():
            text = re.sub(rf"\b{theirs}\b", ours, text)
        return parse_size(text)

    def _shape(self, tensor: Any, letters: Sequence[str] = ()) -> tuple[Any, ...]:
        for axis, extent in enumerate(tensor.shape):
            if not isinstance(extent, int):
                self._name_size(str(extent.node.expr), self._example(extent, axis), letters, axis)
        return tuple(self._size(extent) for extent in tensor.shape)

    def _example(self, extent: Any, axis: int) -> int:
        """A size in the example; one that depends on values is read off the numbers."""
        hint = None if str(extent.node.expr).startswith("u") else extent.node.hint
        return int(flat(self.numbers.at(self.node)[0])[0].shape[axis]) if hint is None else int(hint)

    def _name_size(self, symbol: str, example: int, letters: Sequence[str], axis: int) -> None:
        if not symbol.isidentifier() or symbol in self.symbols:
            return
        wanted = [*letters[axis : axis + 1], *"NTBMKEF", *(f"N{k}" for k in range(1, 99))]
        taken = {*self.symbols.values()}
        name = next(n for n in wanted if n not in taken)
        self.symbols[symbol] = name
        self.writer.sizes[name] = example

    # ---- inputs

    def _input(self, node: Any, spec: Any) -> Any:
        tensor = node.meta.get("val")
        place = self.leaf
        self.leaf += spec.kind.name == "USER_INPUT"
        if not hasattr(tensor, "dtype"):
            return tensor
        letters = self.code.letters.get(tensor.dim(), ())
        if spec.kind.name == "USER_INPUT":
            example = self.leaves[place]
            name = self.own_names.get(place, node.name)
            self.given[name] = place
            kind = _kind(example)
            shape = self.shapes[name] = self._shape(tensor, letters)
            return self.writer.input(name, shape, kind=kind, values=example.detach().numpy())
        found = self.own[node.name]
        self.targets[node.name] = self.first.setdefault(id(found), spec.target)
        if id(found) in self.tied:
            return self.tied[id(found)]
        held = found.detach().clone()
        self.held[spec.target] = held
        kind = _kind(held)
        if kind != "float" or not held.numel():
            return self._constant(held.numpy(), spec.target) if held.numel() else None
        constant = spec.kind.name != "PARAMETER" or not found.requires_grad
        made = self.writer.input(
            spec.target, held.shape, values=held.numpy(), parameter=True, constant=constant
        )
        self.tied[id(found)] = made
        return made

    def _found(self, spec: Any) -> Any:
        """The module's own tensor behind a placeholder; tied parameters are one tensor."""
        module = self.code.module
        known = dict(module.named_parameters(remove_duplicate=False))
        known |= dict(module.named_buffers(remove_duplicate=False))
        return known[spec.target] if spec.target in known else self.exported.constants[spec.target]

    # ---- operations

    def _called(self, node: Any) -> Any:
        value = node.meta.get("val")
        if not isinstance(value, list | tuple) and not hasattr(value, "dtype"):
            return self._number(value)
        self.node = node
        if node.target is operator.getitem:
            whole = self.values[node.args[0]]
            return whole[node.args[1]]
        name = str(node.target).split(".")[1] if str(node.target).startswith("aten.") else ""
        mutates = name.endswith("_") and not name.endswith("__")
        name = name[:-1] if mutates else name
        constant = self._folded(node)
        if constant is not None:
            return constant
        row = TABLE.get(name, ungraded(node))
        if row is None:
            near = nearest(name, TABLE) if name else None
            raise self._refused(node, f"the operation {node.target} is not known", near or "")
        made = self._applied(row, node)
        if mutates and isinstance(node.args[0], type(node)):
            self.values[node.args[0]] = made
        return made

    def _name_assigned(self, node: Any, following: Any) -> None:
        """What a line of the code assigns is the value of its last operation; it gets a line of its own."""
        name, lines = assigned_at(node)
        if not name or layer_of(node) or (following is not None and assigned_at(following)[1] == lines):
            return
        made = self.values[node]
        if isinstance(made, Value) and made.tree is not None and made.number is None:
            made.hint, made.named = name, True

    def _number(self, value: Any) -> Any:
        if value is None or isinstance(value, int | float | bool) or type(value).__name__ == "SymBool":
            return value  # a condition on sizes is export's own assertion
        return self._size(value)

    def _folded(self, node: Any) -> Value | None:
        """A value that depends on no input: evaluated, and written as a constant."""
        inputs = node.all_input_nodes
        known = [self.values.get(x) for x in inputs]
        name = str(node.target).rpartition("aten.")[2].split(".")[0]
        if any(not _is_known(x) for x in known) or name in _KEPT:
            return None
        value = node.meta["val"]
        if isinstance(value, list | tuple) or any(not isinstance(n, int) for n in value.shape):
            return None
        return self._constant(self.numbers.at(node)[0].numpy(), node.name)

    def _constant(self, found: Any, hint: str) -> Value:
        """An array of the code; a condition keeps its kind, so that it may be an index."""
        made = self.writer.constant(found, hint)
        made.data = found if made.data is None or found.dtype.kind == "b" else made.data
        return made

    def _computed(
        self,
        hint: str,
        pick: Pick | None = None,
        shape: Any = None,
        *,
        which: int | None = None,
        length: bool = False,
    ) -> Value:
        """Data: what the code computes without a gradient, as an input of the program with its value here.

        pick: what it is of the operation's result and arguments; which: of several results one. length: of a result
        whose first axis has as many entries as the values decide.
        """
        own = self.node.meta["val"]
        same = (str(self.node.target), str(self.node.args[1:])) if length else None
        if same in self.lengths:  # the same mask once more
            self.symbols[str(own.shape[0].node.expr)] = size_text(self.lengths[same].shape[0])
            return self.lengths[same]
        take = pick or (lambda result, _: (result if which is None else result[which]).numpy())
        name = next(n for n in (hint, *(f"{hint}{k}" for k in range(1, 999))) if n not in self.numbers.picks)
        found = np.asarray(self.numbers.pick(name, self.node, take))
        if shape is None:
            sizes = self._shape(own if which is None else own[which])
            shape = sizes[:1] if length else sizes
        kind: Any = {"f": "float", "b": "bool"}.get(found.dtype.kind, "int")
        if kind == "int" and (found < 0).any():
            kind = "float"
        made = self.writer.input(name, shape, kind=kind, values=found, constant=True)
        made.computed = True
        if same is not None:
            self.lengths[same] = made
        self.writer.notes.append(f"{name} is data from {spoken(self.node)}: no gradient flows through it")
        return made

    def _applied(self, row: Any, node: Any) -> Any:
        writer = self.writer
        writer.place = place_of(node)
        writer.hint = called_as(node)
        before = len(writer.values)
        try:
            made = self._row(row, node)
        except PullbackError as error:
            raise self._refused(node, error.message, error.hint) from error
        except TypeError as error:
            raise self._refused(node, f"{node.target} with these arguments") from error
        results = made if isinstance(made, tuple) else (made,)
        for x in results:
            if isinstance(x, Value) and x in writer.values[before:]:
                layer = layer_of(node)
                x.hint = x.hint if len(x.hint) == 1 else layer or x.hint
                alone = bool(layer) or not assigned_at(node)[0]  # else the line's last value has the name
                x.named = x.named or (alone and (x.style == "contraction" or _holds_contraction(x)))
        self._check_shapes(node, results)
        return made

    def _row(self, row: Any, node: Any) -> Any:
        """What a row makes; where it has no meaning for whole numbers that the code computes, these are data."""
        kwargs = self._arguments(_meant(node.kwargs))
        try:
            return row(self.writer, *self._arguments(node.args), **kwargs)
        except PullbackError:
            whole = [x for x in node.all_input_nodes if getattr(self.values[x], "kind", "") == "int"]
            if not whole:
                raise
            kept = {x: self.values[x] for x in whole}
            for x in whole:
                self.node, hint = x, called_as(x) or x.name
                self.values[x] = self._computed(hint)
            self.node = node
            try:
                return row(self.writer, *self._arguments(node.args), **kwargs)
            finally:
                self.values.update(kept)

    def _check_shapes(self, node: Any, results: Sequence[Any]) -> None:
        value = node.meta["val"]
        for x, expected in zip(results, value if isinstance(value, list | tuple) else (value,), strict=False):
            if isinstance(x, Value):
                shape = tuple(parse_size(n) for n in self._shape(expected))
                if len(shape) != x.rank or not all(map(same_size, shape, x.shape)):
                    raise InternalProblem(
                        f"{node.target} gives {shape_text(shape)}, captured as {shape_text(x.shape)}"
                    )

    def _arguments(self, x: Any) -> Any:
        if isinstance(x, dict):
            return {key: self._arguments(part) for key, part in x.items()}
        if isinstance(x, list | tuple):
            return (
                [self._arguments(part) for part in x]
                if isinstance(x, list)
                else tuple(self._arguments(part) for part in x)
            )
        if not hasattr(x, "all_input_nodes"):
            return x
        return self.values[x]

    def _refused(self, node: Any, what: str, hint: str = "") -> DomainProblem:
        place = place_of(node)
        where = f" ({os.path.basename(place[0])}, line {place[1]})" if place else ""
        return DomainProblem(f"{what}{where}", hint=hint)

    # ---- the output

    def _output(self, node: Any) -> tuple[Value, int]:
        outputs = [self.values.get(x) for x in node.args[0]]
        specs = self.exported.graph_signature.output_specs
        users: list[Any] = [
            x for x, spec in zip(outputs, specs, strict=True) if spec.kind.name == "USER_OUTPUT"
        ]
        real = [k for k, x in enumerate(users) if isinstance(x, Value) and x.kind == "float"]
        if not real:
            raise DomainProblem("the code gives no tensor of floats")
        chosen = real[0] if self.code.output is None else int(self.code.output)
        if chosen not in real:
            raise DomainProblem(f"output {chosen} is no tensor of floats", hint=f"output={real[0]}")
        if len(real) > 1 and self.code.output is None:
            others = ", ".join(f"output={k}" for k in real[1:])
            self.writer.notes.append(
                f"the code gives {len(real)} tensors; this is the first of them ({others})"
            )
        found = users[chosen]
        assert found is not None
        return found, chosen


_KEPT: Final = frozenset(
    ("ones", "zeros", "full", "ones_like", "zeros_like", "full_like", "new_ones", "new_zeros")
)


def _is_known(x: Any) -> bool:
    return (
        x is None
        or isinstance(x, int | float)
        or (isinstance(x, Value) and x.constant and x.data is not None)
    )


def _holds_contraction(x: Value) -> bool:
    """Whether the value would be written around a product or a sum that has no line of its own."""
    return any(p.style == "contraction" and p.tree is not None and not p.named for p in x.operands)


def _meant(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says where and how a tensor is stored."""
    stored = ("dtype", "device", "layout", "pin_memory", "memory_format", "non_blocking")
    return {key: x for key, x in kwargs.items() if key not in stored}


def _kind(x: Any) -> Any:
    return "float" if x.is_floating_point() else "bool" if str(x.dtype) == "torch.bool" else "int"
