"""The laws of the Kronecker delta: brackets collapse sums."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.affine import decided, divide, expression, extent, polynomial, same, solve, within
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Add,
    Bracket,
    Call,
    Expr,
    Index,
    Mul,
    Num,
    Sum,
    accesses,
    add,
    bracket,
    exchange,
    free,
    fresh,
    mul,
    substitute,
    tensors,
    total,
    walk,
)
from pullback.notation import show
from pullback.rewriting import Rule


def factors_of(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)


def collapse(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k = j] f(k) = f(j), where j lies in the range of k."""
    if not isinstance(e, Sum):
        return None
    factors = factors_of(e.body)
    for place, factor in enumerate(factors):
        if not (isinstance(factor, Bracket) and factor.relation == "=="):
            continue
        for k, value in ((factor.left, factor.right), (factor.right, factor.left)):
            if isinstance(k, Index) and k in e.indices and k not in free(value):
                if within(value, k.extent):
                    rest = mul(ONE, *factors[:place], *factors[place + 1 :])
                    return _without(e, k, substitute(rest, {k: value})), _why(k, factor)
    return None


def _without(e: Sum, k: Index, body: Expr) -> Expr:
    return total((index for index in e.indices if index is not k), body)


def _why(k: Index, factor: Bracket) -> str:
    return f"the sum over {k.name} keeps one term: zero unless {show(factor.left)} = {show(factor.right)}"


def divide_and_remainder(e: Expr) -> tuple[Expr, str] | None:
    """Σ_p Σ_a [h = c·p + a] f(p, a) = f(h // c, h % c), where a runs over 0 .. c-1 and h over 0 .. c·P-1."""
    if not isinstance(e, Sum):
        return None
    factors = factors_of(e.body)
    for place, factor in enumerate(factors):
        if not (isinstance(factor, Bracket) and factor.relation == "=="):
            continue
        for h, value in ((factor.left, factor.right), (factor.right, factor.left)):
            found = _quotient_and_remainder(e, h, value)
            if found is not None:
                p, a, c = found
                rest = mul(ONE, *factors[:place], *factors[place + 1 :])
                body = substitute(rest, {p: call_div(h, c), a: call_mod(h, c)})
                note = f"each {show(h)} is {show(value)} for exactly one {p.name} and one {a.name}"
                return total((i for i in e.indices if i not in (p, a)), body), note
    return None


def _quotient_and_remainder(e: Sum, h: Expr, value: Expr) -> tuple[Index, Index, Expr] | None:
    if any(index in free(h) for index in e.indices):
        return None
    terms = polynomial(value)
    if len(terms) != 2:
        return None
    for a in e.indices:
        if terms.get((a,)) != 1:
            continue
        for p in e.indices:
            if p is a or not same(value, add(mul(a.extent, p), a)):
                continue
            size = extent(h)
            if size is not None and same(size, mul(a.extent, p.extent)):
                return p, a, a.extent
    return None


def call_div(h: Expr, c: Expr) -> Expr:
    return Call("floordiv", (h, c))


def call_mod(h: Expr, c: Expr) -> Expr:
    return Call("mod", (h, c))


