"""Products and sums of products: which pairs to contract first, and as what.

Sizes are symbols, so costs count every size as the same number; ties go to the order of reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from pullback.affine import difference, same
from pullback.expression import MINUS_ONE, Bracket, Expr, Index, Mul, Num, mul, power, tensors
from pullback.matrix.forms import (
    Einsum,
    Eye,
    Form,
    Leaf,
    Map,
    MatMul,
    Operation,
    Outer,
    Reduce,
    Scalar,
    Times,
    Triangle,
    union,
)

TYPICAL = 64  # the size that every symbol counts as when orders of contraction are compared


def times(above: Sequence[Form], below: Sequence[Form]) -> Form:
    """The elementwise product; numbers are gathered in front, and one plain factor stays as it is."""
    inverses = [form for form in above if isinstance(form, Times) and not form.above and not form.negative]
    above = [form for form in above if form not in inverses]
    below = [*below, *(divisor for form in inverses for divisor in form.below)]
    numbers = [form.value for form in above if isinstance(form, Scalar)]
    numbers += [power(form.value, MINUS_ONE) for form in below if isinstance(form, Scalar)]
    forms = [form for form in above if not isinstance(form, Scalar)]
    divisors = [form for form in below if not isinstance(form, Scalar)]
    value = mul(*numbers)
    negative = False
    match value:
        case Num(n) if n < 0:
            negative, value = True, Num(-n)
        case Mul((Num(n), *rest)) if n < 0:
            negative, value = True, mul(Num(-n), *rest)
    if not (isinstance(value, Num) and value.value == 1):
        forms.insert(0, Scalar((), value))
    if len(forms) == 1 and not divisors and not negative:
        return forms[0]
    return Times(union([*forms, *divisors]), tuple(forms), tuple(divisors), negative)


def contract(above: list[Form], below: list[Form], over: tuple[Index, ...]) -> Form:
    """Σ over the indices of the product, as matrix products, outer products and reductions."""
    scalars = [form for form in above if not form.labels]
    forms = [form for form in above if form.labels]
    divisors = [form for form in below if form.labels]
    scalar_divisors = [form for form in below if not form.labels]
    forms = _divide(forms, divisors, over)
    used = {label for form in forms for label in form.labels}
    idle = [index for index in over if index not in used]
    scalars += [Scalar((), index.extent) for index in idle]
    remaining = tuple(index for index in over if index in used)
    while remaining:
        forms, remaining = _best_action(forms, remaining)
    forms = _outer(forms)
    return times([*scalars, *forms], scalar_divisors)


def _divide(forms: list[Form], divisors: list[Form], over: tuple[Index, ...]) -> list[Form]:
    """Each divisor joins the first factor that carries all of its labels, so that a quotient stays one."""
    for divisor in divisors:
        hosts = [k for k, form in enumerate(forms) if set(divisor.labels) <= set(form.labels)]
        if hosts:
            k = hosts[0]
            host = forms[k]
            if isinstance(host, Times):
                forms[k] = Times(host.labels, host.above, (*host.below, divisor), host.negative)
            else:
                forms[k] = times([host], [divisor])
        else:
            forms.append(times([], [divisor]))
    return forms


def cost(labels: set[Index]) -> int:
    total: int = TYPICAL ** len(labels)
    return total


def _best_action(forms: list[Form], over: tuple[Index, ...]) -> tuple[list[Form], tuple[Index, ...]]:
    """Do the cheapest of: contract a pair, absorb a factor into one that has all its labels, sum one out."""
    best: tuple[tuple[int, int, int, int], list[Form], tuple[Index, ...]] | None = None
    for rank, (a, b) in enumerate(combinations(range(len(forms)), 2)):
        left, right = forms[a], forms[b]
        shared = set(left.labels) & set(right.labels)
        if not shared:
            continue
        others = {label for k, form in enumerate(forms) if k not in (a, b) for label in form.labels}
        closed = tuple(i for i in over if i in shared and i not in others)
        inside = set(left.labels) <= set(right.labels) or set(right.labels) <= set(left.labels)
        if not closed and not inside:
            continue
        merged = _pair(left, right, closed)
        alike = set(left.labels) == set(right.labels)  # x @ (A * B) @ y, not sum(x * A * B) @ y
        key = (cost(set(left.labels) | set(right.labels)), 0 if closed else 1, 0 if alike else 1, rank)
        if best is None or key < best[0]:
            rest = [merged if k == a else form for k, form in enumerate(forms) if k != b]
            best = (key, rest, tuple(i for i in over if i not in closed))
    for k, form in enumerate(forms):
        others = {label for j, other in enumerate(forms) if j != k for label in other.labels}
        alone = tuple(i for i in over if i in form.labels and i not in others)
        if not alone:
            continue
        key = (cost(set(form.labels)), 2, 0, k)
        if best is None or key < best[0]:
            rest = [*forms[:k], reduce_sum(form, alone), *forms[k + 1 :]]
            best = (key, rest, tuple(i for i in over if i not in alone))
    if best is None:
        kept = tuple(label for label in union(forms) if label not in over)
        return [Einsum(kept, tuple(forms))], ()
    return best[1], best[2]


def reduce_sum(form: Form, over: tuple[Index, ...]) -> Form:
    if isinstance(form, Eye) and len(over) == 1:
        raise AssertionError("a delta is collapsed before it reaches the matrix view")
    match form:
        case Map((k,), "**", (vector, Scalar(_, Num(n)))) if n == 2 and over == (k,):
            return MatMul((), vector, vector, k)
    return Reduce(tuple(label for label in form.labels if label not in over), "sum", form, over)


def _pair(left: Form, right: Form, closed: tuple[Index, ...]) -> Form:
    """left × right, summed over the labels that occur nowhere else."""
    a, b = set(left.labels), set(right.labels)
    if not closed:
        masked = _masked(left, right) or _masked(right, left)
        return times([left, right], []) if masked is None else masked
    kept = tuple(label for label in union([left, right]) if label not in closed)
    if len(closed) == 1 and matmul_fits(left, right, closed[0]):
        k = closed[0]
        free_left = tuple(label for label in left.labels if label != k)
        free_right = tuple(label for label in right.labels if label != k and label not in free_left)
        return MatMul((*free_left, *free_right), left, right, k)
    if a == b or a <= b or b <= a:
        return reduce_sum(times([left, right], []), closed)
    return Einsum(kept, (left, right))


def _masked(mask: Form, other: Form) -> Form | None:
    """tril(ones) * X = tril(X)"""
    if isinstance(mask, Triangle) and isinstance(mask.child, Operation) and mask.child.function == "ones":
        if set(mask.labels) <= set(other.labels):
            return Triangle(other.labels, mask.function, other, mask.pair, mask.offset)
    return None


def matmul_fits(left: Form, right: Form, k: Index) -> bool:
    """Whether Σ_k is a matrix product: at most one free label on one side, and no shared label beside k."""
    if any(isinstance(form, Leaf) and None in form.axes for form in (left, right)):
        return False  # an axis of size 1 is there to broadcast
    a = [label for label in left.labels if label != k]
    b = [label for label in right.labels if label != k]
    shared = set(a) & set(b)
    if not shared:
        return len(a) <= 1 or len(b) <= 1 or (len(a) == 1 and len(b) == 1)
    # Batched: the shared labels are the same, in the same order, and one free label is left on each side.
    batch_a = [label for label in a if label in shared]
    batch_b = [label for label in b if label in shared]
    return batch_a == batch_b and len(a) - len(shared) == 1 and len(b) - len(shared) == 1


def from_the_left(left: Form, right: Form, k: Index, a: Index, b: Index) -> MatMul | None:
    """A (B C) = (A B) C, which needs no brackets, for matrices where it is likely to cost no more."""
    if not isinstance(right, MatMul) or set(left.labels) != {a, k} or set(right.labels) != {k, b}:
        return None
    m = right.via
    second = {frozenset(form.labels): form for form in (right.left, right.right)}
    first, last = second.get(frozenset((k, m))), second.get(frozenset((m, b)))
    if first is None or last is None:
        return None
    # A square last factor leaves one product on both sides; the other is smaller where k counts samples.
    square = same(k.extent, b.extent) or same(m.extent, b.extent)
    if not (square or (same(a.extent, b.extent) and same(k.extent, m.extent))):
        return None
    return MatMul((a, b), MatMul((a, m), left, first, k), last, m)


def _outer(forms: list[Form]) -> list[Form]:
    """Two vectors with different labels are an outer product."""
    if len(forms) == 2 and all(len(form.labels) == 1 for form in forms):
        left, right = forms
        if left.labels != right.labels:
            return [Outer((*left.labels, *right.labels), left, right)]
    return forms


def triangle_of(e: Expr) -> tuple[str, Index, Index, int] | None:
    """[j <= i + k] as tril with offset k, [j >= i + k] as triu: (function, row, column, offset)."""
    if not isinstance(e, Bracket) or tensors(e) or e.relation not in ("<", "<=", ">", ">="):
        return None
    terms = difference(e.left, e.right)
    offset = int(terms.pop((), Fraction(0)))
    if sorted(terms.values()) != [-1, 1] or any(len(monomial) != 1 for monomial in terms):
        return None
    ((plus,),) = [m for m, c in terms.items() if c == 1]
    ((minus,),) = [m for m, c in terms.items() if c == -1]
    if not (isinstance(plus, Index) and isinstance(minus, Index)):
        return None
    # plus - minus + offset (relation) 0
    match e.relation:
        case "<=":
            return "tril", minus, plus, -offset
        case "<":
            return "tril", minus, plus, -offset - 1
        case ">=":
            return "triu", minus, plus, -offset
    return "triu", minus, plus, -offset + 1
