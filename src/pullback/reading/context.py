"""What a line is read in: the known names, the definitions so far, and the names of this line's indices."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from fractions import Fraction
from itertools import count
from typing import Final

from pullback.errors import LimitProblem, NameProblem, Place, PullbackError, nearest
from pullback.expression import Access, Definition, Element, Expr, Index, Num, Size, Tensor, free, num
from pullback.functions import FUNCTIONS
from pullback.limits import MAX_RANK, demand
from pullback.operators import OPERATORS
from pullback.reading.naming import CanonicalNames, IndexNames, hidden_name
from pullback.reading.shapes import size_expression
from pullback.reading.syntax import Source
from pullback.reading.value import Value, of_tensor

CONSTANTS: Final = ("pi",)
MAX_NUMBER_BITS: Final = 4096


class Context:
    """The state of one reading. `lower` turns a syntax tree into a value; the notation sets it."""

    def __init__(self, source: Source, taken: Collection[str]) -> None:
        self.source = source
        self.tensors: dict[str, Tensor] = {}
        self.sizes: set[str] = set()
        self.ranges: dict[str, Expr] = {}
        self.facts: dict[str, frozenset[str]] = {}
        self.renamed: dict[str, str] = {}
        self.definitions: list[Definition] = []
        self.taken = set(taken)
        self.reserved = {*CONSTANTS, *FUNCTIONS, *OPERATORS}  # what no index is called
        self.names = IndexNames(())
        self.lower: Callable[[ast.expr], Value]
        self._hidden: dict[tuple[tuple[Expr, ...], Expr], Value] = {}

    # ---- places -------------------------------------------------------------------------

    def at(self, node: ast.AST, error: PullbackError) -> PullbackError:
        return error.at(self.source.place(node), self.source.text)

    # ---- names --------------------------------------------------------------------------

    def known(self) -> set[str]:
        """Names that stand for something here, so that they are no indices."""
        return {*self.tensors, *self.sizes, *CONSTANTS}

    def unknown_name(self, name: str) -> NameProblem:
        near = nearest(name, sorted(self.known()))
        names = list(self.tensors)
        hint = near or "the names here are " + ", ".join([*names[:8], *(["…"] if len(names) > 8 else [])])
        return NameProblem(f"`{name}` is not declared or defined", hint=hint)

    def know(self, tensor: Tensor) -> None:
        self.tensors[tensor.name] = tensor
        self.reserved.add(tensor.name)

    def rename(self, name: str, *, fresh: bool) -> None:
        """What the tensor of the next line that defines `name` is called: `name`, or a fresh variant."""
        self.renamed.pop(name, None)
        if fresh:
            k = next(k for k in count(2) if f"{name}{k}" not in self.taken)
            self.renamed[name] = f"{name}{k}"
            self.taken.add(f"{name}{k}")

    def know_size(self, name: str) -> None:
        self.sizes.add(name)
        self.reserved.add(name)

    def bind(self, extent: Expr, wish: str = "") -> Index:
        """A fresh bound index of this line."""
        return self.names.index(extent, wish)

    # ---- sizes and numbers --------------------------------------------------------------

    def size(self, node: ast.expr) -> Expr:
        """A size written in a program: only known symbols."""

        def symbol(name: str) -> Expr:
            if name in self.sizes:
                return Size(name)
            near = nearest(name, self.sizes)
            what = "a tensor, not a size" if name in self.tensors else "not a known size"
            hint = near or "sizes come from declared shapes: X: [N, D]"
            raise NameProblem(f"`{name}` is {what}", hint=hint)

        try:
            return size_expression(node, symbol)
        except PullbackError as error:
            raise self.at(node, error) from None

    def number(self, node: ast.Constant) -> Num:
        """A literal, exactly as it is written: 0.1 is 1/10."""
        text = self.source.segment(node).replace("_", "")
        try:
            return num(Fraction(text))
        except ValueError:
            assert isinstance(node.value, int)
            return num(node.value)

    # ---- definitions --------------------------------------------------------------------

    def define(self, name: str, value: Value, text: str = "", place: Place | None = None) -> Tensor:
        """Add `name[indices] = element` for a value."""
        demand(value.rank, MAX_RANK, f"the number of axes of {name}")
        self.names = IndexNames(self.reserved)
        indices = self.names.indices(value.shape, value.names)
        body = value.element(indices)
        return self.add(name, indices, body, text, place)

    def add(
        self, name: str, indices: tuple[Index, ...], body: Expr, text: str = "", place: Place | None = None
    ) -> Tensor:
        assert free(body) <= set(indices), "an index escaped its sum"
        shape = tuple(index.extent for index in indices)
        tensor = Tensor(self.renamed.get(name, name), shape, None, self.facts.get(name, frozenset()))
        self.tensors[name] = tensor
        self.reserved.add(name)
        self.definitions.append(Definition(tensor, indices, body, text, place))
        return tensor

    def introduce(self, value: Value) -> Value:
        """A hidden definition for a subexpression; the same subexpression gets the same one."""
        outer = self.names
        try:
            self.names = CanonicalNames()
            indices = self.names.indices(value.shape)
            body = value.element(indices)
            key = (value.shape, body)
            if key not in self._hidden:
                operator = body.operator if isinstance(body, Element) else ""
                name = hidden_name(operator, value.rank, self.taken)
                self.taken.add(name)
                tensor = self.define(name, value)
                del self.tensors[name]  # a user line cannot read it by accident
                self._hidden[key] = of_tensor(tensor)
            return self._hidden[key]
        finally:
            self.names = outer

    def operand(self, node: ast.expr) -> Value:
        """A subexpression that takes part in something larger: an operator's element gets a name."""
        value = self.lower(node)
        return self.introduce(value) if value.operator else value

    def plain(self, value: Value) -> Value:
        """The argument of something nonlinear: a contraction gets a name."""
        return self.introduce(value) if value.contracts or value.operator else value

    def whole(self, value: Value) -> Value:
        """The argument of an operator that reads it as a whole: anything but a tensor's own entries gets a name."""
        at = tuple(Index(f"_{k}", size) for k, size in enumerate(value.shape))
        entry = value.element(at) if not (value.contracts or value.operator) else None
        own = isinstance(entry, Access) and set(entry.slots) == set(at)
        return value if own else self.introduce(value)


def bounded(e: Expr) -> Expr:
    """A folded number stays within bounds, however powers are nested."""
    if isinstance(e, Num) and max(abs(e.value.numerator), e.value.denominator).bit_length() > MAX_NUMBER_BITS:
        raise LimitProblem("a number grows too large", hint="use smaller exponents")
    return e
