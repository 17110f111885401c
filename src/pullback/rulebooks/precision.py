"""The laws that keep the digits of small numbers, and give the gradient of a norm its value at zero.

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
    mul,
    neg,
    num,
    power,
    substitute,
    tensors,
    terms_of,
    total,
)
from pullback.rewriting import Rule
from pullback.rulebooks.algebra import coefficient, key, tidy
from pullback.rulebooks.exponentials import Exponentials, placed
from pullback.rulebooks.stable import Applied, rule

HALF: Final = Num(Fraction(1, 2))
TWO: Final = num(2)


class Precision:
    """The laws over some definitions, which `seen` looks through; with `gradients` also those of gradients."""

    def __init__(self, seen: Exponentials, *, gradients: bool = False) -> None:
        self.seen = seen
        self.gradients = gradients

    @property
    def phases(self) -> tuple[tuple[Rule, ...], ...]:
        """Rules in the order of use: quotients by a norm before the norm itself is rewritten.

        A forward `x / norm(x)` has no value at 0, so it stays; in a gradient it is the norm's derivative.
        """
        quotients = (self.log_of_difference, self.exp_over_difference, self.proportional, self.multiplied_out)
        at_zero = (self.norm_at_zero, self.product_at_zero)
        first = (*quotients, *at_zero) if self.gradients else quotients
        then = (
            self.log_near_one,
            self.exp_near_zero,
            self.one_minus_cos,
            self.variance,
            self.root,
            self.two_squares,
        )
        return tuple(tuple(rule(law) for law in laws) for laws in (first, then))

    def log_near_one(self, e: Expr) -> Applied:
        """log(1 + x) = log1p(x)"""
        match e:
            case Call("log", (Add(terms),)) if ONE in terms:
                rest = add(*(term for term in terms if term is not ONE))
                return call("log1p", rest), "log(1 + x) = log1p(x)"
        return None

    def exp_near_zero(self, e: Expr) -> Applied:
        """exp(x) - 1 = expm1(x)"""
        found = self.seen.difference(e, "exp")
        if found is None:
            return None
        return found.replaced(neg(call("expm1", found.argument))), "exp(x) - 1 = expm1(x)"

    def one_minus_cos(self, e: Expr) -> Applied:
        """1 - cos(x) = 2 sin(x/2)²"""
        found = self.seen.difference(e, "cos")
        if found is None:
            return None
        square = power(call("sin", mul(HALF, found.argument)), TWO)
        return found.replaced(mul(TWO, square)), "1 - cos(x) = 2 sin(x/2)²"

    def variance(self, e: Expr) -> Applied:
        """Σ_k x[k]² / N - μ² = Σ_k (x[k] - μ)² / N, for μ = Σ_k x[k] / N"""
        if not isinstance(e, Add):
            return None
        for square in e.terms:
            mean = self._squared_mean(square)
            if mean is None:
                continue
            for other in e.terms:
                found = self._mean_of_squares(other, mean)
                if found is not None:
                    rest = [t for t in e.terms if t is not square and t is not other]
                    return add(found, *rest), "Σ x² / N - μ² = Σ (x - μ)² / N"
        return None

    def _squared_mean(self, e: Expr) -> Expr | None:
        """μ where the term is -μ²."""
        match e:
            case Mul((Num(value), Pow(base, Num(two)))) if value == -1 and two == 2:
                return base
        return None

    def _mean_of_squares(self, e: Expr, mean: Expr) -> Expr | None:
        """Σ (x - μ)² / N from Σ x² / N, where μ is Σ x / N of the same."""
        own, other = self._average(self.seen.opened(e)), self._average(self.seen.opened(mean))
        if own is None or other is None or len(own[0]) != len(other[0]) or own[2] is not other[2]:
            return None
        match own[1]:
            case Pow(base, Num(two)) if two == 2:
                renamed = substitute(other[1], dict(zip(other[0], own[0], strict=True)))
                if renamed is base:
                    square = power(add(base, neg(mean)), TWO)
                    return mul(total(own[0], square), own[2])
        return None

    def _average(self, e: Expr) -> tuple[tuple[Index, ...], Expr, Expr] | None:
        """(indices, body, 1/N) where the expression is Σ body / N over N terms."""
        if not isinstance(e, Mul):
            return None
        sums = [f for f in e.factors if isinstance(f, Sum)]
        rest = mul(*(f for f in e.factors if f not in sums))
        if len(sums) != 1 or rest is not power(mul(*(i.extent for i in sums[0].indices)), MINUS_ONE):
            return None
        return sums[0].indices, sums[0].body, rest

    def root(self, e: Expr) -> Applied:
        """sqrt(Σ_k x[k]²) = norm(x)"""
        if not (isinstance(e, Pow) and isinstance(e.exponent, Num) and abs(e.exponent.value) == HALF.value):
            return None
        match self.seen.opened(e.base):
            case Sum(indices, Pow(x, Num(two))) if two == 2 and tensors(x):
                norm = Element("norm", (), (indices,), (x,), ())
                return power(norm, num(int(2 * e.exponent.value))), "sqrt(Σ x²) = norm(x)"
        return None

    def two_squares(self, e: Expr) -> Applied:
        """sqrt(a² + b²) = hypot(a, b)"""
        if not (isinstance(e, Pow) and isinstance(e.exponent, Num) and abs(e.exponent.value) == HALF.value):
            return None
        match self.seen.opened(e.base):
            case Add((Pow(a, Num(n)), Pow(b, Num(m)))) if n == m == 2 and tensors(a) and tensors(b):
                return power(
                    call("hypot", a, b), num(int(2 * e.exponent.value))
                ), "sqrt(a² + b²) = hypot(a, b)"
        return None

    def log_of_difference(self, e: Expr) -> Applied:
        """log(exp(x) - 1) = x + log(-expm1(-x))"""
        match e:
            case Call("log", (inner,)):
                x = self._exp_less_one(inner)
                if x is not None:
                    rest = call("log", neg(call("expm1", neg(x))))
                    return add(x, rest), "log(exp(x) - 1) = x + log(1 - exp(-x))"
        return None

    def exp_over_difference(self, e: Expr) -> Applied:
        """exp(x) / (exp(x) - 1) = -1 / expm1(-x)"""
        if not isinstance(e, Mul):
            return None
        for below in e.factors:
            if not (isinstance(below, Pow) and _is_below(below)):
                continue
            x = self._exp_less_one(below.base)
            above = next((f for f in e.factors if x is not None and self._is_exp(f, x)), None)
            if x is not None and above is not None:
                rest = [f for f in e.factors if f is not below and f is not above]
                inverse = power(neg(call("expm1", neg(x))), MINUS_ONE)
                left = power(below.base, add(below.exponent, ONE))
                return mul(*rest, inverse, left), "exp(x) / (exp(x) - 1) = 1 / (1 - exp(-x))"
        return None

    def _exp_less_one(self, e: Expr) -> Expr | None:
        """x where the expression is exp(x) - 1."""
        found = self.seen.difference(self.seen.opened(e), "exp")
        return found.argument if found is not None and found.scale is MINUS_ONE and not found.rest else None

    def _is_exp(self, e: Expr, x: Expr) -> bool:
        match self.seen.opened(e):
            case Call("exp", (inner,)):
                return key(inner) == key(x)
        return False

    def proportional(self, e: Expr) -> Applied:
        """f / (c f) = 1 / c, for a number c, though f may vanish"""
        if not isinstance(e, Mul):
            return None
        for below in e.factors:
            if not (isinstance(below, Pow) and below.exponent is MINUS_ONE):
                continue
            terms = _terms(self.seen.opened(below.base))
            for other in e.factors:
                ratio = _ratio(_terms(other), terms) if isinstance(other, Add) else None
                if ratio is not None:
                    rest = [f for f in e.factors if f is not below and f is not other]
                    return mul(num(ratio), *rest), "numerator and denominator are proportional"
        return None

    def multiplied_out(self, e: Expr) -> Applied:
        """f (a + b / f) = f a + b, though f may vanish"""
        if not isinstance(e, Mul):
            return None
        for inner in e.factors:
            added = self.seen.opened(inner)
            if not isinstance(added, Add):
                continue
            for outer in e.factors:
                below = power(outer, MINUS_ONE)
                if outer is not inner and tensors(outer) and any(below in _factors(t) for t in added.terms):
                    rest = [f for f in e.factors if f is not inner and f is not outer]
                    terms = [tidy(mul(outer, term)) for term in added.terms]
                    return mul(*rest, add(*terms)), "f (a + b / f) = f a + b"
        return None

    def norm_at_zero(self, e: Expr) -> Applied:
        """x[i] / norm(x) = x[i] / where(norm(x) > 0, norm(x), 1), for x is 0 where its norm is"""
        below = [f for f in e.factors if _is_below(f)] if isinstance(e, Mul) else []
        if not isinstance(e, Mul) or len(below) != 1:
            return None
        for factor in below:
            found = self._reciprocal_root(factor)
            if found is None:
                continue
            norm, indices, body = found
            others = [f for f in e.factors if f is not factor]
            if any(placed(body, x, indices) is not None for f in others for x in (f, neg(f))):
                safe = call("where", bracket(">", norm, ZERO), norm, ONE)
                return mul(*others, power(safe, MINUS_ONE)), "x / norm(x) is 0 where every x is 0"
        return None

    def product_at_zero(self, e: Expr) -> Applied:
        """prod(x) / x[i] = Π_k≠i x[k], the product of what is not 0 where no other entry is"""
        if not isinstance(e, Mul):
            return None
        for product in e.factors:
            match self.seen.opened(product):
                case Element("prod", (), (indices,), (body,), attributes) if not _is_safe(body):
                    below = (f for f in e.factors if isinstance(f, Pow) and f.exponent is MINUS_ONE)
                    found = next((f for f in below if placed(body, f.base, indices) is not None), None)
                    if found is not None:
                        kept = Element("prod", (), (indices,), (_without_zero(body),), attributes)
                        zeros = total(indices, bracket("==", body, ZERO))
                        alone = bracket("==", zeros, bracket("==", found.base, ZERO))
                        rest = [f for f in e.factors if f is not product and f is not found]
                        quotient = power(_without_zero(found.base), MINUS_ONE)
                        return mul(*rest, kept, quotient, alone), "prod(x) / x[i], though an entry may be 0"
        return None

    def _reciprocal_root(self, e: Expr) -> tuple[Expr, tuple[Index, ...], Expr] | None:
        """(norm, indices, x) where the factor is 1 / sqrt(Σ x²), read through a name or not."""
        norm: Expr
        match e:
            case Pow(Access() as norm, Num(n)) if n == -1:
                inner = self.seen.opened(norm)
            case Pow(base, Num(n)) if n == Fraction(-1, 2):
                norm, inner = power(base, HALF), power(base, HALF)
            case _:
                return None
        match inner:
            case Element("norm", _, (indices,), (x,), _):
                return norm, indices, x
            case Call("abs", (x,)):
                return norm, (), x
            case Pow(base, Num(n)) if n == Fraction(1, 2):
                match self.seen.opened(base):
                    case Sum(indices, Pow(x, Num(two))) if two == 2:
                        return norm, indices, x
        return None


def _without_zero(x: Expr) -> Expr:
    return call("where", bracket("!=", x, ZERO), x, ONE)


def _is_below(e: Expr) -> bool:
    """Whether the factor divides by something that inputs decide."""
    return isinstance(e, Pow) and isinstance(e.exponent, Num) and e.exponent.value < 0 and bool(tensors(e))


def _terms(e: Expr) -> dict[str, Fraction]:
    """The terms of a sum, a number in front written into it: term -> number."""
    number, core = coefficient(e)
    found: dict[str, Fraction] = {}
    for term in terms_of(core):
        value, rest = coefficient(term)
        found[key(rest)] = found.get(key(rest), Fraction(0)) + number * value
    return found


def _ratio(above: dict[str, Fraction], below: dict[str, Fraction]) -> Fraction | None:
    if set(above) != set(below) or not all(below.values()):
        return None
    ratios = {above[term] / below[term] for term in above}
    return ratios.pop() if len(ratios) == 1 else None


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)


def _is_safe(x: Expr) -> bool:
    """Whether zeros have been taken out already."""
    return isinstance(x, Call) and x.function == "where"
