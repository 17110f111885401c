"""Other ways to write the same value, worth a look where two parts of a sum exclude or complete each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from fractions import Fraction
from itertools import combinations

from pullback.affine import difference, expression, polynomial, same
from pullback.expression import (
    MIRRORED,
    NEGATED,
    ONE,
    ZERO,
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
    add,
    bracket,
    call,
    children,
    free,
    fresh,
    mul,
    neg,
    num,
    over,
    power,
    rebuild,
    replace,
    substitute,
    tensors,
    walk,
)
from pullback.rulebooks.algebra import Key, canonical, coefficient, key

_HALF, _MINUS_HALF = Num(Fraction(1, 2)), Num(Fraction(-1, 2))
MANY = 3  # terms that make a sum over an index worth its while


def variants(e: Expr) -> list[tuple[Expr, str]]:
    """What may read better, each with what has changed; the cheapest is taken."""
    nodes = list(walk(e))
    found = []
    if any(isinstance(node, Bracket) for node in nodes):
        found.append((either(e), "one of two, by a condition"))
    if any(isinstance(node, Pow) and node.exponent is _MINUS_HALF for node in nodes):
        found.append((rooted(e), "one root"))
    if sum(isinstance(node, Sum) for node in nodes) > 1:
        found.append((under_one_sum(e), "one sum"))
    return [(other, why) for other, why in found if other is not e]


def either(e: Expr) -> Expr:
    """[c] f + [not c] g = where(c, f, g)"""
    return replace(e, _either)


def _either(e: Expr) -> Expr | None:
    if not isinstance(e, Add) or len(e.terms) != 2:
        return None
    first, second = (_factors(term) for term in e.terms)
    for condition in first:
        if not isinstance(condition, Bracket) or all(tensor.is_integer for tensor in tensors(condition)):
            continue
        opposite = Bracket(NEGATED[condition.relation], condition.left, condition.right)
        if opposite in second:
            chosen, other = (
                mul(ONE, *(f for f in factors if f is not without))
                for factors, without in ((first, condition), (second, opposite))
            )
            return call("where", condition, chosen, other)
    return None


def rooted(e: Expr) -> Expr:
    """√a / √b = √(a / b), where a and b are read at the same places"""
    return replace(e, _rooted)


def _rooted(e: Expr) -> Expr | None:
    if not isinstance(e, Mul):
        return None
    for above in e.factors:
        for below in e.factors:
            match above, below:
                case Pow(a, n), Pow(b, m) if n is _HALF and m is _MINUS_HALF and free(a) == free(b):
                    quotient = power(over(a, b), _HALF)
                    rest = (quotient if f is above else f for f in e.factors if f is not below)
                    return mul(*rest)
    return None


def gathered(e: Expr) -> Expr:
    """Σ_k f(k) + Σ_k g(k) = Σ_k (f(k) + g(k)), where f + g stands elsewhere too"""
    known = {canonical(node) for node in walk(e) if isinstance(node, Add)}

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Add):
            return None
        for first, second in combinations(node.terms, 2):
            match first, second:
                case Sum((k,), f), Sum((j,), g) if same(k.extent, j.extent):
                    both = add(f, substitute(g, {j: k}))
                    if canonical(both) in known:
                        rest = (term for term in node.terms if term not in (first, second))
                        return add(*rest, Sum((k,), both))
        return None

    return replace(e, change) if known else e


def summed(e: Expr) -> Expr:
    """f(0) + f(1) + … + f(C - 1) = Σ_c f(c), where the terms differ in places that are evenly spaced"""
    return replace(e, _summed)


def _summed(e: Expr) -> Expr | None:
    if not isinstance(e, Add) or len(e.terms) < MANY:
        return None
    c = fresh(Index("c", num(len(e.terms))), {index.name for node in walk(e) for index in free(node)})
    template = _between(e.terms[0], e.terms[1], c)
    if template is None or c not in free(template):
        return None
    values = (substitute(template, {c: num(k)}) for k in range(len(e.terms)))
    if any(key(_plain(value)) != key(_plain(term)) for value, term in zip(values, e.terms, strict=True)):
        return None
    return Sum((c,), template)


def under_one_sum(e: Expr) -> Expr:
    """Σ_k f(k) - Σ_k g(k) = Σ_k (f(k) - g(k)), where every factor is read at the same places"""
    return replace(e, _under_one_sum)


def _under_one_sum(e: Expr) -> Expr | None:
    if not isinstance(e, Add):
        return None
    for first, second in combinations(e.terms, 2):
        (a, f), (b, g) = coefficient(first), coefficient(second)
        match f, g:
            case Sum((k,), left), Sum((j,), right) if abs(a) == abs(b) and same(k.extent, j.extent):
                inner = substitute(right, {j: k})
                if all(free(factor) == free(left) for factor in (*_factors(left), *_factors(inner))):
                    both = add(left, mul(num(b / a), inner))
                    terms = (mul(num(a), Sum((k,), both)) if t is first else t for t in e.terms)
                    return add(*(t for t in terms if t is not second))
    return None


def _between(first: Expr, second: Expr, c: Index) -> Expr | None:
    """f(c), where the expressions are f(0) and f(1); None where they differ in more than places."""
    if first is second:
        return first
    match first, second:
        case Access(tensor, slots), Access(other, places) if tensor is other:
            step = [expression(difference(b, a)) for a, b in zip(slots, places, strict=True)]
            return Access(tensor, tuple(add(a, mul(c, d)) for a, d in zip(slots, step, strict=True)))
    below, other_below = children(first), children(second)
    if type(first) is not type(second) or not below or len(below) != len(other_below):
        return None
    if isinstance(first, Sum | Element) or rebuild(first, other_below) is not second:
        return None
    parts = [_between(a, b, c) for a, b in zip(below, other_below, strict=True)]
    found = tuple(part for part in parts if part is not None)
    return rebuild(first, found) if len(found) == len(parts) else None


def _plain(e: Expr) -> Expr:
    """The expression with each slot in its shortest form."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access):
            return Access(node.tensor, tuple(expression(polynomial(slot)) for slot in node.slots))
        return None

    return replace(e, change)


