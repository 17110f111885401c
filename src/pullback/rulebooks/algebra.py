"""The laws of algebra that bring a result into the form a person publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pullback.expression import (
    ONE,
    Access,
    Add,
    Call,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Sum,
    Tensor,
    accesses,
    add,
    children,
    free,
    is_symmetric,
    mul,
    num,
    power,
    rebuild,
    replace,
    substitute,
    walk,
)
from pullback.notation import show
from pullback.rewriting import Rule
from pullback.rulebooks.facts import FACTS

Key = str


def key(e: Expr) -> Key:
    """A text that is the same for expressions equal up to order and the names of bound indices."""
    return _key(e, {})


def _key(e: Expr, bound: dict[Index, str]) -> Key:
    """The key under names for bound indices; where none of these is in `e`, it is kept with the node."""
    if bound and not free(e).isdisjoint(bound):
        return _made_key(e, bound)
    if e._key is None:
        object.__setattr__(e, "_key", _made_key(e, {}))
    return str(e._key)


def _made_key(e: Expr, bound: dict[Index, str]) -> Key:
    match e:
        case Index(name, _):
            return bound.get(e, name)
        case Access(tensor, slots):
            texts = [_key(s, bound) for s in slots]
            if is_symmetric(tensor):
                texts.sort()
            return f"{tensor.name}[{','.join(texts)}]"
        case Add(terms):
            return "(" + "+".join(sorted(_key(t, bound) for t in terms)) + ")"
        case Mul(factors):
            return "(" + "*".join(sorted(_key(f, bound) for f in factors)) + ")"
        case Sum(indices, body):
            return _sum_key(indices, body, bound)
        case Element(operator, at, binders, bodies, attributes):
            parts = [f"{operator}{attributes}", *(_key(a, bound) for a in at)]
            for binder, body in zip(binders, bodies, strict=True):
                inner = bound | {index: f"#{len(bound) + k}" for k, index in enumerate(binder)}
                parts.append(_key(body, inner))
            return f"<{';'.join(parts)}>"
        case _ if children(e):
            head = type(e).__name__ + getattr(e, "function", "") + getattr(e, "relation", "")
            return f"{head}({','.join(_key(c, bound) for c in children(e))})"
    return show(e)


def _sum_key(indices: tuple[Index, ...], body: Expr, bound: dict[Index, str]) -> Key:
    """Bound indices are numbered by where they first stand once the factors are sorted without their names."""
    masked = bound | {index: f"?{show(index.extent)}" for index in indices}
    factors = body.factors if isinstance(body, Mul) else (body,)
    ordered = sorted(factors, key=lambda factor: _key(factor, masked))
    order: dict[Index, None] = {}
    for factor in ordered:
        _first_seen(factor, indices, order)
    numbered = bound | {index: f"#{len(bound) + k}" for k, index in enumerate(order)}
    return f"Σ{len(indices)}(" + "*".join(sorted(_key(f, numbered) for f in factors)) + ")"


def _first_seen(e: Expr, wanted: Collection[Index], order: dict[Index, None]) -> None:
    if isinstance(e, Index) and e in wanted:
        order.setdefault(e)
    if not free(e).isdisjoint(wanted):
        for child in children(e):
            _first_seen(child, wanted, order)


def coefficient(e: Expr) -> tuple[Fraction, Expr]:
    """The leading number of a term, and the rest."""
    match e:
        case Num(value):
            return value, ONE
        case Mul((Num(value), *rest)):
            return value, mul(*rest)
    return Fraction(1), e


def collect(e: Expr) -> tuple[Expr, str] | None:
    """a t + b t = (a + b) t, for numbers a and b"""
    if not isinstance(e, Add):
        return None
    found: dict[Key, tuple[Fraction, Expr]] = {}
    for term in e.terms:
        value, rest = coefficient(term)
        k = key(rest)
        before = found.get(k)
        found[k] = (value, rest) if before is None else (before[0] + value, before[1])
    if len(found) == len(e.terms):
        return None
    return add(*(mul(num(value), rest) for value, rest in found.values())), "equal terms"


def gather_powers(e: Expr) -> tuple[Expr, str] | None:
    """x^a x^b = x^(a+b), for numbers a and b"""
    if not isinstance(e, Mul):
        return None
    bases: dict[Expr, Expr] = {}
    for factor in e.factors:
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Pow) else (factor, ONE)
        if not isinstance(exponent, Num) or isinstance(factor, Num):
            base, exponent = factor, ONE
            if isinstance(factor, Num):
                continue
        bases[base] = add(bases[base], exponent) if base in bases else exponent
    numbers = [factor for factor in e.factors if isinstance(factor, Num)]
    new = mul(*numbers, *(power(base, exponent) for base, exponent in bases.items()))
    if len(bases) + len(numbers) == len(e.factors):
        return None
    return new, "powers of the same"


COLLECT = Rule("collect", collect)
POWERS = Rule("powers", gather_powers)


def reuse(e: Expr, definition: Definition) -> Expr:
    """The expression with every occurrence of the definition's right side replaced by its left side."""
    body, access = definition.body, Access(definition.tensor, definition.indices)
    if not isinstance(body, Call | Mul | Pow | Element):
        return e
    return replace(e, lambda node: _reused(node, body, access))


