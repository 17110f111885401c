"""From an element's equation to a matrix form, with the right to answer "none"."""

from __future__ import annotations

from fractions import Fraction

from pullback.affine import is_plain, same
from pullback.expression import (
    ONE,
    Access,
    Add,
    Bracket,
    Call,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Sum,
    free,
    mul,
    power,
    substitute,
    tensors,
    total,
)
from pullback.matrix.contraction import contract, times, triangle_of
from pullback.matrix.entries import entry
from pullback.matrix.forms import (
    Cumulative,
    Diagonal,
    DiagonalMatrix,
    Einsum,
    Eye,
    Form,
    Leaf,
    Map,
    NoMatrixForm,
    OneHot,
    Operation,
    Plus,
    Reduce,
    Reshaped,
    Scalar,
    Triangle,
    union,
)

COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}


def lift(e: Expr) -> Form:
    """The matrix form of an expression over its free indices; raises `NoMatrixForm` where there is none."""
    if not tensors(e) and not free(e):
        return Scalar((), e)
    match e:
        case Access():
            return entry(e)
        case Add(terms):
            lifted = [_signed(term) for term in terms]
            return Plus(union(form for _, form in lifted), tuple(lifted))
        case Mul():
            return _product(e, ())
        case Sum(indices, body):
            return _product(body, indices)
        case Pow():
            return _power(e)
        case Call("floordiv" | "mod", _):
            raise NoMatrixForm
        case Call(function, arguments):
            forms = tuple(lift(argument) for argument in arguments)
            return Map(union(forms), function, forms)
        case Bracket():
            return _bracket(e)
        case Element():
            return _element(e)
    raise NoMatrixForm


def _signed(term: Expr) -> tuple[int, Form]:
    match term:
        case Num(value) if value < 0:
            return -1, Scalar((), Num(-value))
        case Mul((Num(value), *rest)) if value < 0:
            return -1, lift(mul(Num(-value), *rest))
    return 1, lift(term)


def _power(e: Pow) -> Form:
    match e.exponent:
        case Num(n) if n < 0:
            base = power(e.base, Num(-n))
            return times([], [lift(base)])
        case Num(n) if n == Fraction(1, 2):
            match e.base:
                case Sum(over, Pow(inner, Num(square))) if square == 2:
                    child = lift(inner)
                    if set(over) <= set(child.labels):
                        kept = tuple(label for label in child.labels if label not in over)
                        return Reduce(kept, "norm", child, over)
            base_form = lift(e.base)
            return Map(base_form.labels, "sqrt", (base_form,))
    forms = (lift(e.base), lift(e.exponent))
    return Map(union(forms), "**", forms)


def _bracket(e: Bracket) -> Form:
    indices = free(e)
    if any(not tensor.is_integer for tensor in tensors(e)):
        forms = (lift(e.left), lift(e.right))
        return Map(union(forms), e.relation, forms)
    match e:
        case Bracket("==", Index() as i, Index() as j) if same(i.extent, j.extent):
            return Eye((i, j))
        case Bracket("==", Access(tensor, slots), Index() as v) | Bracket(
            "==", Index() as v, Access(tensor, slots)
        ):
            rows = tuple(s for s in slots if isinstance(s, Index))
            if is_plain(Access(tensor, slots)) and tensor.values is not None:
                if same(tensor.values, v.extent) and v not in rows:
                    return OneHot((*rows, v), tensor.name, v.extent)
        case Bracket("!=", left, right):
            return Plus(
                tuple(indices), ((1, Scalar((), Num(Fraction(1)))), (-1, lift(Bracket("==", left, right))))
            )
    raise NoMatrixForm


def _product(body: Expr, over: tuple[Index, ...]) -> Form:
    """A product of factors, summed over some indices."""
    if isinstance(body, Sum):
        return _product(body.body, over + body.indices)
    if isinstance(body, Add) and over:
        child = lift(body)
        return _reduced(child, over)
    factors = list(body.factors) if isinstance(body, Mul) else [body]
    special = _running_sum(factors, over) or _on_diagonal(factors, over)
    if special is not None:
        return special
    triangles: list[tuple[str, Index, Index, int]] = []
    above: list[Form] = []
    below: list[Form] = []
    for factor in factors:
        triangle = triangle_of(factor)
        if triangle is not None:
            triangles.append(triangle)
        elif isinstance(factor, Pow) and isinstance(factor.exponent, Num) and factor.exponent.value < 0:
            below.append(lift(power(factor.base, Num(-factor.exponent.value))))
        else:
            above.append(lift(factor))
    above = _masked(above, below, triangles)
    return contract(above, below, over)


