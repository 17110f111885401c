"""What a program in matrix notation costs: floating-point operations at given sizes, and tokens to read.

One counter serves derived and published programs alike. An elementwise operation costs one operation an
entry of its result, a matrix product two for each product, a reduction one for each entry it reads, an
inverse, a determinant or a triangular factor 2 n³; reshaping, taking and transposing cost nothing.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping, Sequence
from math import prod

from pullback.expression import Definition, Expr, Tensor, free, sizes_in, tensors, walk
from pullback.matrix import matrix_line
from pullback.sizes import evaluate_size

Shape = tuple[int, ...]

REDUCTIONS = ("sum", "mean", "max", "min", "prod", "logsumexp", "norm")
FREE = ("tril", "triu", "take")


def tokens(text: str) -> int:
    """Names, numbers, operators and brackets in a program, line ends not counted.

    >>> tokens("dW = X.T @ dY")
    7
    """
    kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING)
    return sum(token.type in kinds for token in tokenize.generate_tokens(io.StringIO(text).readline))


def operations(
    program: str, shapes: Mapping[str, Shape], sizes: Mapping[str, int], *, once: bool = False
) -> int:
    """The operations of a program whose names have the given shapes.

    With `once` what is repeated word by word and would get a name (`sharing.py`) counts once: a call, a
    comparison, a sum of terms.

    >>> operations("Y = X @ W + b", {"X": (2, 3), "W": (3, 4), "b": (4,)}, {})
    56
    """
    counter = Counter(shapes, sizes, once=once)
    for node in ast.parse(program).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            counter.shapes[node.targets[0].id] = counter.visit(node.value)
        elif isinstance(node, ast.Expr):
            counter.visit(node.value)
    return counter.total


def is_named_when_repeated(node: ast.expr) -> bool:
    sums = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    return sums or isinstance(node, ast.Call | ast.Compare)


class Counter:
    """Walks an expression: returns its shape, and adds up what it costs."""

    def __init__(self, shapes: Mapping[str, Shape], sizes: Mapping[str, int], *, once: bool = False) -> None:
        self.shapes = dict(shapes)
        self.sizes = sizes
        self.total = 0
        self.seen: dict[str, Shape] | None = {} if once else None

    def visit(self, node: ast.expr) -> Shape:
        if self.seen is None or not is_named_when_repeated(node):
            return self._visit(node)
        text = ast.dump(node)
        if text not in self.seen:
            self.seen[text] = self._visit(node)
        return self.seen[text]

    def _visit(self, node: ast.expr) -> Shape:
        match node:
            case ast.Constant():
                return ()
            case ast.Name(text):
                return self.shapes.get(text, ())
            case ast.Attribute(value):
                return self.visit(value)[::-1]
            case ast.UnaryOp(_, operand):
                return self._each(self.visit(operand)) if not isinstance(operand, ast.Constant) else ()
            case ast.BinOp(left, ast.MatMult(), right):
                return self._matmul(self.visit(left), self.visit(right))
            case ast.BinOp(left, _, right):
                return self._each(self.visit(left), self.visit(right))
            case ast.Compare(left, _, [right]):
                return self._each(self.visit(left), self.visit(right))
            case ast.Subscript(value, places):
                return self._slice(self.visit(value), places)
            case ast.Call(ast.Name(text), arguments, keywords):
                return self._call(text, arguments, {k.arg or "": k.value for k in keywords})
        raise ValueError(ast.dump(node))

    def _each(self, *shapes: Shape) -> Shape:
        """An elementwise operation; arithmetic on scalars alone is not counted."""
        shape = broadcast(shapes)
        self.total += prod(shape) if shape else 0
        return shape

    def _matmul(self, a: Shape, b: Shape) -> Shape:
        if len(a) == 1 and len(b) == 1:
            self.total += 2 * a[0]
            return ()
        if len(a) == 1:
            self.total += 2 * prod(b)
            return (*b[:-2], b[-1])
        if len(b) == 1:
            self.total += 2 * prod(a)
            return a[:-1]
        batch = broadcast([a[:-2], b[:-2]])
        self.total += 2 * prod(batch) * a[-2] * a[-1] * b[-1]
        return (*batch, a[-2], b[-1])

    def _slice(self, shape: Shape, places: ast.expr) -> Shape:
        parts = places.elts if isinstance(places, ast.Tuple) else [places]
        sliced: list[int] = []
        for part, size in zip(parts, shape, strict=False):
            if isinstance(part, ast.Constant | ast.UnaryOp):
                continue  # one entry along this axis
            if isinstance(part, ast.Name):
                sliced += self.shapes[part.id]  # the entries that an integer tensor names
                continue
            if not isinstance(part, ast.Slice):
                raise ValueError(ast.dump(part))
            bounds = [None if b is None else self._size(b) for b in (part.lower, part.upper, part.step)]
            sliced.append(len(range(size)[slice(*bounds)]))
        return (*sliced, *shape[len(parts) :])

    def _size(self, node: ast.expr) -> int:
        match node:
            case ast.UnaryOp(ast.USub(), operand):
                return -self._size(operand)
            case ast.Constant(int() as value):
                return value
            case ast.Name(text):
                return self.sizes[text]
            case ast.BinOp(left, operator, right):
                a, b = self._size(left), self._size(right)
                match operator:
                    case ast.Add():
                        return a + b
                    case ast.Sub():
                        return a - b
                    case ast.Mult():
                        return a * b
                    case ast.FloorDiv():
                        return a // b
        raise ValueError(ast.dump(node))

    def _shape(self, node: ast.expr) -> Shape:
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self._size(item) for item in node.elts)
        return (self._size(node),)

    def _call(self, name: str, arguments: Sequence[ast.expr], keywords: Mapping[str, ast.expr]) -> Shape:
        match name:
            case "ones" | "zeros":
                return self._shape(arguments[0])
            case "eye":
                return self._shape(arguments[0]) * 2
            case "onehot":
                return (*self.visit(arguments[0]), self._size(arguments[1]))
            case "einsum":
                return self._einsum(arguments)
            case "concatenate":
                return self._concatenate(arguments, keywords)
        shape = self.visit(arguments[0])
        match name:
            case "reshape":
                return self._shape(arguments[1])
            case "transpose":
                return tuple(shape[k] for k in self._shape(arguments[1]))
            case "diag":
                return shape * 2 if len(shape) == 1 else shape[:1]
            case "inv" | "cholesky" | "det" | "logdet" | "solve":
                self.total += 2 * shape[-1] ** 3
                return shape if name in ("inv", "cholesky") else self._second(arguments)
            case "take":
                return self._take(shape, arguments, keywords)
            case "tril" | "triu":
                return shape
            case "outer":
                return self._outer(shape, self.visit(arguments[1]))
            case "trace":
                self.total += shape[0]
                return ()
            case "softmax" | "log_softmax":
                self.total += 4 * prod(shape)
                return shape
            case "cumsum":
                return self._each(shape)
        if name in REDUCTIONS:
            return self._reduce(shape, keywords)
        return self._each(shape, *(self.visit(argument) for argument in arguments[1:]))

    def _second(self, arguments: Sequence[ast.expr]) -> Shape:
        return self.visit(arguments[1]) if len(arguments) > 1 else ()

    def _outer(self, a: Shape, b: Shape) -> Shape:
        self.total += a[0] * b[0]
        return (a[0], b[0])

    def _take(self, shape: Shape, arguments: Sequence[ast.expr], keywords: Mapping[str, ast.expr]) -> Shape:
        axis = self._size(keywords["axis"]) if "axis" in keywords else 0
        which = () if isinstance(arguments[1], ast.Constant) else self.visit(arguments[1])
        return (*shape[:axis], *which, *shape[axis + 1 :])

    def _reduce(self, shape: Shape, keywords: Mapping[str, ast.expr]) -> Shape:
        self.total += prod(shape)
        if "axis" not in keywords:
            return ()
        axes = ast.literal_eval(keywords["axis"])
        gone = {k % len(shape) for k in (axes if isinstance(axes, tuple) else (axes,))}
        if "keepdims" in keywords:
            return tuple(1 if k in gone else n for k, n in enumerate(shape))
        return tuple(n for k, n in enumerate(shape) if k not in gone)

    def _einsum(self, arguments: Sequence[ast.expr]) -> Shape:
        spec = arguments[0]
        assert isinstance(spec, ast.Constant)
        inputs, output = str(spec.value).split("->")
        extents: dict[str, int] = {}
        for letters, operand in zip(inputs.split(","), arguments[1:], strict=True):
            extents.update(zip(letters, self.visit(operand), strict=True))
        self.total += len(arguments[1:]) * prod(extents.values())
        return tuple(extents[letter] for letter in output)

    def _concatenate(self, arguments: Sequence[ast.expr], keywords: Mapping[str, ast.expr]) -> Shape:
        parts = arguments[0]
        assert isinstance(parts, ast.List | ast.Tuple)
        shapes = [self.visit(part) for part in parts.elts]
        axis = self._size(keywords["axis"]) if "axis" in keywords else 0
        result = list(shapes[0])
        result[axis] = sum(shape[axis] for shape in shapes)
        return tuple(result)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """NumPy's rule, for shapes that are known to meet."""
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(column) if 0 not in column else 0 for column in zip(*padded, strict=True))


