"""Edited claims in plain floating point, fast enough for thousands: what does not match here is not a mend.

Nothing is decided here: what matches is read and proved exactly. A part of the tree that no edit touches is
evaluated once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pullback.verify.screening_functions import FUNCTIONS
from pullback.verify.tree import additive_terms

Value = Any
CONSTANTS: Final = {"pi": np.pi, "e": np.e}
MOST: Final = 200_000  # entries of the field of one line in index notation
_OPERATIONS: Final[dict[type[ast.operator], Callable[[Value, Value], Value]]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power,
    ast.MatMult: np.matmul, ast.FloorDiv: np.floor_divide, ast.Mod: np.mod,
}  # fmt: skip
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Value, Value], Value]]] = {
    ast.Eq: np.equal, ast.NotEq: np.not_equal, ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}  # fmt: skip


class Unscreened(Exception):
    """Something that has no meaning here; the reader has to say what it is."""


class Screen:
    """The lines of one claim at one point. `known` gives the value of a name, or None."""

    def __init__(
        self,
        statements: Sequence[ast.stmt],
        known: Callable[[str], Value],
        sizes: Mapping[str, int],
        shape: tuple[int, ...],
        ranges: Mapping[str, int],
    ) -> None:
        self.statements = statements
        self.outer = known
        self.sizes = sizes
        self.shape = shape
        self.ranges = ranges
        self.kept: dict[int, Value] = {}
        self.extents: dict[int, dict[str, int]] = {}  # of the unedited lines in index notation
        self.stale: Collection[int] = ()
        self.keeping = False
        self.names: dict[str, Value] = {}
        self.axes: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.lines: dict[int, tuple[str, Value]] = {}

    def warm(self) -> None:
        """Evaluate the claim as written and keep every part that has a value."""
        self.keeping = True
        for k, statement in enumerate(self.statements):
            try:
                self.lines[k] = self._line(k, statement)
            except (ValueError, IndexError, TypeError, ArithmeticError, np.linalg.LinAlgError):
                break
            self.names[self.lines[k][0]] = self.lines[k][1]
        self.keeping = False

    def value(self, touched: Mapping[int, Collection[int]]) -> Value:
        """The last line, where the nodes of these ids in these lines are not what they were.

        Raises `Unscreened`, or ValueError and its like where the shapes do not meet.
        """
        self.names = {}
        changed: set[str] = set()
        found = None
        for k, statement in enumerate(self.statements):
            again = k in touched or k not in self.lines or bool(changed and _reads(statement, changed))
            if again:
                self.stale = touched.get(k, ())
                kept = self.kept
                if changed:
                    self.kept = {}
                try:
                    name, found = self._line(k, statement)
                finally:
                    self.kept = kept
                changed.add(name)
            else:
                name, found = self.lines[k]
            self.names[name] = found
        return found

    # ---- lines

    def _line(self, k: int, statement: ast.stmt) -> tuple[str, Value]:
        if isinstance(statement, ast.Expr):
            return "", self.node(statement.value)
        if not isinstance(statement, ast.Assign):
            raise Unscreened
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return target.id, self.node(statement.value)
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            slots = [s.id if isinstance(s, ast.Name) else "" for s in _slots(target)]
            if "" in slots or len(set(slots)) < len(slots):
                raise Unscreened
            last = k == len(self.statements) - 1
            return target.value.id, self._indexed(k, statement.value, slots, last)
        raise Unscreened

    def _indexed(self, k: int, value: ast.expr, left: list[str], last: bool) -> Value:
        """Σ over what is absent on the left; every index is an axis."""
        found = dict(zip(left, self.shape, strict=True)) if last else {}
        self._extents(value, found)
        inside = self._indices(value)
        order = [*left, *(i for i in inside if i not in left)]
        if any(i not in found for i in order) or np.prod([found[i] for i in order], dtype=float) > MOST:
            raise Unscreened
        kept = self.kept
        if self.keeping:
            self.extents[k] = {i: found[i] for i in order}
        elif self.extents.get(k) == found:
            order = list(self.extents[k])  # an edit may move an index; what is kept has its axes as before
        else:
            self.kept = {}
        try:
            self.axes, self.counts = {i: n for n, i in enumerate(order)}, found
            total: Value = np.zeros([found[i] for i in left])
            for sign, term in additive_terms(value):
                summed = [self.axes[i] for i in order if i not in left]
                if set(self._indices(term)) - set(left) != set(order) - set(left):
                    raise ValueError("a term lacks a summed index")
                field = np.broadcast_to(self.node(term), [found[i] for i in order])
                total = total + sign * field.sum(axis=tuple(summed))
            return total
        finally:
            self.kept, self.axes = kept, {}

    def _extents(self, value: ast.expr, found: dict[str, int]) -> None:
        for node in ast.walk(value):
            if isinstance(node, ast.Subscript):
                base = np.shape(self.node(node.value))
                slots = _slots(node)
                if len(base) != len(slots):
                    raise ValueError("the number of slots")
                for slot, size in zip(slots, base, strict=True):
                    if isinstance(slot, ast.Name) and not self._is_known(slot.id):
                        if found.setdefault(slot.id, size) != size:
                            raise ValueError("two sizes of one index")
        for index in self._indices(value):
            if index not in found and index in self.ranges:
                found[index] = self.ranges[index]

    def _indices(self, node: ast.expr) -> list[str]:
        called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
        words = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called)
        return [word for word in dict.fromkeys(words) if not self._is_known(word)]

    def _is_known(self, word: str) -> bool:
        return word in self.names or word in self.sizes or word in CONSTANTS or self.outer(word) is not None

    # ---- expressions

    def node(self, node: ast.expr) -> Value:
        key = id(node)
        if key in self.kept and key not in self.stale:
            return self.kept[key]
        found = self._node(node)
        if self.keeping:
            self.kept[key] = found
        return found

    def _node(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=value):
                return value if isinstance(value, str | bool | int) else float(value)  # type: ignore[arg-type]
            case ast.Name(id=word):
                return self._name(word)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self.node(inner)
            case ast.BinOp(left=a, op=op, right=b):
                left, right = self.node(a), self.node(b)
                if isinstance(op, ast.Pow) and not isinstance(left, np.ndarray):
                    left = float(left)
                return _OPERATIONS[type(op)](left, right)
            case ast.Attribute(value=inner):
                turned = self.node(inner)
                if np.ndim(turned) != 2:
                    raise ValueError("no matrix")
                return turned.T
            case ast.Compare(left=a, ops=[op], comparators=[b]):
                return _COMPARISONS[type(op)](self.node(a), self.node(b)).astype(float)
            case ast.Subscript():
                return self._entry(node)
            case ast.Call(func=ast.Name(id=word), args=arguments, keywords=keywords):
                function = FUNCTIONS.get(word)
                if function is None:
                    raise Unscreened
                given = [self._argument(part) for part in arguments]
                return function(*given, **{str(k.arg): self._argument(k.value) for k in keywords})
        raise Unscreened

    def _argument(self, node: ast.expr) -> Value:
        if isinstance(node, ast.List | ast.Tuple):
            return [self._argument(part) for part in node.elts]
        return self.node(node)

    def _name(self, word: str) -> Value:
        if word in self.names:
            return self.names[word]
        if word in self.axes:
            shape = [1] * len(self.axes)
            shape[self.axes[word]] = self.counts[word]
            return np.arange(self.counts[word]).reshape(shape)
        if word in self.sizes:
            return self.sizes[word]
        found = self.outer(word)
        if found is None:
            found = CONSTANTS.get(word)
        if found is None:
            raise Unscreened
        return found

    def _entry(self, node: ast.Subscript) -> Value:
        """An entry; what lies outside counts as zero."""
        base = self.node(node.value)
        if not self.axes:
            return np.asarray(base)[tuple(self._part(slot) for slot in _slots(node))]
        where = [np.asarray(self.node(slot)) for slot in _slots(node)]
        if base.ndim != len(where):
            raise ValueError("the number of slots")
        inside: Value = True
        chosen = []
        for at, size in zip(where, base.shape, strict=True):
            if at.dtype.kind == "f":
                at = at.astype(np.int64)
            inside = inside & (at >= 0) & (at < size)
            chosen.append(np.clip(at, 0, size - 1))
        found = base[tuple(np.broadcast_arrays(*chosen))] if len(chosen) > 1 else base[chosen[0]]
        return np.where(inside, found, 0) if not np.all(inside) else found

    def _part(self, slot: ast.expr) -> Any:
        """A slot of NumPy's own: a slice, one place, or an axis of size 1."""
        match slot:
            case ast.Constant(value=None):
                return None
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if end is None else self._whole(end) for end in (lower, upper, step)))
        return self._whole(slot)

    def _whole(self, node: ast.expr) -> int:
        found = self.node(node)
        if np.ndim(found) or int(found) != found:
            raise Unscreened
        return int(found)


def _slots(node: ast.Subscript) -> list[ast.expr]:
    return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]


def _reads(statement: ast.stmt, names: Collection[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(statement))