def _running_sum(factors: list[Expr], over: tuple[Index, ...]) -> Form | None:
    """Σ_k [k <= j] f(k) g(j), where nothing beside the bracket joins k and j: running sums of f."""
    triangles = [(f, t) for f in factors if (t := triangle_of(f)) is not None]
    if len(triangles) != 1 or len(over) != 1 or triangles[0][1][3] != 0:
        return None
    factor, (function, row, column, _) = triangles[0]
    k = over[0]
    j = row if column is k else column
    if k not in (row, column) or j is k or not same(j.extent, k.extent):
        return None
    summed = [f for f in factors if k in free(f) and f is not factor]
    others = [f for f in factors if k not in free(f)]
    if not summed or any(j in free(f) for f in summed):
        return None
    child = lift(substitute(mul(ONE, *summed), {k: j}))
    if len(child.labels) > 2:
        return None  # a masked product is less work than running sums of something larger
    # tril holds where column <= row.
    reverse = (column is k) != (function == "tril")
    form = Cumulative(child.labels, child, j, reverse)
    return contract([form, *(lift(f) for f in others)], [], ()) if others else form


def einsum_form(e: Expr) -> Form | None:
    """A product of entries under a sum as one einsum, None where it is something else."""
    over, factors = _flat_product(e)
    if not over:
        return None
    numbers = [f for f in factors if not free(f) and not tensors(f)]
    entries = [f for f in factors if f not in numbers]
    if len(entries) < 2 or not all(isinstance(f, Access) or _is_sum_of_entries(f) for f in entries):
        return None
    forms = [lift(f) for f in entries]
    if not all(isinstance(form, Leaf | Reshaped | Plus) and None not in _axes(form) for form in forms):
        return None
    if len(forms) > 2 and len({frozenset(form.labels) for form in forms}) < len(forms):
        return None  # factors over the same indices are multiplied first
    if any(sum(index in form.labels for form in forms) == 1 for index in over):
        return None  # what one factor alone is summed over goes first
    kept = tuple(label for label in union(forms) if label not in over)
    product = Einsum(kept, tuple(forms))
    return times([*(Scalar((), number) for number in numbers), product], [])


def _is_sum_of_entries(e: Expr) -> bool:
    """a[i,j] - b[i,j], entries at the same places"""
    if not isinstance(e, Add):
        return False
    entries = [term.factors[-1] if isinstance(term, Mul) else term for term in e.terms]
    places = {entry.slots if isinstance(entry, Access) else None for entry in entries}
    return None not in places and len(places) == 1


def _flat_product(e: Expr) -> tuple[tuple[Index, ...], list[Expr]]:
    """The bound indices and the factors of a product with sums in it, where no name stands for two indices."""
    over: list[Index] = []
    factors: list[Expr] = []
    stack = [e]
    while stack:
        node = stack.pop(0)
        if isinstance(node, Mul):
            stack = [*node.factors, *stack]
        elif isinstance(node, Sum):
            over += node.indices
            stack = [node.body, *stack]
        else:
            factors.append(node)
    names = {index.name for index in over}
    clash = len(names) < len(over) or not names.isdisjoint(index.name for index in free(e))
    return ((), factors) if clash else (tuple(over), factors)


def _axes(form: Form) -> tuple[Index | None, ...]:
    return form.axes if isinstance(form, Leaf) else form.labels


def _masked(
    above: list[Form], below: list[Form], triangles: list[tuple[str, Index, Index, int]]
) -> list[Form]:
    """Each triangular bracket laid on factors that carry both of its indices, together or apart."""
    for function, row, column, offset in triangles:
        pair = {row, column}
        hosts = [form for form in above if pair <= set(form.labels)]
        if hosts:
            host = hosts[0]
            k = above.index(host)
            above[k] = Triangle(host.labels, function, host, (row, column), offset)
            continue
        ones = Operation((row, column), "ones", (), (row, column))
        above.append(Triangle((row, column), function, ones, (row, column), offset))
    return above


