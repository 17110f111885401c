"""A tensor-valued subexpression: a shape, and what its element is at given indices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pullback.errors import ShapeProblem
from pullback.expression import ONE, ZERO, Access, Expr, Index, Mul, Sum, Tensor, mul, total, walk
from pullback.sizes import same_size, shape_text, size_text

At = tuple[Expr, ...]
Element = Callable[[At], Expr]


@dataclass(frozen=True, slots=True)
class Value:
    """`element(at)` may be called more than once; each call names its bound indices afresh.

    `contracts`: a sum or an operator's element stands in it, so that it gets a name of its own
    before a nonlinear function is applied. `operator`: it is an operator's element, and gets a name
    before anything is. `values`: the range, where it is an integer tensor. `names`: index names
    that its author chose.
    """

    shape: tuple[Expr, ...]
    element: Element
    contracts: bool = False
    operator: bool = False
    polynomial: bool = True
    values: Expr | None = None
    names: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        return len(self.shape)

    def reshaped(self, shape: Iterable[Expr], element: Element) -> Value:
        """The same numbers seen through other indices."""
        return replace(self, shape=tuple(shape), element=element, operator=False, names=())


def scalar(e: Expr) -> Value:
    return Value((), lambda at: e)


def of_tensor(tensor: Tensor) -> Value:
    return Value(tensor.shape, lambda at: Access(tensor, at), values=tensor.values)


def broadcast_shapes(left: Sequence[Expr], right: Sequence[Expr], what: str) -> tuple[Expr, ...]:
    """NumPy's rule on symbols: aligned at the end, sizes are the same, or one is literally 1."""
    rank = max(len(left), len(right))
    a = (ONE,) * (rank - len(left)) + tuple(left)
    b = (ONE,) * (rank - len(right)) + tuple(right)
    result = []
    for m, n in zip(a, b, strict=True):
        if m is not ONE and n is not ONE and not same_size(m, n):
            raise ShapeProblem(
                f"{what}: {shape_text(left)} and {shape_text(right)} do not meet: "
                f"size {size_text(m)} against size {size_text(n)}",
                hint="a size of 1 broadcasts; reshape(b, [N, 1]) or sum(…, keepdims=True) makes one",
            )
        result.append(n if m is ONE else m)
    return tuple(result)


def broadcast_at(shape: Sequence[Expr], result: Sequence[Expr], at: At) -> At:
    """The indices of an operand of `shape` at the indices `at` of the broadcast result."""
    offset = len(result) - len(shape)
    pairs = zip(shape, result[offset:], at[offset:], strict=True)
    return tuple(ZERO if own is ONE and meets is not ONE else index for own, meets, index in pairs)


def elementwise(operands: Sequence[Value], build: Callable[..., Expr], what: str, *, linear: bool) -> Value:
    """Elements of the operands combined one by one, with broadcasting."""
    shape: tuple[Expr, ...] = ()
    for operand in operands:
        shape = broadcast_shapes(shape, operand.shape, what)

    def element(at: At) -> Expr:
        return build(*(o.element(broadcast_at(o.shape, shape, at)) for o in operands))

    contracts = any(o.contracts for o in operands)
    return Value(shape, element, contracts, polynomial=linear and all(o.polynomial for o in operands))


def contracted(indices: Sequence[Index], *factors: Expr) -> Expr:
    """Σ over the indices of a product; sums among the factors are drawn into the one sum.

    The indices are listed in the order in which a reader meets them in the product.
    """
    bound: dict[Index, None] = {}
    flat: list[Expr] = []
    pending = list(reversed(factors))
    while pending:
        factor = pending.pop()
        if isinstance(factor, Mul):
            pending.extend(reversed(factor.factors))
        elif isinstance(factor, Sum):
            bound.update(dict.fromkeys(factor.indices))
            pending.append(factor.body)
        else:
            flat.append(factor)
    bound.update(dict.fromkeys(indices))
    body = mul(*flat)
    met = [e for e in walk(body) if isinstance(e, Index) and e in bound] if len(bound) > 1 else []
    return total(dict.fromkeys((*met, *bound)), body)
