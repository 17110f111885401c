"""The laws for what cancels at saturation, and for a factor of 0 beside one that is infinite.

They serve evaluation alone: a derivation is no shorter for them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from pullback.expression import (
    MINUS_ONE,
    ONE,
    ZERO,
    Access,
    Add,
    Bracket,
    Call,
    Expr,
    Mul,
    Num,
    Pow,
    Sum,
    Tensor,
    add,
    bracket,
    call,
    free,
    mul,
    neg,
    num,
    power,
    replace,
    tensors,
    terms_of,
    walk,
)
from pullback.rewriting import Rule
from pullback.rulebooks.algebra import coefficient, key, tidy
from pullback.rulebooks.exponentials import Exponentials
from pullback.rulebooks.stable import Applied, rule

HALF: Final = Num(Fraction(1, 2))
TWO: Final = num(2)
SQUASHING: Final = {"sigmoid": 1, "tanh": 2}  # f with 1 - f^n → 0: what is left of the difference counts
INFINITE: Final = ("exp", "expm1", "log", "log1p")


class Cancellation:
    """The laws over some definitions, which `seen` looks through."""

    def __init__(self, seen: Exponentials) -> None:
        self.seen = seen

    @property
    def phases(self) -> tuple[tuple[Rule, ...], ...]:
        """Rules in the order of use; before the laws of exponentials, which find what these leave."""
        return ((rule(self.saturated), rule(self.share), rule(self.balanced)),)

    @property
    def last(self) -> tuple[tuple[Rule, ...], ...]:
        """What comes after every other law."""
        return ((rule(self.guarded), rule(self.entropy)),)

    def saturated(self, e: Expr) -> Applied:
        """p (c - f) + f = p c + (1 - p) f, for p = sigmoid(x) or tanh(x)²"""
        if not isinstance(e, Add):
            return None
        for term in e.terms:
            factors = term.factors if isinstance(term, Mul) else ()
            for p in factors:
                match self.seen.scalar(p):
                    case Call(name, (_,)) if name in SQUASHING:
                        found = self._without_cancelling(e, term, p, name)
                        if found is not None:
                            return found, "p (c - f) + f = p c + (1 - p) f"
        return None

    def _without_cancelling(self, e: Add, term: Expr, p: Expr, name: str) -> Expr | None:
        """The sum with the term multiplied out and a pair f - p f gathered, where that leaves one."""
        assert isinstance(term, Mul)
        inner = next((f for f in term.factors if isinstance(f, Add)), None)
        if inner is None:
            return None
        outer = mul(*(f for f in term.factors if f is not inner))
        terms = [mul(outer, t) for t in inner.terms] + [t for t in e.terms if t is not term]
        terms = [self._opened(t, p, name) for t in terms]
        power_of_p = power(p, num(SQUASHING[name]))
        for small in terms:
            rest = _divided(small, power_of_p)
            large = next((t for t in terms if rest is not None and key(t) == key(neg(rest))), None)
            if large is not None:
                others = [t for t in terms if t is not small and t is not large]
                return add(mul(large, add(ONE, neg(power_of_p))), *others)
        return None

    def _opened(self, term: Expr, p: Expr, name: str) -> Expr:
        """The term with names of products by p written out, where squares of p count."""
        if name != "tanh":
            return term
        factors = _factors(term)
        made = [self.seen.opened(f) for f in factors]
        pairs = zip(factors, made, strict=True)
        return tidy(mul(*(o if isinstance(o, Mul) and p in o.factors else f for f, o in pairs)))

    def share(self, e: Expr) -> Applied:
        """1 - a / (a + b) = b / (a + b)"""
        if not (isinstance(e, Add) and len(e.terms) == 2):
            return None
        for one, term in (e.terms, e.terms[::-1]):
            factors = _factors(term)
            below = [f for f in factors if isinstance(f, Pow) and f.exponent is MINUS_ONE and tensors(f)]
            if len(below) != 1 or not isinstance(one, Num):
                continue
            whole = self.seen.opened(below[0].base)
            above = neg(mul(power(one, MINUS_ONE), *(f for f in factors if f is not below[0])))
            if isinstance(whole, Add) and any(key(t) == key(above) for t in whole.terms):
                left = add(*(t for t in whole.terms if key(t) != key(above)))
                return mul(one, left, below[0]), "1 - a / (a + b) = b / (a + b)"
        return None

    def balanced(self, e: Expr) -> Applied:
        """sigmoid(x) - sigmoid(-x) = 2 sigmoid(x) - 1 = tanh(x / 2)"""
        if not isinstance(e, Add):
            return None
        for term in e.terms:
            for factor in _factors(term):
                match self.seen.scalar(factor):
                    case Call("sigmoid", (x,)):
                        rest = mul(*(f for f in _factors(term) if f is not factor))
                        mirrored = neg(mul(rest, call("sigmoid", neg(x))))
                        for opposite, share in ((mirrored, rest), (neg(mul(HALF, rest)), mul(HALF, rest))):
                            other = next((t for t in e.terms if key(t) == key(opposite)), None)
                            if other is not None:
                                kept = [t for t in e.terms if t is not term and t is not other]
                                found = add(mul(share, call("tanh", mul(HALF, x))), *kept)
                                return found, "sigmoid(x) - sigmoid(-x) = 2 sigmoid(x) - 1 = tanh(x / 2)"
        return None

    def guarded(self, e: Expr) -> Applied:
        """[c] f = where(c, f, 0), where f may be infinite and c asks for the same inputs"""
        if not isinstance(e, Mul):
            return None
        masks = {f: mask for f in e.factors if (mask := self._mask(f)) is not None}
        for large in (f for f in e.factors if f not in masks and self._may_be_infinite(f)):
            asked = self._inputs(large)
            near = {
                f: m
                for f, m in masks.items()
                if asked & self._inputs(m) and (not free(large) or free(large) & free(m))
            }
            if near:
                kept = large
                for mask in near.values():
                    kept = call("where", mask, kept, ZERO)
                # A bracket is what it asks for; any other mask also weighs, and stays.
                rest = [f for f in e.factors if f is not large and not (f in near and isinstance(f, Bracket))]
                return mul(*rest, kept), "a factor that is masked may be infinite"
        return None

    def _mask(self, e: Expr) -> Expr | None:
        """The factor as a condition: a bracket of values, a sum of such, or a gradient that masks make 0."""
        opened = replace(e, self._named_bracket)
        if _is_mask(opened):
            return opened
        if isinstance(e, Access) and e.tensor in self.seen.known:
            body = self.seen.known[e.tensor].body
            if any(isinstance(node, Bracket) and tensors(node) for node in walk(body)):
                return bracket("!=", e, ZERO)
        return None

    def _named_bracket(self, e: Expr) -> Expr | None:
        """What a name stands for, where that is a bracket."""
        opened = self.seen.opened(e)
        return opened if isinstance(opened, Bracket) else None

    def entropy(self, e: Expr) -> Applied:
        """x log(x) = x where(x != 0, log(x), 0)"""
        if not isinstance(e, Mul):
            return None
        for log in e.factors:
            match log:
                case Call("log", (Access() as x,)) if x in e.factors:
                    rest = [f for f in e.factors if f is not log]
                    return mul(*rest, call("where", bracket("!=", x, ZERO), log, ZERO)), "x log(x) is 0 at 0"
        return None

    def _inputs(self, e: Expr) -> set[Tensor]:
        """The tensors that are read, through every name."""
        found: set[Tensor] = set()
        stack = [e]
        while stack:
            for tensor in tensors(stack.pop()):
                if tensor not in found:
                    found.add(tensor)
                    if tensor in self.seen.known:
                        stack.append(self.seen.known[tensor].body)
        return found

    def _may_be_infinite(self, e: Expr) -> bool:
        match self.seen.opened(e):
            case Call(name, _):
                return name in INFINITE
            case Pow(base, Num(n)):
                if n < 0:
                    return bool(tensors(base)) and not _is_positive(self.seen.opened(base))
                return self._may_be_infinite(base)
            case Mul(factors) | Add(factors):
                return any(self._may_be_infinite(f) for f in factors)
        return False


def _is_mask(e: Expr) -> bool:
    """Whether the factor is a bracket of values, or a sum of such brackets with numbers in front."""
    terms = terms_of(e)
    cores = [coefficient(term)[1] for term in terms]
    return all(isinstance(core, Bracket) and bool(tensors(core)) for core in cores)


def _is_positive(e: Expr) -> bool:
    """Whether a divisor keeps away from 0: a number is added, or brackets alone are counted."""
    if isinstance(e, Add) and any(isinstance(t, Num) and t.value > 0 for t in e.terms):
        return True
    return (isinstance(e, Call) and e.function == "where") or _counts(e)


def _counts(e: Expr) -> bool:
    match e:
        case Sum(_, body):
            return _counts(body)
        case Mul(parts) | Add(parts):
            return all(_counts(part) for part in parts)
    return isinstance(e, Bracket) or not tensors(e)


def _divided(e: Expr, p: Expr) -> Expr | None:
    """e / p, where p is a factor."""
    base, n = (p.base, p.exponent) if isinstance(p, Pow) else (p, ONE)
    assert isinstance(n, Num)
    factors = _factors(e)
    for factor in factors:
        own, m = (factor.base, factor.exponent) if isinstance(factor, Pow) else (factor, ONE)
        if own is base and isinstance(m, Num) and m.value >= n.value:
            rest = [f for f in factors if f is not factor]
            return mul(*rest, power(base, Num(m.value - n.value)))
    return None


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