def _on_diagonal(factors: list[Expr], over: tuple[Index, ...]) -> Form | None:
    """f(i) g(j) [i = j] is diag(f g), where neither index is summed and nothing else joins them."""
    for factor in factors:
        match factor:
            case Bracket("==", Index() as i, Index() as j) if same(i.extent, j.extent) and i is not j:
                others = [f for f in factors if f is not factor]
                if {i, j} & set(over) or any({i, j} <= free(f) for f in others):
                    return None
                inner = substitute(mul(ONE, *others), {j: i})
                vector = lift(total(over, inner))
                return DiagonalMatrix((i, j), vector) if vector.labels == (i,) else None
    return None


def _reduced(child: Form, over: tuple[Index, ...]) -> Form:
    missing = [index for index in over if index not in child.labels]
    labels = tuple(label for label in child.labels if label not in over)
    form: Form = Reduce(labels, "sum", child, tuple(i for i in over if i in child.labels))
    if missing:
        form = times([Scalar((), mul(*(index.extent for index in missing))), form], [])
    return form


def _element(e: Element) -> Form:
    match e.operator:
        case "softmax" | "log_softmax":
            return _along(e)
        case "logsumexp" | "max" | "min" | "prod" | "norm":
            child = lift(e.bodies[0])
            if not set(e.binders[0]) <= set(child.labels):
                raise NoMatrixForm
            labels = tuple(label for label in child.labels if label not in e.binders[0])
            return Reduce(labels, e.operator, child, e.binders[0])
        case "inv" | "cholesky":
            return _square(e)
        case "det" | "logdet":
            child = lift(e.bodies[0])
            if not set(e.binders[0]) <= set(child.labels):
                raise NoMatrixForm
            batch = tuple(label for label in child.labels if label not in e.binders[0])
            return Operation(batch, e.operator, (child,), (*batch, *e.binders[0]))
        case "solve":
            return _solve(e)
    raise NoMatrixForm


def _along(e: Element) -> Form:
    """softmax along some indices: the output carries those of the place where it is read."""
    renaming: dict[Index, Expr] = {}
    for bound, at in zip(e.binders[0], e.at, strict=True):
        if not isinstance(at, Index) or at in free(e.bodies[0]) - set(e.binders[0]):
            raise NoMatrixForm
        renaming[bound] = at
    child = lift(substitute(e.bodies[0], renaming))
    along = tuple(at for at in e.at if isinstance(at, Index))
    if not along or len(set(along)) < len(along) or not set(along) <= set(child.labels):
        raise NoMatrixForm
    return Operation(child.labels, e.operator, (child,), along)


def _square(e: Element) -> Form:
    i, j = e.at
    batch = free(e.bodies[0]) - set(e.binders[0])
    if not (isinstance(i, Index) and isinstance(j, Index)) or {i, j} & batch:
        raise NoMatrixForm
    if i is j:
        inner = (i, Index(i.name + "_", i.extent))
        return Diagonal((i,), _square_at(e, inner), inner)
    return _square_at(e, (i, j))


def _square_at(e: Element, at: tuple[Index, Index]) -> Form:
    child = lift(substitute(e.bodies[0], dict(zip(e.binders[0], at, strict=True))))
    if not set(at) <= set(child.labels):
        raise NoMatrixForm
    labels = (*(label for label in child.labels if label not in at), *at)
    return Operation(labels, e.operator, (child,), labels)


def _solve(e: Element) -> Form:
    at = tuple(index for index in e.at if isinstance(index, Index))
    if len(at) != len(e.at):
        raise NoMatrixForm
    (a, b) = e.binders[0]
    row = at[0]
    inner = Index(row.name + "_", row.extent)
    matrix = lift(substitute(e.bodies[0], {a: row, b: inner}))
    right = lift(substitute(e.bodies[1], dict(zip(e.binders[1], at, strict=True))))
    if not {row, inner} <= set(matrix.labels) or not set(at) <= set(right.labels):
        raise NoMatrixForm
    left, beside = ([x for x in form.labels if x not in (*at, inner)] for form in (matrix, right))
    alone = [x for x in (*left, *beside) if (x in left) != (x in beside)]
    batch = (*alone, *(x for x in left if x in beside))
    # Axes line up from the right, and a batch beside one matrix, or of vectors, cannot be told from a matrix.
    one_sided = all(x in left for x in alone) or all(x in beside for x in alone)
    vectors = beside if len(at) == 1 else left and not beside
    if not one_sided or vectors or inner in right.labels:
        raise NoMatrixForm
    along = (*(x for x in batch if x in left), row, inner)
    return Operation((*batch, *at), "solve", (matrix, right), along)
