"""The laws that trade a form which overflows or cancels for an equal one which does neither.

These are the laws of exponentials; those that keep the digits of small numbers are in `precision`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Size,
    Sum,
    add,
    call,
    free,
    mul,
    neg,
    num,
    power,
    substitute,
    walk,
)
from pullback.rewriting import Rule
from pullback.rulebooks.algebra import coefficient
from pullback.rulebooks.exponentials import Exponentials, Normaliser, placed

HALF: Final = Num(Fraction(1, 2))
Applied = tuple[Expr, str] | None


class Laws:
    """The laws over some definitions, which `seen` looks through."""

    def __init__(self, seen: Exponentials) -> None:
        self.seen = seen

    @property
    def phases(self) -> tuple[tuple[Rule, ...], ...]:
        """Rules in the order of use: whole quotients before the reciprocals and differences inside them."""
        whole = (self.logarithm, self.hyperbolic, self.quotient)
        parts = (self.logarithm, self.reciprocal, self.complement, self.two_sided)
        last = (self.log_share, self.absolute)
        return tuple(tuple(rule(law) for law in laws) for laws in (whole, parts, last))

    # ---- logarithms

    def logarithm(self, e: Expr) -> Applied:
        """log Σ_k exp(x[k]) = logsumexp(x), log(1 + exp(x)) = softplus(x), log(f exp(x)) = x + log(f)"""
        match e:
            case Call("log", (x,)):
                result = self.log(x)
            case Call("log1p", (x,)):
                result = self.log(add(ONE, x))
            case _:
                return None
        return None if result is None else (result, _law_of(result))

    def log(self, x: Expr) -> Expr | None:
        """log(x) without its exponentials, None where there are none."""
        match x:
            case Call("exp", (a,)):
                return a
            case Call("sigmoid", (a,)):
                return neg(call("softplus", neg(a)))
            case Element("softmax", at, (binder,), (body,), _):
                if _is_plain(at, binder, body):
                    return Element("log_softmax", at, (binder,), (body,), ())
                entry = substitute(body, dict(zip(binder, at, strict=True)))
                return add(entry, neg(Element("logsumexp", (), (binder,), (body,), ())))
            case Access():
                inner = self.seen.through(x)
                return None if inner is None else self.log(inner)
            case Pow(base, Num() as r):
                inner_log = self.log(base)
                return None if inner_log is None else mul(r, inner_log)
            case Mul(factors):
                return self._log_of_product(factors)
            case Sum():
                found = self.seen.normaliser(x)
                return None if found is None else _with_log(found[0], found[1].log())
            case Add(terms):
                return self._log_of_sum(x, terms)
        return None

    def _log_of_product(self, factors: Sequence[Expr]) -> Expr | None:
        logs = [(factor, self.log(factor)) for factor in factors]
        known = [found for _, found in logs if found is not None]
        rest = tuple(factor for factor, found in logs if found is None)
        return _with_log(rest, add(*known)) if known else None

    def _log_of_sum(self, x: Expr, terms: Sequence[Expr]) -> Expr | None:
        """log of positive numbers and exponentials added up."""
        done = self.complement(x)
        if done is not None:
            return self.log(done[0])
        number = ZERO
        logs: list[Expr] = []
        for term in terms:
            if isinstance(term, Num) and term.value > 0:
                number = term
                continue
            found = self.log(term)
            if found is None:
                return None
            logs.append(found)
        inner = logs[0]
        for other in logs[1:]:
            inner = call("logaddexp", inner, other)
        if number is ZERO:
            return inner
        if number is ONE:
            return call("softplus", inner)
        log_number = call("log", number)
        return add(log_number, call("softplus", add(inner, neg(log_number))))

    # ---- quotients

    def quotient(self, e: Expr) -> Applied:
        """exp(x[i]) / Σ_k exp(x[k]) = softmax(x)[i], 1 / (1 + exp(-x)) = sigmoid(x)"""
        if not isinstance(e, Mul):
            return None
        factors = self._spread(e.factors)
        for k, factor in enumerate(factors):
            if isinstance(factor, Pow) and isinstance(factor.exponent, Num) and factor.exponent.value < 0:
                others = (*factors[:k], *factors[k + 1 :])
                result = self._divided(others, factor.base)
                if result is not None:
                    rest = power(factor.base, add(factor.exponent, ONE))
                    return mul(result, rest), _law_of(result)
        return None

    def _spread(self, factors: Sequence[Expr]) -> tuple[Expr, ...]:
        """The factors, with names of quotients by a sum of exponentials written out."""
        result: list[Expr] = []
        for factor in factors:
            inner = self.seen.opened(factor)
            parts = inner.factors if isinstance(inner, Mul) else (inner,)
            written_out = (
                self.seen.deep
                and any(self._is_over_exponentials(part) for part in parts)
                and self.seen.product(parts) is None
            )
            result += parts if written_out else (factor,)
        return tuple(result)

    def _is_over_exponentials(self, e: Expr) -> bool:
        match e:
            case Pow(base, Num(n)) if n < 0:
                return self.seen.normaliser(base) is not None
        return False

    def reciprocal(self, e: Expr) -> Applied:
        """1 / (1 + exp(x)) = sigmoid(-x)"""
        if not (isinstance(e, Pow) and isinstance(e.exponent, Num) and e.exponent.value < 0):
            return None
        pair = self._pair(e.base)
        if pair is None or ZERO not in pair:
            return None
        return power(call("sigmoid", neg(add(*pair))), neg(e.exponent)), "1 / (1 + exp(x)) = sigmoid(-x)"

    def _divided(self, above: tuple[Expr, ...], below: Expr) -> Expr | None:
        """Π above / below in one stable form."""
        pair = self._pair(below)
        if pair is not None:
            return self._logistic(above, *pair)
        found = self.seen.normaliser(below)
        if found is None:
            return None
        outer, sum_ = found
        divided = self._softmax(above, sum_) or self._shifted(above, sum_)
        return None if divided is None else mul(divided, *(power(f, MINUS_ONE) for f in outer))

    def _softmax(self, above: tuple[Expr, ...], sum_: Normaliser) -> Expr | None:
        form = self.seen.product(above)
        if form is None:
            return None
        for candidates in (self._candidates(above), [form.exponent]):
            for exponent in candidates:
                place = placed(sum_.term.exponent, exponent, sum_.indices)
                if place is None:
                    continue
                rest = self._without(above, exponent, [substitute(w, place) for w in sum_.term.weight])
                if rest is not None:
                    return mul(sum_.share(tuple(place[i] for i in sum_.indices)), *rest)
        return None

    def _candidates(self, above: Sequence[Expr]) -> list[Expr]:
        forms = [self.seen.weighted(factor) for factor in above]
        return [form.exponent for form in forms if form is not None]

    def _without(self, above: Sequence[Expr], exponent: Expr, weights: list[Expr]) -> list[Expr] | None:
        """The factors less exp(exponent) and the weights, None where one of them is missing."""
        rest: list[Expr] = []
        taken = False
        for factor in above:
            form = self.seen.weighted(factor)
            if form is not None and not taken and form.exponent is exponent:
                rest += form.weight
                taken = True
            else:
                rest.append(factor)
        if not taken:
            form = self.seen.product(above)
            if form is None or form.exponent is not exponent:
                return None
            rest = list(form.weight)
        for weight in weights:
            if weight not in rest:
                return None
            rest.remove(weight)
        return rest

    def _shifted(self, above: tuple[Expr, ...], sum_: Normaliser) -> Expr | None:
        """exp(a) / Σ_k exp(x[k]) = exp(a - logsumexp(x))"""
        form = self.seen.product(above)
        if form is None or not self.seen.deep:
            return None
        return mul(*form.weight, call("exp", add(form.exponent, neg(sum_.log()))))

    def _pair(self, e: Expr) -> tuple[Expr, Expr] | None:
        """p and q where the expression is exp(p) + exp(q); 1 counts as exp(0)."""
        if isinstance(e, Access):
            inner = self.seen.through(e)
            return None if inner is None else self._pair(inner)
        if not isinstance(e, Add) or len(e.terms) != 2:
            return None
        found = [ZERO if term is ONE else self.seen.alone(term) for term in e.terms]
        if found[0] is None or found[1] is None:
            return None
        return found[0], found[1]

    def _logistic(self, above: tuple[Expr, ...], p: Expr, q: Expr) -> Expr | None:
        """exp(p) / (exp(p) + exp(q)) = sigmoid(p - q)"""
        for one, other in ((p, q), (q, p)):
            if one is ZERO:
                continue
            rest = self._without(above, one, [])
            if rest is not None:
                return mul(call("sigmoid", add(one, neg(other))), *rest)
        return None

    # ---- differences

    def hyperbolic(self, e: Expr) -> Applied:
        """(exp(p) - exp(q)) / (exp(p) + exp(q)) = tanh((p - q) / 2)"""
        if not isinstance(e, Mul):
            return None
        below = [f for f in e.factors if isinstance(f, Pow) and f.exponent is MINUS_ONE]
        for factor in below:
            pair = self._pair(factor.base)
            for other in e.factors:
                sign = self._difference(other, pair)
                if pair is not None and sign is not None:
                    rest = [f for f in e.factors if f is not factor and f is not other]
                    half = mul(HALF, add(pair[0], neg(pair[1])))
                    return mul(num(sign), *rest, call("tanh", half)), LAWS["tanh"]
        return None

    def _difference(self, e: Expr, pair: tuple[Expr, Expr] | None) -> int | None:
        """1 where the expression is exp(p) - exp(q), -1 where it is the opposite."""
        if pair is None or not isinstance(e, Add) or len(e.terms) != 2:
            return None
        p, q = (ONE if x is ZERO else call("exp", x) for x in pair)
        for sign, one, other in ((1, p, q), (-1, q, p)):
            if set(e.terms) == {one, neg(other)}:
                return sign
        return None

    def log_share(self, e: Expr) -> Applied:
        """x[i] - logsumexp(x) = log_softmax(x)[i]"""
        if not isinstance(e, Add):
            return None
        for term in e.terms:
            number, core = coefficient(term)
            match core:
                case Element("logsumexp", (), (binder,), (body,), _):
                    for other in e.terms:
                        value, entry = coefficient(other)
                        place = placed(body, entry, binder) if value == -number else None
                        if place is None or not _is_plain(tuple(place.values()), binder, body):
                            continue
                        share = Element("log_softmax", tuple(place.values()), (binder,), (body,), ())
                        rest = [t for t in e.terms if t is not term and t is not other]
                        return add(mul(num(value), share), *rest), "x[i] - logsumexp(x) = log_softmax(x)[i]"
        return None

    def absolute(self, e: Expr) -> Applied:
        """sqrt(x²) = |x|"""
        match e:
            case Pow(Pow(x, Num(two)), Num(half)) if two == 2 and half == Fraction(1, 2):
                return call("abs", x), "sqrt(x²) = |x|"
        return None

    def complement(self, e: Expr) -> Applied:
        """1 - sigmoid(x) = sigmoid(-x)"""
        found = self.seen.difference(e, "sigmoid")
        if found is None:
            return None
        return found.replaced(call("sigmoid", neg(found.argument))), "1 - sigmoid(x) = sigmoid(-x)"

    def two_sided(self, e: Expr) -> Applied:
        """relu(x) + softplus(-|x|) = softplus(x)"""
        if not isinstance(e, Add):
            return None
        for term in e.terms:
            match term:
                case Call("relu", (x,)):
                    other = call("softplus", neg(call("abs", x)))
                    if other in e.terms:
                        rest = [t for t in e.terms if t is not other]
                        new = [call("softplus", x) if t is term else t for t in rest]
                        return add(*new), "relu(x) + softplus(-|x|) = softplus(x)"
        return None


def rule(law: Callable[[Expr], Applied]) -> Rule:
    return Rule(law.__name__.replace("_", " "), law)


LAWS: Final = {
    "logsumexp": "log Σ_k exp(x[k]) = logsumexp(x)",
    "weighted_logsumexp": "log Σ_k exp(x[k]) = logsumexp(x)",
    "log_softmax": "log(softmax(x)) = log_softmax(x)",
    "softmax": "exp(x[i]) / Σ_k exp(x[k]) = softmax(x)[i]",
    "weighted_softmax": "w[i] exp(x[i]) / Σ_k w[k] exp(x[k]) = softmax(x)[i], weighted by w",
    "logaddexp": "log(exp(a) + exp(b)) = logaddexp(a, b)",
    "softplus": "log(1 + exp(x)) = softplus(x)",
    "sigmoid": "exp(p) / (exp(p) + exp(q)) = sigmoid(p - q)",
    "tanh": "(exp(p) - exp(q)) / (exp(p) + exp(q)) = tanh((p - q) / 2)",
}


def _law_of(result: Expr) -> str:
    """The law that the outermost stable form in the result comes from."""
    for node in walk(result):
        match node:
            case Element(name, _, _, _, _) | Call(name, _) if name in LAWS:
                return LAWS[name]
    return "log(f exp(x)) = x + log(f)"


def _is_plain(at: tuple[Expr, ...], binder: tuple[Index, ...], body: Expr) -> bool:
    """Whether the place is one of indices of its own, as in a whole row."""
    batch = free(body).difference(binder)
    return len(set(at)) == len(at) and all(isinstance(i, Index) and i not in batch for i in at)


def _with_log(rest: tuple[Expr, ...], known: Expr) -> Expr | None:
    """known + log Π rest, where the rest can be taken apart."""
    if any(isinstance(factor, Bracket) for factor in rest):
        return None
    parts: list[Expr] = [known]
    numbers = [f for f in rest if isinstance(f, Num)]
    if any(f.value <= 0 for f in numbers):
        return None
    for factor in rest:
        match factor:
            case Pow(Size() as size, Num() as r):
                parts.append(mul(r, call("log", size)))
            case _:
                parts.append(call("log", factor))
    return add(*parts)
