"""The language run as it stands on PyTorch or JAX, whose own gradients share nothing with this library's.

Only the vocabulary of `random_program` is known here. The text is walked as syntax and never evaluated.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from pullback.sizes import evaluate_size
from pullback.testing.samples import Sample

Backend = Literal["torch", "jax"]

OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}  # fmt: skip
RELATIONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip


def oracle_gradients(
    sample: Sample,
    values: Mapping[str, Any],
    sizes: Mapping[str, int],
    upstream: Any | None = None,
    backend: Backend = "torch",
) -> dict[str, Any]:
    """The gradients of Σ upstream * output by every real input, in float64, by automatic differentiation."""
    real = [name for name in sample.shapes if name in values and name not in sample.integers]
    whole = {name: np.asarray(values[name]) for name in sample.integers}
    if backend == "torch":
        return _by_torch(sample, {name: values[name] for name in real}, whole, sizes, upstream)
    return _by_jax(sample, {name: values[name] for name in real}, whole, sizes, upstream)


def _by_torch(
    sample: Sample, real: Mapping[str, Any], whole: Mapping[str, Any], sizes: Mapping[str, int], upstream: Any
) -> dict[str, Any]:
    import torch

    leaves = {name: torch.tensor(np.asarray(x, dtype=float), requires_grad=True) for name, x in real.items()}
    output = Run(torch, sample, {**leaves, **whole}, sizes).output()
    total = output if upstream is None else (output * torch.as_tensor(np.asarray(upstream))).sum()
    if not total.requires_grad:
        return {name: np.zeros(x.shape) for name, x in leaves.items()}
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), found, strict=True)
    return {name: np.zeros(x.shape) if g is None else g.numpy() for (name, x), g in pairs}


def _by_jax(
    sample: Sample, real: Mapping[str, Any], whole: Mapping[str, Any], sizes: Mapping[str, int], upstream: Any
) -> dict[str, Any]:
    import jax

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    xp = jax.numpy

    def forward(leaves: Mapping[str, Any]) -> Any:
        return xp.asarray(Run(xp, sample, {**leaves, **whole}, sizes).output(), dtype=xp.float64)

    output, backward = jax.vjp(forward, {name: xp.asarray(x, dtype=xp.float64) for name, x in real.items()})
    given = xp.ones_like(output) if upstream is None else xp.asarray(upstream)
    return {name: np.asarray(g) for name, g in backward(given)[0].items()}


class Run:
    """One run of a program on a library `xp` with NumPy's names, or nearly."""

    def __init__(self, xp: Any, sample: Sample, tensors: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        self.xp = xp
        self.sizes = sizes
        self.tensors = dict(tensors)
        program = sample.read()
        self.ranges = {name: evaluate_size(e, sizes) for name, e in program.ranges.items()}
        self.shapes = {
            d.tensor.name: tuple(evaluate_size(e, sizes) for e in d.tensor.shape) for d in program.definitions
        }
        self.lines = ast.parse(sample.source).body
        self.indices: dict[str, Any] = {}

    def output(self) -> Any:
        value = None
        for line in self.lines:
            assert isinstance(line, ast.Assign)
            target = line.targets[0]
            name = target.value if isinstance(target, ast.Subscript) else target
            assert isinstance(name, ast.Name)
            is_index = any(isinstance(node, ast.Subscript) for node in ast.walk(line))
            value = self.index_line(name.id, target, line.value) if is_index else self.value(line.value)
            self.tensors[name.id] = value = self.number(value)
        return value

    def number(self, x: Any) -> Any:
        """A value of the library, in double precision."""
        if isinstance(x, int | float | np.ndarray | np.generic):
            array = np.asarray(x, dtype=np.float64)
            return self.xp.tensor(array) if hasattr(self.xp, "tensor") else self.xp.asarray(array)
        return x

    # ---- index notation

    def index_line(self, name: str, target: ast.expr, value: ast.expr) -> Any:
        left = [slot.id for slot in _slots(target) if isinstance(slot, ast.Name)]
        known = {*self.tensors, *self.sizes}
        called = {
            node.func.id
            for node in ast.walk(value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
        right = [n for n in dict.fromkeys(names) if n not in known and n not in called]
        order = [*left, *(n for n in right if n not in left)]
        extents = dict(zip(left, self.shapes[name], strict=True))
        for node in ast.walk(value):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                shape = self.tensors[node.value.id].shape
                for slot, size in zip(_slots(node), shape, strict=True):
                    if isinstance(slot, ast.Name) and slot.id in right and slot.id not in self.ranges:
                        extents.setdefault(slot.id, int(size))
        extents = {n: self.ranges.get(n, extents.get(n, 0)) for n in order}
        self.indices = {n: np.arange(extents[n]).reshape([-1 if n == m else 1 for m in order]) for n in order}
        full = self.number(self.value(value)) + self.number(np.zeros([extents[n] for n in order]))
        self.indices = {}
        axes = tuple(range(len(left), len(order)))
        return full.sum(axes) if axes else full

    def access(self, node: ast.Subscript) -> Any:
        """Entries at index expressions; one that lies outside is read at the border, under a bracket."""
        assert isinstance(node.value, ast.Name)
        array = self.tensors[node.value.id]
        places = [np.asarray(self.value(slot)) for slot in _slots(node)]
        inside = [np.clip(p, 0, n - 1) for p, n in zip(places, array.shape, strict=True)]
        return array[tuple(np.broadcast_arrays(*inside))]

    # ---- both notations

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(number):
                return number
            case ast.Name(name):
                for table in (self.indices, self.tensors, self.sizes):
                    if name in table:
                        return table[name]
            case ast.Attribute(inner, "T"):
                return self.value(inner).T
            case ast.UnaryOp(ast.USub(), inner):
                return -self.value(inner)
            case ast.BinOp(left, op, right):
                return self.operation(op, self.value(left), self.value(right))
            case ast.Compare(left, [op], [right]):
                return self.compared(op, self.value(left), self.value(right))
            case ast.List(parts) | ast.Tuple(parts):
                return [self.value(part) for part in parts]
            case ast.Subscript():
                return self.access(node)
            case ast.Call(ast.Name(name), arguments, keywords):
                given = {k.arg: self.value(k.value) for k in keywords if k.arg is not None}
                return getattr(self, f"_{name}")(*(self.value(a) for a in arguments), **given)
        raise ValueError(f"the oracle does not know {ast.unparse(node)}")

    def operation(self, op: ast.operator, a: Any, b: Any) -> Any:
        if self.is_whole(a) and self.is_whole(b) and not isinstance(op, ast.Div | ast.Pow):
            return OPERATIONS[type(op)](a, b)
        return OPERATIONS[type(op)](self.number(a), self.number(b))

    def compared(self, op: ast.cmpop, a: Any, b: Any) -> Any:
        if self.is_whole(a) and self.is_whole(b):
            return self.number(np.asarray(RELATIONS[type(op)](a, b)))
        return 1.0 * RELATIONS[type(op)](self.number(a), self.number(b))

    @staticmethod
    def is_whole(x: Any) -> bool:
        return isinstance(x, int) or (isinstance(x, np.ndarray) and x.dtype.kind in "iu")

    # ---- functions

    def _sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("sum", x, axis, keepdims)

    def _mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self._reduced("mean", x, axis, keepdims)

    def _reduced(self, name: str, x: Any, axis: Any, keepdims: bool) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, list) else (axis,)
        if not axes:
            return x
        keep = {"keepdim": keepdims} if hasattr(self.xp, "autograd") else {"keepdims": keepdims}
        return getattr(self.xp, name)(x, axes, **keep)

    def _exp(self, x: Any) -> Any:
        return self.xp.exp(self.number(x))

    def _log(self, x: Any) -> Any:
        return self.xp.log(self.number(x))

    def _sqrt(self, x: Any) -> Any:
        return self.xp.sqrt(self.number(x))

    def _tanh(self, x: Any) -> Any:
        return self.xp.tanh(self.number(x))

    def _sigmoid(self, x: Any) -> Any:
        return 1 / (1 + self.xp.exp(-self.number(x)))

    def _relu(self, x: Any) -> Any:
        x = self.number(x)
        return x * (x > 0)

    def _abs(self, x: Any) -> Any:
        return self.xp.abs(self.number(x))

    def _sin(self, x: Any) -> Any:
        return self.xp.sin(self.number(x))

    def _cos(self, x: Any) -> Any:
        return self.xp.cos(self.number(x))

    def _einsum(self, spec: str, *factors: Any) -> Any:
        return self.xp.einsum(spec, *factors)

    def _trace(self, x: Any) -> Any:
        return self.xp.trace(x)

    def _outer(self, a: Any, b: Any) -> Any:
        return self.xp.outer(a, b)


def _slots(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.Subscript):
        return []
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
