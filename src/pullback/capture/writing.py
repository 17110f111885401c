"""The writer: operations that a front end met in real code become a program of the language.

A front end calls, in the order in which the code computes,

- `input(name, shape, …)` for every array that the code is given or holds, `constant(array)` for the others;
- `define("{0} @ {1}.T", x, w, shape=…)` for every operation: a line of the language with a place for each operand.
  `elementwise("exp({0})", x)` finds the shape by NumPy's rules of broadcasting;
- `finish(output)`, once. It gives the `Captured` program: what the output does not need is dropped, a value that
  is read once is written into its reader where a person would, and every name is legible and free.

A front end then calls `verify(captured, run)`: no captured program is used that was not held against its code.
Shapes are sizes of the language: a number, or an expression such as `size("H*D")`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pullback.capture.captured import Captured
from pullback.capture.constants import number_text
from pullback.capture.names import Names, legible
from pullback.errors import DomainProblem
from pullback.expression import Expr, Num, sizes_in
from pullback.reading.shapes import parse_shape, parse_size
from pullback.reading.value import broadcast_shapes
from pullback.sizes import same_size, size_text

Kind = Literal["float", "int", "bool"]
KINDS: Final[dict[str, Kind]] = {"b": "bool", "i": "int", "u": "int"}  # of NumPy; every other is a float
# What a definition does decides where it may be written into its reader. An `operator` (softmax, inv, …) and an
# `index` line never are; a `view` is the same numbers elsewhere.
Style = Literal["elementwise", "view", "contraction", "operator", "index"]
Shape = tuple[Expr, ...]
LONGEST: Final = 56  # characters of a value that is written into its reader


@dataclass(eq=False, slots=True)
class Value:
    """An array of the code: an input where `tree` is None, else an expression over `operands`.

    `number` is set where every entry is that number. `extent` is the size of the range of an integer input.
    """

    shape: Shape
    kind: Kind = "float"
    tree: ast.expr | None = None
    operands: tuple[Value, ...] = ()
    style: Style = "elementwise"
    hint: str = ""
    named: bool = False
    indices: tuple[str, ...] = ()
    place: tuple[str, int] | None = None
    number: float | int | None = None
    extent: Expr | None = None
    data: NDArray[Any] | None = None
    parameter: bool = False
    constant: bool = False
    whole: Value | None = None  # what it is a reshaped form of
    layout: Any = None  # of a view: what of its source it shows, kept by the module of views
    computed: bool = False  # an input that the code computes, without a gradient
    declared: bool = False  # a line of index notation whose slots do not show its shape

    @property
    def rank(self) -> int:
        return len(self.shape)


class Writer:
    """Collects inputs and definitions; see the module's contract."""

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.values: list[Value] = []
        self.place: tuple[str, int] | None = None  # of the definitions that follow
        self.hint = ""  # what a layer of several definitions is called
        self.sizes: dict[str, int] = {}  # symbolic sizes, with those of the example
        self.assume: dict[Value, str] = {}
        self.computed: Any = None  # a front end's: (hint, what of the operation, shape) -> data, an input
        self.see: Any = None  # a front end's: the number of an argument -> its entries in the example
        self.notes: list[str] = []
        self._made: dict[tuple[Any, ...], Value] = {}

    # ---- what goes in

    def input(
        self,
        name: str,
        shape: Any,
        *,
        kind: Kind = "float",
        values: Any = None,
        extent: Any = None,
        parameter: bool = False,
        constant: bool = False,
    ) -> Value:
        """An array that the code is given, or holds (`parameter`); a `constant` one has no gradient.

        values: its entries in the example. extent: the size of the range of whole numbers, where it is known now.
        """
        value = Value(parse_shape(shape), kind, hint=name, parameter=parameter, constant=constant)
        value.data = None if values is None else np.asarray(values)
        if kind == "bool":
            extent = 2
        value.extent = None if extent is None else parse_size(extent)
        self.inputs.append(value)
        return value

    def ranges_over(self, value: Value, extent: Any) -> None:
        """Say that an integer input holds positions in an axis of this size, as the code uses it so."""
        size = parse_size(extent)
        if value.tree is not None or value.kind == "float":
            raise DomainProblem("an index that the code computes has no range in the language")
        if value.extent is not None and not same_size(value.extent, size):
            sizes = f"{size_text(value.extent)} and of size {size_text(size)}"
            raise DomainProblem(f"{value.hint} is an index into axes of size {sizes}")
        value.extent = size

    def number(self, x: float | int | bool, kind: Kind = "float") -> Value:
        """A scalar constant, written as its author had it in mind: `1 / sqrt(3)`, not 0.577."""
        return Value((), kind, ast.parse(number_text(x), mode="eval").body, number=x)

    def size(self, extent: Any) -> Value:
        """A size as a number of the computation: `/ N`."""
        e = parse_size(extent)
        if isinstance(e, Num):
            return self.number(int(e.value), "int")
        return Value((), "int", ast.parse(size_text(e), mode="eval").body)

    def constant(self, array: Any, hint: str = "c") -> Value:
        """An array that is part of the code. One number throughout is written out, else it becomes an input."""
        data = np.asarray(array)
        kind = KINDS.get(data.dtype.kind, "float")
        if data.size and (data == data.flat[0]).all():
            return self.filled(data.flat[0].item(), data.shape, kind)
        if kind == "bool" or (kind == "int" and data.min(initial=0) < 0):
            data, kind = data.astype(np.float64), "float"
        if kind == "float" and np.isneginf(data).any():
            data = np.where(np.isneginf(data), -1e30, data)
            self.notes.append("-inf in a mask is written -1e30")
        return self.input(hint, data.shape, kind=kind, values=data, parameter=True, constant=True)

    def filled(self, x: float | int | bool, shape: Any, kind: Kind = "float") -> Value:
        """One number throughout."""
        sizes = parse_shape(shape)
        if not sizes:
            return self.number(x, kind)
        ones = f"ones({shape_list(sizes)})"
        text = f"zeros({shape_list(sizes)})" if x == 0 else ones if x == 1 else f"{number_text(x)} * {ones}"
        return Value(sizes, kind, ast.parse(text, mode="eval").body, number=x)

    def define(
        self,
        template: str,
        *operands: Value,
        shape: Any,
        kind: Kind = "float",
        style: Style = "elementwise",
        hint: str = "",
        named: bool = False,
        indices: Sequence[str] = (),
    ) -> Value:
        """A value: `template` is an expression of the language with `{0}`, `{1}`, … for the operands.

        hint: what to call it. named: the code gives it a name, so that it gets a line of its own. indices: of the
        left side, where the template is in index notation; the operands are then names.
        """
        sizes = tuple(parse_size(size) for size in shape)
        again = (template, operands, kind, tuple(indices), *map(size_text, sizes))
        if style in ("contraction", "operator") and again in self._made:
            made = self._made[again]  # what costs a pass over its operands is computed once
            made.hint, made.named = made.hint or hint, made.named or named
            return made
        tree = _parsed(template.format(*(f"_{k}" for k in range(len(operands)))))
        made = Value(sizes, kind, tree, operands, "index" if indices else style, hint, named, tuple(indices))
        made.place = self.place
        self._made[again] = made
        self.values.append(made)
        return made

    def elementwise(self, template: str, *operands: Value, kind: Kind = "float", hint: str = "") -> Value:
        """A value element by element, with broadcasting. A filled operand stands as its number."""
        shape = broadcast(*operands)
        plain = [self._plain(x, [o for o in operands if o is not x], shape) for x in operands]
        return self.define(template, *plain, shape=shape, kind=kind, hint=hint)

    def _plain(self, x: Value, others: Sequence[Value], shape: Shape) -> Value:
        if x.number is None or not x.rank or not _same(broadcast(*others), shape):
            return x
        return self.number(x.number, x.kind)

    # ---- what comes out

    def finish(self, output: Value, name: str = "") -> Captured:
        """The program whose output is `output`, named `name` where that is free."""
        if output.tree is None or output.number is not None:
            output = self.define("{0} + 0", output, shape=output.shape)
        return _Page(self, output, name).captured()