def positive(e: Expr) -> Expr:
    """-f (a - b) = f (b - a), where nothing else reads the difference"""
    if coefficient(e)[0].numerator != -1 or not isinstance(e, Mul):
        return e  # any other number is multiplied anyway
    counts = Counter(canonical(node) for node in walk(e) if isinstance(node, Add))
    turned = _turned(e, {k for k, count in counts.items() if count == 1})
    return e if turned is None else neg(turned)


def compared(e: Expr) -> Expr:
    """[a - b > 0] = [a > b] and [-a > 0] = [a < 0], where nothing else reads the difference"""
    counts = Counter(canonical(node) for node in walk(e) if isinstance(node, Add))

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Bracket) or node.right is not ZERO or not tensors(node):
            return None
        match node.left:
            case Add((a, b)) if _is_negative(a) != _is_negative(b) and counts[canonical(node.left)] == 1:
                if _is_negative(a):
                    return bracket(MIRRORED[node.relation], neg(a), b)
                return bracket(node.relation, a, neg(b))
            case Mul() if _is_negative(node.left):
                return bracket(MIRRORED[node.relation], neg(node.left), ZERO)
        return None

    return replace(e, change)


def _turned(e: Expr, alone: Collection[Key]) -> Expr | None:
    """The product with a difference in it the other way round, so that its sign changes."""
    match e:
        case Add(terms) if canonical(e) in alone:
            signs = {_is_negative(term) for term in terms}
            return neg(e) if len(signs) == 2 else None
        case Mul(factors):
            for k, factor in enumerate(factors):
                inner = _turned(factor, alone)
                if inner is not None:
                    return mul(*factors[:k], inner, *factors[k + 1 :])
        case Sum(indices, body):
            inner = _turned(body, alone)
            return None if inner is None else Sum(indices, inner)
    return None


def completed(e: Expr) -> Expr:
    """sigmoid(u) - sigmoid(-u) = 2 sigmoid(u) - 1 = tanh(u / 2); sigmoid(-u) = 1 - sigmoid(u) where both stand"""
    e = replace(e, _difference)
    known = {node.arguments[0] for node in walk(e) if isinstance(node, Call) and node.function == "sigmoid"}
    opposite = {u: v for u in known for v in known if _is_negative(u) and key(neg(u)) == key(v)}

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Call) and node.function == "sigmoid" and node.arguments[0] in opposite:
            return add(ONE, neg(call("sigmoid", opposite[node.arguments[0]])))
        return None

    return replace(e, change) if opposite else e


def _difference(e: Expr) -> Expr | None:
    """The first pair of terms f sigmoid(u) - f sigmoid(-u) as f tanh(u / 2)."""
    if not isinstance(e, Add):
        return None
    found = [
        (term, f)
        for term in e.terms
        for f in _factors(term)
        if isinstance(f, Call) and f.function == "sigmoid"
    ]
    for term, s in found:
        share = over(_without(term, s), num(2))
        opposite = next((x for x in e.terms if key(x) == key(neg(share))), None)
        if opposite is not None:
            kept = (x for x in e.terms if x not in (term, opposite))
            return add(*kept, mul(share, _tanh_of_half(s.arguments[0])))
        for other, t in found:
            u, v = s.arguments[0], t.arguments[0]
            if other is term or key(neg(u)) != key(v) or _is_negative(u):
                continue
            rest, left = _without(term, s), _without(other, t)
            if key(neg(rest)) == key(left):
                return add(*(x for x in e.terms if x not in (term, other)), mul(rest, _tanh_of_half(u)))
    return None


def _tanh_of_half(u: Expr) -> Expr:
    """tanh(u / 2), with a minus sign in front instead of inside"""
    half = over(u, num(2))
    return neg(call("tanh", neg(half))) if _is_negative(u) else call("tanh", half)


def _without(term: Expr, factor: Expr) -> Expr:
    return mul(ONE, *(f for f in _factors(term) if f is not factor))


def _is_negative(e: Expr) -> bool:
    """Whether the expression starts with a minus sign."""
    first = e.terms[0] if isinstance(e, Add) else e
    if isinstance(first, Num):
        return first.value < 0
    return isinstance(first, Mul) and isinstance(first.factors[0], Num) and first.factors[0].value < 0


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
