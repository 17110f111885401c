"""Shapes that nobody declared, inferred where one reading is possible.

Under the operators of matrices an upper-case name is a matrix and a lower-case one a vector. Beside a
matrix an upper-case name has its shape; a lower-case one could be a scalar, a row or a column, so that
it has to be declared. In index notation the slots give the axes, and the index names the sizes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

from pullback.errors import LimitProblem, PullbackError, ShapeProblem
from pullback.expression import ONE, Expr, Num
from pullback.reading.context import CONSTANTS
from pullback.reading.declarations import Declarations
from pullback.reading.indexing import slots
from pullback.reading.lines import is_index_line, names_in, subscripts, target_name
from pullback.reading.naming import words
from pullback.reading.shapes import any_symbol, size_expression
from pullback.reading.syntax import Source, chain
from pullback.reading.unification import Terms, Unknown, broadcast, find, named, unify

KEEPS: Final = frozenset(("softmax", "log_softmax", "cumsum", "flip", "roll", "tril", "triu"))
REDUCES: Final = frozenset(("sum", "mean", "max", "min", "prod", "norm", "logsumexp"))
SQUARE: Final = frozenset(("trace", "det", "logdet", "inv", "cholesky"))
MAX_PASSES: Final = 8
Inferred = tuple[tuple[Expr, ...], Expr | None]  # shape, and the range of an integer tensor


def infer(text: Source, declared: Declarations, reserved: frozenset[str]) -> dict[str, Inferred]:
    """Shape (and range, for an integer tensor) of every input that is not declared, by first use."""
    inference = _Inference(text, declared, reserved)
    if not inference.wanted:
        return {}
    try:
        inference.settle()
    except RecursionError:
        raise LimitProblem("an expression nests too deeply", source=text.text) from None
    return inference.result()


class _Inference:
    def __init__(self, text: Source, declared: Declarations, reserved: frozenset[str]) -> None:
        self.text = text
        self.declared = declared
        self.reserved = reserved
        self.shapes: dict[str, Terms] = dict(declared.shapes)
        self.shapes |= {name: shape for name, (shape, _) in declared.integers.items()}
        self.values: dict[str, Terms] = {}
        self.first: dict[str, ast.Name] = {}
        self.unclear: set[str] = set()
        self.wanted = self._undeclared()
        self.sizes = declared.sizes

    # ---- who is wanted ------------------------------------------------------------------

    def _undeclared(self) -> list[str]:
        """Names that are read, and neither declared nor defined, nor indices, in the order of reading."""
        known = {*self.shapes, *self.declared.sizes, *CONSTANTS, *self._defined()}
        found: dict[str, None] = {}
        for line in self.declared.lines:
            index_line = is_index_line(line, known, self.declared.ranges)
            self.declared.named |= _sizes_named(line.value) - known
            known |= self.declared.named
            tensors = {node.value.id for node in subscripts(line.value) if isinstance(node.value, ast.Name)}
            for node in names_in(line.value):
                if node.id in known or (index_line and node.id not in tensors):
                    continue
                if node.id in self.reserved:
                    continue
                found.setdefault(node.id)
                self.first.setdefault(node.id, node)
        return list(found)

    # ---- to a fixed point ---------------------------------------------------------------

    def settle(self) -> None:
        """Pass over the lines until nothing new is learnt; then settle what a convention settles."""
        self._passes()
        for name in self.wanted:
            if name not in self.shapes and name[0].isupper() and name not in self.unclear:
                self.shapes[name] = (Unknown(), Unknown())
                self._passes()
        missing = [name for name in self.wanted if name not in self.shapes]
        alone = len(missing) == 1 and self.wanted == missing and not self.shapes.keys() - self._defined()
        if alone:
            self.shapes[missing[0]] = (Unknown(),)
            self._passes()
            missing = []
        if missing:
            raise self._problem(missing[0])

    def _defined(self) -> set[str]:
        return {target_name(line) for line in self.declared.lines}

    def _problem(self, name: str) -> PullbackError:
        where = self.text.place(self.first[name])
        what = f"the shape of {name} cannot be inferred: it may be a scalar, a vector or a matrix here"
        entry, beside = ("[N, D]", "N D") if name[0].isupper() else ("[M]", "M")
        hint = f'declare it, {name}: {entry}, or pass --shapes "{name}: {beside}"'
        if len(name) == 1 and name.isupper():
            hint = f"if {name} is a size, declare a shape that holds it, such as X: [{name}]; else {hint}"
        return ShapeProblem(what, where=where, source=self.text.text, hint=hint)

    def _passes(self) -> None:
        for _ in range(MAX_PASSES):
            before = len(self.shapes)
            for line in self.declared.lines:
                self._line(line)
            if len(self.shapes) == before:
                return

    def _line(self, line: ast.Assign) -> None:
        name = target_name(line)
        known = {*self.shapes, *self.sizes, *CONSTANTS, *self.wanted}
        if is_index_line(line, known, self.declared.ranges):
            self._index_line(line)
            return
        shape = self.shape(line.value)
        if shape is None:
            return
        if name in self.shapes:
            self._equal(self.shapes[name], shape)
        else:
            self.shapes[name] = shape

    @staticmethod
    def _equal(a: Terms, b: Terms) -> None:
        if len(a) == len(b):
            for m, n in zip(a, b, strict=True):
                unify(m, n)

    def result(self) -> dict[str, Inferred]:
        shapes = [self.shapes[name] + self.values.get(name, ()) for name in self.wanted]
        for name, shape in zip(self.wanted, shapes, strict=True):
            self._demand_shown(name, shape)
        taken = {*words(self.text.text), *self.reserved, *self.sizes, *self.shapes}
        named(shapes, taken)
        found = {}
        for name, shape in zip(self.wanted, shapes, strict=True):
            extents = tuple(e for e in map(find, shape) if isinstance(e, Expr))
            rank = len(self.shapes[name])
            found[name] = (extents[:rank], extents[rank] if name in self.values else None)
        return found

    def _demand_shown(self, name: str, shape: Terms) -> None:
        for axis, term in enumerate(map(find, shape)):
            if isinstance(term, Unknown) and not term.shown:
                where = self.text.place(self.first[name])
                what = f"the size of axis {axis} of {name} cannot be inferred: no plain index stands there"
                hint = f"declare it, {name}: [{', '.join('NDMKFGHPQ'[: len(shape)])}]"
                raise ShapeProblem(what, where=where, source=self.text.text, hint=hint)

    # ---- index notation -----------------------------------------------------------------

    def _index_line(self, line: ast.Assign) -> None:
        terms: dict[str, Unknown | Expr] = dict(self.declared.ranges)
        for node in subscripts(line.value):
            if isinstance(node.value, ast.Name):
                self._access(node.value.id, slots(node), terms)
        target = line.targets[0]
        if isinstance(target, ast.Name):
            self.shapes.setdefault(target.id, ())
        elif isinstance(target, ast.Subscript):
            left = [slot.id for slot in slots(target) if isinstance(slot, ast.Name)]
            shape = tuple(terms.setdefault(name, Unknown(name.upper())) for name in left)
            name = target_name(line)
            self._equal(self.shapes.setdefault(name, shape), shape)

    def _access(self, name: str, parts: list[ast.expr], terms: dict[str, Unknown | Expr]) -> None:
        if name not in self.shapes:
            if name not in self.wanted:
                return
            self.shapes[name] = tuple(Unknown(shown=False) for _ in parts)
        shape = self.shapes[name]
        if len(shape) != len(parts):
            return
        for term, part in zip(shape, parts, strict=True):
            if isinstance(part, ast.Name) and part.id not in self.declared.ranges:
                if part.id not in self.shapes and part.id not in self.sizes:
                    unify(term, terms.setdefault(part.id, Unknown(part.id.upper())))
            elif isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
                if part.value.id in self.wanted and part.value.id not in self.values:
                    self.values[part.value.id] = (term,)  # an integer tensor: its values index this axis
                    unify(term, Unknown("V"))

    # ---- matrix notation ----------------------------------------------------------------

    def shape(self, node: ast.expr) -> Terms | None:
        """The shape of an expression as far as it is known; names learn theirs on the way."""
        match node:
            case ast.Constant():
                return ()
            case ast.Name(id=name):
                return () if name in self.sizes or name in CONSTANTS else self.shapes.get(name)
            case ast.Attribute(value=value):
                shape = self._as_matrix(value)
                return None if shape is None else shape[::-1]
            case ast.UnaryOp(operand=operand):
                return self.shape(operand)
            case ast.BinOp(op=ast.MatMult()):
                return self._products(node)
            case ast.BinOp(op=ast.Pow() | ast.FloorDiv() | ast.Mod(), left=left, right=right):
                return self._elementwise([left, right])
            case ast.BinOp():
                return self._elementwise([part for _, part in chain(node)])
            case ast.Compare(left=left, comparators=comparators):
                return self._elementwise([left, *comparators])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments, node)
            case ast.Subscript(value=value):
                self.shape(value)
        return None

    def _as_matrix(self, node: ast.expr, rank: int = 0) -> Terms | None:
        """The shape of an operand of a matrix operator: a bare unknown name is a matrix or a vector."""
        shape = self.shape(node)
        if shape is None and isinstance(node, ast.Name) and node.id in self.wanted:
            rank = rank or (2 if node.id[0].isupper() else 1)
            shape = self.shapes[node.id] = tuple(Unknown() for _ in range(rank))
        return shape

    def _products(self, node: ast.BinOp) -> Terms | None:
        links = [part for _, part in chain(node)]
        result = self._as_matrix(links[0])
        for part in links[1:]:
            right = self._as_matrix(part)
            result = self._matmul(result, right)
        return result

    @staticmethod
    def _matmul(left: Terms | None, right: Terms | None) -> Terms | None:
        if not left or not right:
            return None
        unify(left[-1], right[max(len(right) - 2, 0)])
        batch = broadcast(left[:-2], right[:-2])
        return (*batch, *left[-2:-1], *(right[-1:] if len(right) > 1 else ()))

    def _elementwise(self, nodes: list[ast.expr]) -> Terms | None:
        shapes = [self.shape(node) for node in nodes]
        known = [shape for shape in shapes if shape is not None]
        result: Terms = ()
        for shape in known:
            result = broadcast(result, shape)
        for k, node in enumerate(nodes):
            if shapes[k] is None and isinstance(node, ast.Name) and node.id in self.wanted:
                if len(result) == 2 and node.id[0].isupper():
                    shapes[k] = self.shapes[node.id] = result
                elif any(len(shape) != 2 and not self._literal(nodes[j]) for j, shape in _known(shapes)):
                    self.unclear.add(node.id)
        return result if all(shape is not None for shape in shapes) else None

    @staticmethod
    def _literal(node: ast.expr) -> bool:
        return not any(isinstance(part, ast.Name) for part in ast.walk(node))

    # ---- calls --------------------------------------------------------------------------

    def _call(self, name: str, arguments: list[ast.expr], node: ast.Call) -> Terms | None:
        if name in SQUARE and arguments:
            return self._square(name, arguments[0])
        rule = _CALLS.get(name)
        if rule is not None and len(arguments) >= rule[0]:
            return rule[1](self, arguments)
        if name in KEEPS and arguments:
            return self.shape(arguments[0])
        if name in REDUCES and arguments:
            return self._reduced(self.shape(arguments[0]), arguments, node)
        if name in ("onehot", "take", "transpose", "concatenate"):
            for argument in arguments:
                self.shape(argument)
            return None
        return self._elementwise(arguments)

    def _square(self, name: str, node: ast.expr) -> Terms | None:
        shape = self._as_matrix(node, rank=2)
        if shape is None or len(shape) != 2:
            return None
        unify(*shape)
        return shape if name in ("inv", "cholesky") else ()

    def _solve(self, arguments: list[ast.expr]) -> Terms | None:
        a, b = self._as_matrix(arguments[0], rank=2), self._as_matrix(arguments[1])
        if a is not None and len(a) == 2 and b:
            unify(a[0], a[1])
            unify(a[1], b[0] if len(b) == 1 else b[-2])
        return b if a is None or b is None or len(a) <= max(len(b), 2) else None

    def _filled(self, arguments: list[ast.expr]) -> Terms | None:
        return _written(arguments[0])

    def _eye(self, arguments: list[ast.expr]) -> Terms | None:
        size = _written(arguments[0])
        return None if size is None else size + size

    def _reshaped(self, arguments: list[ast.expr]) -> Terms | None:
        self.shape(arguments[0])
        return _written(arguments[1])

    def _outer(self, arguments: list[ast.expr]) -> Terms | None:
        a, b = (self._as_matrix(part, rank=1) for part in arguments[:2])
        return None if a is None or b is None else a + b

    def _diag(self, arguments: list[ast.expr]) -> Terms | None:
        shape = self._as_matrix(arguments[0])
        if not shape:
            return None
        return (shape[0], shape[0]) if len(shape) == 1 else shape[:1]

    def _einsum(self, arguments: list[ast.expr]) -> Terms | None:
        spec = arguments[0].value if isinstance(arguments[0], ast.Constant) else None
        if not isinstance(spec, str):
            return None
        left, _, output = spec.replace(" ", "").partition("->")
        terms: dict[str, Unknown] = {}
        for letters, node in zip(left.split(","), arguments[1:], strict=False):
            shape = self._as_matrix(node, rank=len(letters))
            for letter, term in zip(letters, shape or (), strict=False):
                unify(term, terms.setdefault(letter, Unknown(letter.upper())))
        return tuple(terms.setdefault(letter, Unknown(letter.upper())) for letter in output)

    @staticmethod
    def _reduced(shape: Terms | None, arguments: list[ast.expr], node: ast.Call) -> Terms | None:
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        over = arguments[1] if len(arguments) > 1 else options.get("axis")
        keep = options.get("keepdims")
        keeps = isinstance(keep, ast.Constant) and keep.value is True
        if over is None and not keeps:
            return ()
        if shape is None:
            return None
        try:
            axes = ast.literal_eval(over) if over is not None else tuple(range(len(shape)))
        except ValueError:
            return None
        chosen = {axis % len(shape) for axis in (axes if isinstance(axes, tuple) else (axes,)) if shape}
        pairs = list(enumerate(shape))
        if keeps:
            return tuple(ONE if k in chosen else term for k, term in pairs)
        return tuple(term for k, term in pairs if k not in chosen)


def _written(node: ast.expr) -> Terms | None:
    """A shape that the program writes out."""
    try:
        entries = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
        sizes = tuple(size_expression(entry, any_symbol) for entry in entries)
    except PullbackError:
        return None  # the reading itself says what is wrong with it
    return None if any(isinstance(size, Num) and size.value < 0 for size in sizes) else sizes


def _sizes_named(node: ast.expr) -> set[str]:
    """Names that stand where only a size can: in the shape of reshape, ones, zeros, eye, onehot."""
    found: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Call(func=ast.Name(id="ones" | "zeros" | "eye"), args=[shape, *_]):
                found |= {name.id for name in names_in(shape)}
            case ast.Call(func=ast.Name(id="reshape" | "onehot"), args=[_, shape, *_]):
                found |= {name.id for name in names_in(shape)}
    return found


def _known(shapes: list[Terms | None]) -> list[tuple[int, Terms]]:
    return [(k, shape) for k, shape in enumerate(shapes) if shape is not None]


_CALLS: Final[Mapping[str, tuple[int, Callable[[_Inference, list[ast.expr]], Terms | None]]]] = {
    "solve": (2, _Inference._solve),
    "outer": (2, _Inference._outer),
    "diag": (1, _Inference._diag),
    "ones": (1, _Inference._filled),
    "zeros": (1, _Inference._filled),
    "eye": (1, _Inference._eye),
    "reshape": (2, _Inference._reshaped),
    "einsum": (2, _Inference._einsum),
}
