"""Linear algebra: products, transposes, traces, and the operators inv, det, logdet, solve, cholesky."""

from __future__ import annotations

import ast
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pullback.affine import not_negative
from pullback.errors import ShapeProblem, SyntaxProblem
from pullback.expression import ONE, ZERO, Element, Expr, Index, add, bracket, call, mul, neg
from pullback.reading.arguments import Arguments, Entry
from pullback.reading.context import Context
from pullback.reading.value import At, Value, broadcast_at, broadcast_shapes, contracted
from pullback.sizes import normal_size, same_size, shape_text, size_text

DOTTED: Final = "αβγδεζηθ"  # the axes that `...` stands for in a spec, counted from the last


def _product_problem(left: Value, right: Value) -> ShapeProblem:
    m, n = left.shape[-1], right.shape[max(right.rank - 2, 0)]
    hint = "a transpose: A.T"
    if right.rank == 2 and same_size(m, right.shape[1]):
        hint = "transpose the right factor: A @ B.T"
    elif left.rank == 2 and same_size(left.shape[0], n):
        hint = "transpose the left factor: A.T @ B"
    elif left.rank == right.rank == 1:
        hint = "outer(a, b) for all products of two vectors"
    return ShapeProblem(
        f"@: {shape_text(left.shape)} and {shape_text(right.shape)} do not meet: "
        f"the last size {size_text(m)} of the left against size {size_text(n)} of the right",
        hint=hint,
    )


def matmul(context: Context, left: Value, right: Value) -> Value:
    """numpy.matmul: the last axis of the left meets the second to last, or only, axis of the right."""
    if left.rank == 0 or right.rank == 0:
        raise ShapeProblem("@ takes no scalar", hint="use * to multiply by a scalar")
    inner = left.shape[-1]
    if not same_size(inner, right.shape[max(right.rank - 2, 0)]):
        raise _product_problem(left, right)
    batch = broadcast_shapes(left.shape[:-2], right.shape[:-2], "@, batch axes")
    rows = left.shape[-2:-1]
    columns = right.shape[-1:] if right.rank > 1 else ()

    def element(at: At) -> Expr:
        outer, row = at[: len(batch)], at[len(batch) : len(batch) + len(rows)]
        column = at[len(batch) + len(rows) :]
        a = broadcast_at(left.shape[:-2], batch, outer)
        b = broadcast_at(right.shape[:-2], batch, outer)
        first = left.element  # the sums of the left factor are named before the new one
        k = context.bind(inner)
        return contracted((k,), first((*a, *row, k)), right.element((*b, k, *column)))

    polynomial = left.polynomial and right.polynomial
    return Value((*batch, *rows, *columns), element, contracts=True, polynomial=polynomial)


def matmul_chain(context: Context, values: Sequence[Value]) -> Value:
    """A @ B @ … @ Z in one sum, for matrices with at most vectors at the ends; the shapes meet already."""
    first, last = values[0], values[-1]
    shape = (*first.shape[:-1], *last.shape[1:])

    def element(at: At) -> Expr:
        bound = [context.bind(value.shape[-1]) for value in values[:-1]]
        slots: list[tuple[Expr, ...]] = [at[: first.rank - 1], *((k,) for k in bound)]
        ends: list[tuple[Expr, ...]] = [*((k,) for k in bound), at[first.rank - 1 :]]
        pairs = zip(values, slots, ends, strict=True)
        return contracted(bound, *(value.element((*a, *b)) for value, a, b in pairs))

    return Value(shape, element, contracts=True, polynomial=all(value.polynomial for value in values))


def is_plain_chain(values: Sequence[Value]) -> bool:
    inner = all(value.rank == 2 for value in values[1:-1])
    return inner and values[0].rank in (1, 2) and values[-1].rank in (1, 2)