def unsplit(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [(k + s) // c = a] [(k + s) % c = b] f(k) = f(c·a + b - s), where that is in the range of k."""
    if not isinstance(e, Sum):
        return None
    factors = factors_of(e.body)
    splits = [(f, *found) for f in factors if (found := _split_of(f, e)) is not None]
    for quotient, name, (e1, c, a) in splits:
        for remainder, other, (e2, c2, b) in splits:
            if (name, other) != ("floordiv", "mod") or e1 is not e2 or c is not c2 or not within(b, c):
                continue
            k = next(i for i in e.indices if i in free(e1))
            value = solve(e1, add(mul(c, a), b), k)
            size = divide(k.extent, c)
            inside = e1 is k and size is not None and within(a, size)
            if value is None or (e1 is k and not inside):
                continue
            rest = mul(ONE, *(f for f in factors if f not in (quotient, remainder)))
            guards = () if inside else (bracket("<=", ZERO, value), bracket("<", value, k.extent))
            body = mul(substitute(rest, {k: value}), *guards)
            return _without(e, k, body), f"the sum over {k.name} keeps one term: {k.name} = {show(value)}"
    return None


def _split_of(factor: Expr, e: Sum) -> tuple[str, tuple[Expr, Expr, Expr]] | None:
    """(h, c, value) of [h // c = value] or [h % c = value], where h moves with one index of the sum."""
    match factor:
        case Bracket("==", Call("floordiv" | "mod" as name, (h, c)), value):
            moving = [k for k in e.indices if k in free(h)]
            if len(moving) == 1 and moving[0] not in free(value) and moving[0] not in free(c):
                return name, (h, c, value)
    return None


def split_range(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k f(k // c, k % c) = Σ_a Σ_b f(a, b), where k runs over 0 .. c·A-1."""
    if not isinstance(e, Sum):
        return None
    for k in e.indices:
        found = [n for n in walk(e.body) if isinstance(n, Call) and n.arguments and n.arguments[0] is k]
        divisors = {n.arguments[1] for n in found if n.function in ("floordiv", "mod")}
        if len(divisors) != 1:
            continue
        (c,) = divisors
        size = divide(k.extent, c)
        if size is None or free(c):
            continue
        taken = {index.name for index in free(e.body)} | {index.name for index in e.indices}
        a, b = fresh(Index(k.name, size), taken), fresh(Index(k.name, c), taken)
        joined = add(mul(c, a), b)
        split: dict[Expr, Expr] = {Call("floordiv", (joined, c)): a, Call("mod", (joined, c)): b}
        body = exchange(substitute(e.body, {k: joined}), split)
        indices = [i for index in e.indices for i in ((a, b) if index is k else (index,))]
        return total(indices, body), f"{k.name} = {show(joined)}, for every {a.name} and {b.name}"
    return None


def single_value(e: Expr) -> tuple[Expr, str] | None:
    """[i = 0] = 1, where i takes no value but 0"""
    match e:
        case Bracket("==", Index(_, size), Num(value)) | Bracket("==", Num(value), Index(_, size)):
            if size is ONE and value == 0:
                return ONE, ""
    return None


def one_term(e: Expr) -> tuple[Expr, str] | None:
    """Σ_i f(i) = f(0), where i takes no value but 0; a product of a column and a row stays one of matrices"""
    if not isinstance(e, Sum):
        return None
    for k in e.indices:
        read = {free(factor) for factor in factors_of(e.body) if k in free(factor)}
        crossed = any(not (a <= b or b <= a) for a in read for b in read)
        if k.extent is ONE and read and not crossed:
            return _without(e, k, substitute(e.body, {k: ZERO})), ""
    return None


def one_value_left(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [a <= k] [k < a + 1] f(k) = f(a); an end of the range may stand for its bracket"""
    if not isinstance(e, Sum):
        return None
    factors = factors_of(e.body)
    for k in e.indices:
        low: list[Expr] = [ZERO]
        high: list[Expr] = [k.extent]
        used: list[Expr] = []
        for factor in factors:
            match factor:
                case Bracket("<=", bound, other) if other is k and k not in free(bound):
                    low, used = [*low, bound], [*used, factor]
                case Bracket("<", other, bound) if other is k and k not in free(bound):
                    high, used = [*high, bound], [*used, factor]
        if not used or len(low) > 2 or len(high) > 2 or not same(add(low[-1], ONE), high[-1]):
            continue
        rest = mul(ONE, *(factor for factor in factors if factor not in used))
        return _without(e, k, substitute(rest, {k: low[-1]})), f"only {k.name} = {show(low[-1])} is left"
    return None


def decide(e: Expr) -> tuple[Expr, str] | None:
    """[0 <= i] = 1 and [i < N] = 1, where i runs over 0 .. N-1; and whatever else the ranges decide"""
    if not isinstance(e, Bracket) or tensors(e) or not free(e):
        return None
    holds = decided(e.relation, e.left, e.right)
    return None if holds is None else (ONE if holds else ZERO, "")


def shift(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k + a = j] f(k) = [0 <= j - a] [j - a < K] f(j - a), where K is the range of k."""
    if not isinstance(e, Sum):
        return None
    factors = factors_of(e.body)
    for place, factor in enumerate(factors):
        if not (isinstance(factor, Bracket) and factor.relation == "=="):
            continue
        for k in e.indices:
            value = solve(factor.left, factor.right, k)
            if value is None or _occurs_inside(k, factor):
                continue
            rest = mul(ONE, *factors[:place], *factors[place + 1 :])
            guards: tuple[Expr, ...] = (bracket("<=", ZERO, value), bracket("<", value, k.extent))
            moved = substitute(rest, {k: value})
            left = [index for index in e.indices if index is not k]
            if not free(value).isdisjoint(left):
                guards += _implied(moved, left)
            body = mul(moved, *guards)
            note = f"the sum over {k.name} keeps one term: {k.name} = {show(value)}, where that is in range"
            return _without(e, k, body), note
    return None


def _implied(e: Expr, left: Sequence[Index]) -> tuple[Expr, ...]:
    """Guards of reads that may leave the sum over `left`, which holds the brackets that imply these."""
    found: dict[Expr, None] = {}
    for access in accesses(e):
        for written, size in zip(access.slots, access.tensor.shape, strict=True):
            slot = expression(polynomial(written))
            if free(slot) and free(slot).isdisjoint(left) and not within(slot, size):
                found.update(dict.fromkeys((bracket("<=", ZERO, slot), bracket("<", slot, size))))
    return tuple(found)


def _occurs_inside(k: Index, factor: Bracket) -> bool:
    """Whether `k` stands inside a quotient, a remainder or another tensor's slot."""
    inside = [n for n in walk(factor) if isinstance(n, Call | Access)]
    return any(k in free(n) for n in inside)


def split_sum(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k (f + g) = Σ_k f + Σ_k g"""
    if isinstance(e, Sum) and isinstance(e.body, Add):
        return add(*(total(e.indices, term) for term in e.body.terms)), ""
    return None


def distribute(e: Expr) -> tuple[Expr, str] | None:
    """f (g + h) = f g + f h, where a delta stands in the bracketed sum."""
    if not (isinstance(e, Sum) and isinstance(e.body, Mul)):
        return None
    factors = e.body.factors
    for place, factor in enumerate(factors):
        if isinstance(factor, Add) and any(_has_delta(term, e) for term in factor.terms):
            before, after = factors[:place], factors[place + 1 :]
            return total(e.indices, add(*(mul(*before, term, *after) for term in factor.terms))), ""
    return None


def _has_delta(e: Expr, outer: Sum) -> bool:
    """Whether a bracket `==` on an index of the sum is a factor of `e`, also below an inner sum or term."""
    match e:
        case Bracket("==", left, right):
            return not (free(left) | free(right)).isdisjoint(outer.indices) and _is_index_bracket(e)
        case Mul(factors):
            return any(_has_delta(factor, outer) for factor in factors)
        case Add(terms):
            return any(_has_delta(term, outer) for term in terms)
        case Sum(_, body):
            return _has_delta(body, outer)
    return False


def _is_index_bracket(e: Bracket) -> bool:
    """Whether both sides are index expressions, not values of real tensors."""
    return not any(isinstance(node, Access) and not node.tensor.is_integer for node in walk(e))


def merge_sums(e: Expr) -> tuple[Expr, str] | None:
    """Σ_j f Σ_k g = Σ_j Σ_k f g, where a delta in g holds an index of the outer sum."""
    if not (isinstance(e, Sum) and isinstance(e.body, Mul)):
        return None
    factors = e.body.factors
    for place, factor in enumerate(factors):
        if isinstance(factor, Sum) and _has_delta(factor, e):
            taken = {i.name for i in e.indices} | {
                i.name for other in (*factors[:place], *factors[place + 1 :]) for i in free(other)
            }
            inner, renaming = [], {}
            for index in factor.indices:
                new = index
                k = 2
                while new.name in taken:
                    new = Index(f"{index.name.rstrip('0123456789')}{k}", index.extent)
                    k += 1
                taken.add(new.name)
                inner.append(new)
                renaming[index] = new
            body = substitute(factor.body, dict(renaming))
            merged = mul(*factors[:place], body, *factors[place + 1 :])
            return total((*e.indices, *inner), merged), ""
    return None


def pull_out(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k c f(k) = c Σ_k f(k), where c does not depend on k; Σ_k 1 = K"""
    if not isinstance(e, Sum):
        return None
    idle = [k for k in e.indices if k not in free(e.body)]
    if idle:
        rest = total((k for k in e.indices if k not in idle), e.body)
        return mul(*(k.extent for k in idle), rest), ""
    factors = factors_of(e.body)
    outside = [f for f in factors if free(f).isdisjoint(e.indices)]
    if not outside:
        return None
    inside = [f for f in factors if not free(f).isdisjoint(e.indices)]
    return mul(*outside, total(e.indices, mul(ONE, *inside))), ""


TIDY = (Rule("split the sum", split_sum), Rule("pull out", pull_out))
OPEN = (
    Rule("distribute", distribute),
    Rule("merge sums", merge_sums),
    Rule("split the sum", split_sum),
    Rule("pull out", pull_out),
)
COLLAPSE = Rule("collapse", collapse)
# Rules that need no index but those of the sum at hand; the others wait until the whole sum is there.
LOCAL = (
    Rule("one value", single_value),
    Rule("decide", decide),
    COLLAPSE,
)
DELTA = (
    Rule("one value", single_value),
    Rule("one term", one_term),
    Rule("decide", decide),
    Rule("one value left", one_value_left),
    COLLAPSE,
    Rule("split the range", split_range),
    Rule("divide and remainder", divide_and_remainder),
    Rule("unsplit", unsplit),
)
SHIFT = Rule("shift", shift)
