"""The laws of differentiation, for one element. Nobody writes a backward rule: these are all there is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Partial,
    Pow,
    Size,
    Sum,
    Tensor,
    add,
    bracket,
    call,
    children,
    free,
    mul,
    power,
    substitute,
    tensors,
    total,
)
from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS, Site
from pullback.rewriting import Rule


def differentiate(e: Expr, by: Access) -> Expr:
    """∂e/∂by, with every ∂access/∂by of the same tensor left standing as `Partial`.

    Sum rule, product rule, chain rule. A tensor other than `by`'s contributes nothing.
    """
    if by.tensor not in tensors(e):
        return ZERO
    match e:
        case Access():
            return Partial(e, by)
        case Add(terms):
            return add(*(differentiate(term, by) for term in terms))
        case Mul(factors):
            return add(*(_product_term(factors, k, by) for k in range(len(factors))))
        case Pow(base, exponent):
            return add(_of_base(e, base, exponent, by), _of_exponent(e, base, exponent, by))
        case Call(function, arguments):
            partials = FUNCTIONS[function].partials
            inner = [differentiate(argument, by) for argument in arguments]
            return add(*(mul(partials[k](*arguments, e), d) for k, d in enumerate(inner) if d is not ZERO))
        case Sum(indices, body):
            return total(indices, differentiate(body, by))
        case Element():
            return _of_element(e, by)
        case Num() | Const() | Size() | Index() | Bracket():
            return ZERO
    raise TypeError(f"no derivative of {type(e).__name__}")


def _product_term(factors: tuple[Expr, ...], k: int, by: Access) -> Expr:
    inner = differentiate(factors[k], by)
    return ZERO if inner is ZERO else mul(*factors[:k], inner, *factors[k + 1 :])


def _of_base(e: Expr, base: Expr, exponent: Expr, by: Access) -> Expr:
    inner = differentiate(base, by)
    if inner is ZERO:
        return ZERO
    return mul(exponent, power(base, add(exponent, MINUS_ONE)), inner)


def _of_exponent(e: Expr, base: Expr, exponent: Expr, by: Access) -> Expr:
    inner = differentiate(exponent, by)
    return ZERO if inner is ZERO else mul(e, call("log", base), inner)


def _of_element(e: Element, by: Access) -> Expr:
    """Σ over the argument's entries of (the operator's local derivative) × (the entry's derivative)."""
    local = OPERATORS[e.operator].local
    parts: list[Expr] = []
    for which, (binder, body) in enumerate(zip(e.binders, e.bodies, strict=True)):
        inner = differentiate(body, by)
        if inner is ZERO:
            continue
        site = Site(e)
        bound = site.bound(which, *by.slots)
        renamed = substitute(inner, dict(zip(binder, bound, strict=True)))
        parts.append(total(bound, mul(local(site, which, bound), renamed)))
    return add(*parts)


def access_rule(e: Expr) -> tuple[Expr, str] | None:
    """∂T[e] / ∂T[j] = [e = j], the Kronecker delta."""
    if not (isinstance(e, Partial) and isinstance(e.of, Access)):
        return None
    of, by = e.of, e.by
    if of.tensor is not by.tensor:
        return ZERO, ""
    deltas = (bracket("==", a, b) for a, b in zip(of.slots, by.slots, strict=True))
    return mul(ONE, *deltas), f"one entry of {of.tensor.name} changes with another only if they are the same"


ACCESS_RULE = Rule("access rule", access_rule)


def operands(definition: Definition) -> list[Tensor]:
    """The real tensors that a definition reads, in the order of reading."""
    return [tensor for tensor in tensors(definition.body) if not tensor.is_integer]


def target_indices(tensor: Tensor, is_taken: Callable[[str], bool]) -> tuple[Index, ...]:
    """Indices i, j, k, l, … for the entry of `tensor` that is differentiated by; none has a name that is taken."""
    names = chain("ijklpqrstuvwabcefgh", (f"{c}{n}" for n in range(2, 20) for c in "ijkl"))
    letters = (name for name in names if not is_taken(name))
    return tuple(Index(name, extent) for extent, name in zip(tensor.shape, letters, strict=False))


def names_in(e: Expr) -> set[str]:
    """The names of every index in `e`, bound ones included."""
    from_free = {index.name for index in free(e)}
    found = set(from_free)
    stack = [e]
    while stack:
        node = stack.pop()
        match node:
            case Index(name, _):
                found.add(name)
            case Sum(indices, _):
                found.update(index.name for index in indices)
            case Element(_, _, binders, _, _):
                found.update(index.name for binder in binders for index in binder)
        stack.extend(children(node))
    return found