class _Page:
    """One program being written out."""

    def __init__(self, writer: Writer, output: Value, name: str) -> None:
        self.writer = writer
        self.output = output
        output.hint = name or output.hint or ("Y" if output.rank else "L")
        self.reached = _reached(output)
        self.readers = _readers(self.reached)
        self.inputs = [x for x in writer.inputs if x in self.reached]
        self.trees: dict[Value, ast.expr] = {}
        self.names: dict[Value, str] = {}
        self.lines: list[str] = []
        self.free = self._name_inputs()

    def captured(self) -> Captured:
        for value in [x for x in self.writer.values if x in self.reached]:
            self._write(value)
        writer, inputs = self.writer, self.inputs
        real = [x for x in inputs if x.kind == "float"]
        whole = [x for x in inputs if x.kind != "float"]
        return Captured(
            program="\n".join(self.lines),
            output=self.names[self.output],
            shapes={self.names[x]: _entries(x.shape) for x in real},
            integers={self.names[x]: (_entries(x.shape), _entry(_extent(x))) for x in whole},
            assume={self.names[x]: fact for x, fact in writer.assume.items() if x in self.names},
            names={x.hint: self.names[x] for x in inputs},
            values={self.names[x]: x.data for x in inputs if x.data is not None},
            lines={n: x.place for x, n in self.names.items() if x.place is not None},
            sizes=dict(writer.sizes),
            wrt=tuple(self.names[x] for x in real if not x.constant),
            parameters=tuple(self.names[x] for x in inputs if x.parameter),
            notes=tuple(dict.fromkeys(writer.notes)),
        )

    def _name_inputs(self) -> Names:
        extents = [
            e for x in self.reached for e in (*x.shape, *((x.extent,) if x.extent is not None else ()))
        ]
        sizes = {name for e in extents for name in sizes_in(e)}
        names = Names({*sizes, *self.writer.sizes})
        for x in self.inputs:
            self.names[x] = names.new(x.hint, "x")
            self.trees[x] = ast.Name(self.names[x])
        return names

    def _write(self, value: Value) -> None:
        assert value.tree is not None
        operands = [self._tree(x) for x in value.operands]
        letters = self._letters(value)
        tree = _filled(value.tree, operands, letters)
        if not self._inlined(value, tree):
            name = self.free.new(value.hint, "Y" if value is self.output else "h")
            left = f"{name}[{','.join(letters.values())}]" if letters else name
            if value.declared:
                self.lines.append(f"{name}: {shape_list(value.shape)}")
            self.lines.append(f"{left} = {ast.unparse(tree)}")
            self.names[value] = name
            tree = ast.Name(name)
        self.trees[value] = tree

    def _letters(self, value: Value) -> dict[str, str]:
        """The indices of a line in index notation, each under a letter that is no name of the program."""
        free = (c for c in "ijklmnpqrstuvwxyz" if c not in self.free.taken and c not in value.indices)
        return {i: next(free) if i in self.free.taken else i for i in value.indices}

    def _tree(self, value: Value) -> ast.expr:
        if value not in self.trees:
            assert value.tree is not None
            self.trees[value] = value.tree  # a constant, written where it is read
        return self.trees[value]

    def _inlined(self, value: Value, tree: ast.expr) -> bool:
        """Whether a person would write the value into the one line that reads it."""
        readers = self.readers.get(value, [])
        if value is self.output or value.style in ("operator", "index") or len(readers) != 1:
            return False
        reader = readers[0]
        if value.named or reader.style == "index" or len(ast.unparse(tree)) > LONGEST:
            return False
        if value.style == "contraction":
            return reader.style == "view" or (reader.style == "elementwise" and _is_linear(reader))
        return value.style == "view" or reader.style != "operator"