TYPICAL = 64  # what every symbolic size counts as when costs are compared

Cost = tuple[int, int]  # operations, tokens


class Costs:
    """What definitions cost, each counted once: operations with every size 64, and tokens."""

    def __init__(self) -> None:
        self._known: dict[Definition, Cost] = {}

    def of(self, definition: Definition) -> Cost:
        if definition not in self._known:
            self._known[definition] = self._counted(definition)
        return self._known[definition]

    def _counted(self, definition: Definition) -> Cost:
        line = matrix_line(definition)
        if line is None:
            return self._index_cost(definition)
        sizes = {
            name: TYPICAL for tensor in self._around(definition) for e in tensor.shape for name in sizes_in(e)
        }
        shapes = {t.name: self._shape(t) for t in self._around(definition)}
        try:
            return operations(line.text, shapes, sizes, once=True), tokens(line.text)
        except (ValueError, KeyError):
            return self._index_cost(definition)

    def _index_cost(self, definition: Definition) -> Cost:
        """In index notation everything is worked out for every value of every index: the last resort."""
        indices = {index for node in walk(definition.body) for index in free(node)} | set(definition.indices)
        volume = prod(self._extent(index.extent) for index in indices)
        count = sum(1 for _ in walk(definition.body))
        return volume * count, 4 * count

    def _around(self, definition: Definition) -> list[Tensor]:
        return [*tensors(definition.body), definition.tensor]

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        return tuple(self._extent(e) for e in tensor.shape)

    def volume(self, tensor: Tensor) -> int:
        return prod(self._shape(tensor))

    def _extent(self, e: Expr) -> int:
        return evaluate_size(e, dict.fromkeys(sizes_in(e), TYPICAL))