def transposed(x: Value) -> Value:
    if x.rank > 2:
        raise ShapeProblem(
            f".T of a tensor with {x.rank} axes", hint="transpose(x, [0, 2, 1]) names the order of the axes"
        )
    return x.reshaped(reversed(x.shape), lambda at: x.element(at[::-1]))


def _square(arguments: Arguments, x: Value, *, batch: bool = True) -> None:
    if x.rank < 2 or (x.rank > 2 and not batch):
        raise arguments.shape_problem(f"takes a matrix, not {shape_text(x.shape)}")
    if not same_size(x.shape[-1], x.shape[-2]):
        m, n = size_text(x.shape[-2]), size_text(x.shape[-1])
        raise arguments.shape_problem(f"takes a square matrix, not {m}×{n}", hint="X.T @ X is square")


def _trace(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    if x.rank != 2:
        _square(arguments, x, batch=False)

    def element(_: At) -> Expr:
        i = arguments.context.bind(x.shape[0])
        if same_size(*x.shape):
            return contracted((i,), x.element((i, i)))
        j = arguments.context.bind(x.shape[1])  # the diagonal is as long as the shorter axis
        return contracted((i, j), mul(bracket("==", i, j), x.element((i, j))))

    return Value((), element, contracts=True, polynomial=x.polynomial)


def _matrix_operator(name: str, rank: int) -> Callable[[Arguments], Value]:
    """inv, cholesky (rank 2), det, logdet (rank 0); leading axes are a batch."""

    def build(arguments: Arguments) -> Value:
        x = arguments.context.whole(arguments.tensor("x"))
        _square(arguments, x)

        def element(at: At) -> Expr:
            outer = at[: x.rank - 2]
            binders = tuple(arguments.context.bind(size) for size in x.shape[-2:])
            return Element(name, at[x.rank - 2 :], (binders,), (x.element((*outer, *binders)),), ())

        return Value(x.shape[: x.rank - 2 + rank], element, contracts=True, operator=True, polynomial=False)

    return build


def _solve(arguments: Arguments) -> Value:
    a = arguments.context.whole(arguments.tensor("a"))
    b = arguments.context.whole(arguments.tensor("b"))
    _square(arguments, a)
    columns = 0 if b.rank == 1 else 1
    if b.rank == 0 or (a.rank > 2 and b.rank == 2):
        raise arguments.shape_problem(
            "the right side is a vector, a matrix, or a batch of matrices",
            hint="reshape(b, [P, N, 1]) for a batch of vectors",
        )
    if not same_size(a.shape[-1], b.shape[b.rank - 1 - columns]):
        raise arguments.shape_problem(f"{shape_text(a.shape)} and {shape_text(b.shape)} do not meet")
    batches = a.shape[:-2], b.shape[: max(b.rank - 2, 0)]
    batch = broadcast_shapes(*batches, "solve, batch axes")

    def element(at: At) -> Expr:
        bind = arguments.context.bind
        outer = [broadcast_at(shape, batch, at[: len(batch)]) for shape in batches]
        inner = a.shape[-2:], b.shape[-1 - columns :]
        binders: list[tuple[Index, ...]] = [tuple(bind(n) for n in shape) for shape in inner]
        pairs = zip((a, b), outer, binders, strict=True)
        operands = tuple(value.element((*where, *axes)) for value, where, axes in pairs)
        return Element("solve", at[len(batch) :], tuple(binders), operands, ())

    shape = (*batch, a.shape[-1], *b.shape[b.rank - columns :])
    return Value(shape, element, contracts=True, operator=True, polynomial=False)


def _diag(arguments: Arguments) -> Value:
    x = arguments.tensor("x")
    if x.rank == 1:
        n = x.shape[0]
        return x.reshaped((n, n), lambda at: mul(x.element(at[:1]), bracket("==", at[0], at[1])))
    if x.rank != 2:
        raise arguments.shape_problem(f"takes a vector or a matrix, not {shape_text(x.shape)}")
    return x.reshaped((_shorter(arguments, *x.shape),), lambda at: x.element((at[0], at[0])))


def _shorter(arguments: Arguments, rows: Expr, columns: Expr) -> Expr:
    """The smaller of two sizes: how long a diagonal is."""
    if not_negative(normal_size(add(columns, neg(rows)))):
        return rows
    if not_negative(normal_size(add(rows, neg(columns)))):
        return columns
    m, n = size_text(rows), size_text(columns)
    hint = "a slice says how long the diagonal is: diag(X[:K, :K])"
    raise arguments.shape_problem(f"which of {m} and {n} is smaller decides the length of the diagonal", hint)


def _outer(arguments: Arguments) -> Value:
    a, b = arguments.tensor("a"), arguments.tensor("b")
    if a.rank != 1 or b.rank != 1:
        shapes = f"{shape_text(a.shape)} and {shape_text(b.shape)}"
        raise arguments.shape_problem(f"takes two vectors, not {shapes}")
    shape = (*a.shape, *b.shape)
    contracts, polynomial = a.contracts or b.contracts, a.polynomial and b.polynomial
    return Value(
        shape, lambda at: mul(a.element(at[:1]), b.element(at[1:])), contracts, polynomial=polynomial
    )


def _part(function: str, index: Expr, size: Expr) -> Expr:
    if size is ONE:
        return index if function == "floordiv" else ZERO
    return call(function, index, size)


def _kron(arguments: Arguments) -> Value:
    a, b = arguments.tensor("a"), arguments.tensor("b")
    if a.rank != b.rank or a.rank not in (1, 2):
        raise arguments.shape_problem("takes two matrices or two vectors")
    shape = tuple(normal_size(mul(m, n)) for m, n in zip(a.shape, b.shape, strict=True))

    def element(at: At) -> Expr:
        left = tuple(_part("floordiv", i, n) for i, n in zip(at, b.shape, strict=True))
        right = tuple(_part("mod", i, n) for i, n in zip(at, b.shape, strict=True))
        left = tuple(ZERO if m is ONE else i for i, m in zip(left, a.shape, strict=True))
        return mul(a.element(left), b.element(right))

    return Value(shape, element, a.contracts or b.contracts, polynomial=a.polynomial and b.polynomial)


def _einsum(arguments: Arguments) -> Value:
    node = arguments.given["spec"]
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        error = SyntaxProblem("einsum begins with its spec", hint='einsum("nd,dm->nm", X, W)')
        raise arguments.problem(node, error)
    operands = [arguments.context.operand(part) for part in arguments.rest]
    terms, output = _spec(arguments, node.value.replace(" ", ""), [operand.shape for operand in operands])
    sizes: dict[str, Expr] = {}
    for term, operand in zip(terms, operands, strict=True):
        for letter, size in zip(term, operand.shape, strict=True):
            if letter in DOTTED and ONE in (sizes.get(letter), size):
                sizes[letter] = sizes[letter] if size is ONE and letter in sizes else size
            elif not same_size(sizes.setdefault(letter, size), size):
                m, n = size_text(sizes[letter]), size_text(size)
                raise arguments.shape_problem(f"index {letter} ranges over {m} and over {n}")
    for letter in output:
        if letter not in sizes or output.count(letter) > 1:
            raise arguments.shape_problem(f"index {letter} of the output stands in no operand, or twice")
    summed = [letter for letter in sizes if letter not in output]

    def element(at: At) -> Expr:
        bound = {letter: arguments.context.bind(sizes[letter], _wish(letter)) for letter in summed}
        index: dict[str, Expr] = {**dict(zip(output, at, strict=True)), **bound}
        parts = zip(terms, operands, strict=True)
        factors = [o.element(_broadcast(term, o, index)) for term, o in parts]
        return contracted(list(bound.values()), *factors)

    shape = tuple(sizes[letter] for letter in output)
    contracts = bool(summed) or any(o.contracts for o in operands)
    names = tuple(_wish(letter) for letter in output)
    return Value(shape, element, contracts, polynomial=all(o.polynomial for o in operands), names=names)


def _wish(letter: str) -> str:
    """The index name that the author chose, where it can be one."""
    return letter if letter.islower() and letter not in DOTTED else ""


def _broadcast(term: str, operand: Value, index: Mapping[str, Expr]) -> At:
    """The indices of an operand; an axis of size 1 that `...` stands for is read at 0."""
    axes = zip(term, operand.shape, strict=True)
    return tuple(ZERO if letter in DOTTED and size is ONE else index[letter] for letter, size in axes)


def _spec(arguments: Arguments, spec: str, shapes: Sequence[Sequence[Expr]]) -> tuple[list[str], str]:
    """The letters of each operand and of the output, those that `...` stands for among them."""
    left, arrow, output = spec.partition("->")
    terms = left.split(",")
    letters = [part.replace("...", "", 1) for part in (*terms, output)]
    if not all(c in string.ascii_letters for c in "".join(letters)):
        what = f"the spec `{spec}` holds letters, commas, `...` and one ->"
        raise arguments.shape_problem(what, '"nd,dm->nm"')
    if len(terms) != len(shapes):
        raise arguments.shape_problem(f"the spec names {len(terms)} operands, {len(shapes)} are given")
    dots = [len(shape) - len(named) for named, shape in zip(letters, shapes, strict=False)]
    for term, count, shape in zip(terms, dots, shapes, strict=True):
        if count < 0 or count > (len(DOTTED) if "..." in term else 0):
            raise arguments.shape_problem(f"`{term}` for an operand of shape {shape_text(shape)}")
    most = max([0, *(count for term, count in zip(terms, dots, strict=True) if "..." in term)])
    if not arrow:
        once = "".join(sorted(c for c in set("".join(letters)) if "".join(letters).count(c) == 1))
        output = ("..." if most else "") + once
    elif most and "..." not in output:
        raise arguments.shape_problem(
            "the axes that `...` stands for have no place in the output", f"{spec}..."
        )
    filled = [t.replace("...", DOTTED[len(DOTTED) - n :]) for t, n in zip(terms, dots, strict=True)]
    return filled, output.replace("...", DOTTED[len(DOTTED) - most :])


def _eye(arguments: Arguments) -> Value:
    n = arguments.size("n")
    return Value((n, n), lambda at: bracket("==", at[0], at[1]))


def _triangle(relation: str) -> Callable[[Arguments], Value]:
    """tril keeps j <= i + k, triu keeps j >= i + k."""

    def build(arguments: Arguments) -> Value:
        x, k = arguments.tensor("x"), arguments.size("k", 0)
        if x.rank < 2:
            raise arguments.shape_problem(f"takes a matrix, not {shape_text(x.shape)}")

        def element(at: At) -> Expr:
            return mul(x.element(at), bracket(relation, at[-1], add(at[-2], k)))

        return x.reshaped(x.shape, element)

    return build


TABLE: Final[dict[str, Entry]] = {
    "trace": Entry(("x",), _trace),
    "det": Entry(("x",), _matrix_operator("det", 0)),
    "logdet": Entry(("x",), _matrix_operator("logdet", 0)),
    "inv": Entry(("x",), _matrix_operator("inv", 2)),
    "cholesky": Entry(("x",), _matrix_operator("cholesky", 2)),
    "solve": Entry(("a", "b"), _solve),
    "diag": Entry(("x",), _diag),
    "outer": Entry(("a", "b"), _outer),
    "kron": Entry(("a", "b"), _kron),
    "einsum": Entry(("spec", "*operands"), _einsum),
    "eye": Entry(("n",), _eye),
    "tril": Entry(("x", "k=0"), _triangle("<=")),
    "triu": Entry(("x", "k=0"), _triangle(">=")),
}