def _is_linear(reader: Value) -> bool:
    """A sum, or a product with a number: a contraction may stand in it without a name."""
    match reader.tree:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return True
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            return any(x.number is not None for x in reader.operands)
    return False


def _reached(output: Value) -> dict[Value, None]:
    found: dict[Value, None] = {}
    waiting = [output]
    while waiting:
        value = waiting.pop()
        if value not in found:
            found[value] = None
            waiting += value.operands
    return found


def _readers(reached: Mapping[Value, None]) -> dict[Value, list[Value]]:
    """Who reads a value; a reader that reads it twice stands there twice."""
    found: dict[Value, list[Value]] = {}
    for reader in reached:
        if reader.tree is None:
            continue
        for node in ast.walk(reader.tree):
            if isinstance(node, ast.Name) and node.id[0] == "_":
                found.setdefault(reader.operands[int(node.id[1:])], []).append(reader)
    return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


class _Fill(ast.NodeTransformer):
    def __init__(self, operands: Sequence[ast.expr], letters: Mapping[str, str]) -> None:
        self.operands = operands
        self.letters = letters

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id[0] == "_":
            return self.operands[int(node.id[1:])]
        return ast.Name(self.letters.get(node.id, node.id))


def _filled(tree: ast.expr, operands: Sequence[ast.expr], letters: Mapping[str, str]) -> ast.expr:
    made: ast.expr = _Fill(operands, letters).visit(deepcopy(tree))
    return made


# ---- text


def shape_list(shape: Shape) -> str:
    """`[N, 2*D]`."""
    return f"[{', '.join(map(size_text, shape))}]"


def broadcast(*operands: Value) -> Shape:
    """The common shape, by NumPy's rules."""
    shape: Shape = ()
    for operand in operands:
        shape = broadcast_shapes(shape, operand.shape, "broadcasting")
    return shape


def _same(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(map(same_size, a, b))


def _entry(size: Expr) -> str | int:
    return int(size.value) if isinstance(size, Num) else size_text(size)


def _entries(shape: Shape) -> tuple[str | int, ...]:
    return tuple(map(_entry, shape))


def _extent(value: Value) -> Expr:
    """The range of an integer input; one that is only compared with numbers has that of its example."""
    if value.extent is not None:
        return value.extent
    if value.data is None or not value.data.size or value.data.min() < 0:
        raise DomainProblem(f"the range of the whole numbers {value.hint} is not known")
    return parse_size(int(value.data.max()) + 1)


__all__ = ["Kind", "Shape", "Style", "Value", "Writer", "broadcast", "legible", "number_text", "shape_list"]