def _reused(node: Expr, body: Expr, access: Access) -> Expr | None:
    if node is body:
        return access
    if isinstance(body, Pow) and isinstance(node, Pow) and node.base is body.base:
        return _as_power(node, body, access)
    if isinstance(body, Mul) and isinstance(node, Mul):
        rest = Counter(node.factors)
        rest.subtract(body.factors)
        if all(count >= 0 for count in rest.values()):
            kept, found = list(node.factors), False
            for factor in body.factors:
                place = kept.index(factor)
                kept[place : place + 1] = [] if found else [access]
                found = True
            return mul(*kept)
    return None


def _as_power(node: Pow, body: Pow, access: Access) -> Expr | None:
    """base^(k·e) as (base^e)^k, for a whole number k."""
    if not (isinstance(node.exponent, Num) and isinstance(body.exponent, Num)):
        return None
    k = node.exponent.value / body.exponent.value
    return power(access, Num(k)) if k.denominator == 1 and abs(k) <= 3 else None


@dataclass(frozen=True, slots=True)
class Known:
    """A tensor whose definition is one operator: which slot holds which batch index or output place."""

    tensor: Tensor
    slots: tuple[tuple[bool, int], ...]  # (is a batch index, its number)

    def read(self, batch: tuple[Index, ...], at: tuple[Expr, ...]) -> Access:
        return Access(self.tensor, tuple(batch[k] if is_batch else at[k] for is_batch, k in self.slots))


def known_operators(definitions: Iterable[Definition]) -> dict[Key, Known]:
    """The definitions whose whole right side is an operator read at their own indices, or exp(log_softmax)."""
    found: dict[Key, Known] = {}
    elements: dict[Tensor, Definition] = {}
    for definition in definitions:
        body = definition.body
        if isinstance(body, Element):
            elements[definition.tensor] = definition
        e = body if isinstance(body, Element) else _softmax(body, elements)
        if e is None:
            continue
        batch = _batch(e)
        places = {index: (True, k) for k, index in enumerate(batch)}
        places |= {index: (False, k) for k, index in enumerate(e.at) if isinstance(index, Index)}
        if set(places) == set(definition.indices) and len(places) == len(batch) + len(e.at):
            slots = tuple(places[index] for index in definition.indices)
            found.setdefault(_element_key(e, batch), Known(definition.tensor, slots))
    return found


def _softmax(e: Expr, elements: Mapping[Tensor, Definition]) -> Element | None:
    """exp(log_softmax(x)) = softmax(x)"""
    match e:
        case Call("exp", (Access(tensor, slots),)) if tensor in elements:
            made = elements[tensor]
            log = substitute(made.body, dict(zip(made.indices, slots, strict=True)))
            if isinstance(log, Element) and log.operator == "log_softmax":
                return Element("softmax", log.at, log.binders, log.bodies, log.attributes)
    return None


class OperatorReader:
    """Reads every operator element through a definition of its own, so that it is computed once."""

    def __init__(
        self,
        known: dict[Key, Known],
        new_name: Callable[[str], str],
        mirrored: Callable[[Expr, tuple[Index, ...]], bool] = lambda e, indices: False,
    ) -> None:
        self.known = known
        self.mirrored = mirrored
        self.new_name = new_name
        self.made: list[Definition] = []

    def __call__(self, e: Expr) -> Expr:
        return replace(e, self._read)

    def _read(self, node: Expr) -> Expr | None:
        if not isinstance(node, Element):
            return None
        batch = _batch(node)
        k = _element_key(node, batch)
        if k not in self.known:
            self.known[k] = self._define(node, batch)
        return self.known[k].read(batch, node.at)

    def _define(self, node: Element, batch: tuple[Index, ...]) -> Known:
        names = {index.name for index in batch}
        at = tuple(_free_index(binder, names) for binder in _output_ranges(node))
        template = Element(node.operator, at, node.binders, node.bodies, node.attributes)
        indices = _reading_order(node, batch, at)
        places = {index: (True, k) for k, index in enumerate(batch)}
        places |= {index: (False, k) for k, index in enumerate(at)}
        facts = frozenset(("symmetric",)) if self.mirrored(template, indices) else frozenset()
        shape = tuple(index.extent for index in indices)
        tensor = Tensor(self.new_name(node.operator), shape, None, facts)
        self.made.append(Definition(tensor, indices, template))
        return Known(tensor, tuple(places[index] for index in indices))


def _element_key(e: Element, batch: tuple[Index, ...]) -> Key:
    """The same for elements of one operator of the same function, whatever the place and the batch indices' names."""
    named = {index: f"@{k}:{show(index.extent)}" for k, index in enumerate(batch)}
    return _key(Element(e.operator, (), e.binders, e.bodies, e.attributes), named)


def reading_order(e: Expr) -> tuple[Index, ...]:
    """The free indices, in the order in which they are read."""
    found: dict[Index, None] = {}
    _first_seen(e, free(e), found)
    return tuple(found)


def canonical(e: Expr) -> Key:
    """The same for expressions that are equal up to the names of free indices."""
    if e._canonical is None:
        names = {index: f"@{k}:{show(index.extent)}" for k, index in enumerate(reading_order(e))}
        object.__setattr__(e, "_canonical", _key(e, names))
    return str(e._canonical)


def _batch(node: Element) -> tuple[Index, ...]:
    """The free indices of the bodies, in the order of reading."""
    found: dict[Index, None] = {}
    for binder, body in zip(node.binders, node.bodies, strict=True):
        outside = free(body) - set(binder)
        _first_seen(body, outside, found)
    return tuple(found)


def _reading_order(node: Element, batch: tuple[Index, ...], at: tuple[Index, ...]) -> tuple[Index, ...]:
    """The indices of an operator's output in the order in which its argument reads those that they stand for.

    The largest tensor that is read says the order.
    """
    if len(node.bodies) != 1 or len(at) != len(node.binders[0]):
        return (*batch, *at)
    seen: dict[Index, None] = {}
    wanted = {*batch, *node.binders[0]}
    for access in sorted(accesses(node.bodies[0]), key=lambda access: -len(free(access) & wanted)):
        _first_seen(access, wanted, seen)
    _first_seen(node.bodies[0], wanted, seen)
    stands = dict(zip(node.binders[0], at, strict=True))
    ordered = [stands.get(index, index) for index in seen]
    return tuple(ordered) if set(ordered) == {*batch, *at} else (*batch, *at)


def _output_ranges(node: Element) -> tuple[Index, ...]:
    """One binder index for each output index: its range is the range of that axis."""
    if not node.at:
        return ()
    if node.operator == "solve":
        return (node.binders[0][1], *node.binders[1][1:])
    return node.binders[0]


def _free_index(index: Index, taken: set[str]) -> Index:
    name, k = index.name, 2
    while name in taken:
        name, k = f"{index.name.rstrip('0123456789')}{k}", k + 1
    taken.add(name)
    return Index(name, index.extent)


def tidy(e: Expr) -> Expr:
    """Like terms and like powers gathered, and declared facts used, everywhere."""

    below = children(e)
    if not below:
        return e
    if e._tidied is None:
        new = rebuild(e, tuple(map(tidy, below)))
        applied = (rule.apply(new) for rule in (POWERS, *FACTS, COLLECT))
        tidied = next((result[0] for result in applied if result is not None), new)
        object.__setattr__(e, "_tidied", tidied)
    assert e._tidied is not None
    return e._tidied


def operators_in(e: Expr) -> list[str]:
    return list(dict.fromkeys(node.operator for node in walk(e) if isinstance(node, Element)))


def functions_in(e: Expr) -> list[str]:
    return list(dict.fromkeys(node.function for node in walk(e) if isinstance(node, Call)))
