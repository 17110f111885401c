"""Wrong rules, planted on purpose: the checks refute every one of them.

A row plants one fault, names a program that meets it, and says nothing else: the report must raise
`InternalProblem`, which is how a wrong line is kept from ever being shown. The same program passes
without the fault.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pullback.api import derive
from pullback.emit import numpy_spelling
from pullback.errors import InternalProblem, PullbackError
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Bracket,
    Call,
    Expr,
    Index,
    Mul,
    Partial,
    Sum,
    add,
    bracket,
    call,
    free,
    mul,
    neg,
    num,
    over,
    power,
    substitute,
    total,
)
from pullback.expression import replace as rewrite
from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS, Site
from pullback.rewriting import MatrixLine, Rule
from pullback.rulebooks import chainrule, differentiation

Patch = pytest.MonkeyPatch
SHAPES = {"X": "N D", "W": "D M", "A": "N N", "V": "D D", "x": "N", "b": "D", "a": ""}


def names(source: str) -> dict[str, str]:
    words = "".join(c if c.isalnum() else " " for c in source).split()
    return {name: shape for name, shape in SHAPES.items() if name in words}


def report(source: str) -> Any:
    return derive(source, names(source)).report


def refuted(source: str) -> None:
    with pytest.raises(InternalProblem):
        report(source)


# ---- rows of the tables ------------------------------------------------------------------------

TWO, HALF = num(2), over(ONE, num(2))
SMOOTH = "Y = {}(X)"
POSITIVE = "Y = {}(X * X + 1)"

# function, the wrong derivative, the mistake, a program
FUNCTION_ROWS: list[tuple[str, Callable[..., Expr], str, str]] = [
    ("exp", lambda x, y: neg(y), "sign", SMOOTH),
    ("exp", lambda x, y: mul(TWO, y), "factor 2", SMOOTH),
    ("exp", lambda x, y: x, "the argument for the output", SMOOTH),
    ("log", lambda x, y: power(x, num(-2)), "exponent", POSITIVE),
    ("log", lambda x, y: over(ONE, y), "the output for the argument", POSITIVE),
    ("tanh", lambda x, y: add(ONE, power(y, TWO)), "sign", SMOOTH),
    ("tanh", lambda x, y: add(ONE, neg(y)), "dropped square", SMOOTH),
    ("tanh", lambda x, y: add(ONE, neg(power(x, TWO))), "the argument for the output", SMOOTH),
    ("sigmoid", lambda x, y: y, "dropped factor", SMOOTH),
    ("sigmoid", lambda x, y: mul(y, add(ONE, y)), "sign", SMOOTH),
    ("sin", lambda x, y: neg(call("cos", x)), "sign", SMOOTH),
    ("sin", lambda x, y: call("sin", x), "the function for its derivative", SMOOTH),
    ("cos", lambda x, y: call("sin", x), "sign", SMOOTH),
    ("relu", lambda x, y: bracket("<", x, ZERO), "the other side", SMOOTH),
    ("relu", lambda x, y: ONE, "dropped bracket", SMOOTH),
    ("abs", lambda x, y: neg(call("sign", x)), "sign", SMOOTH),
    ("softplus", lambda x, y: call("tanh", x), "another function", SMOOTH),
    ("log1p", lambda x, y: over(ONE, x), "dropped 1", "Y = log1p(X * X)"),
    ("erf", lambda x, y: call("exp", neg(power(x, TWO))), "dropped constant", SMOOTH),
    ("gelu", lambda x, y: mul(HALF, add(ONE, call("erf", x))), "dropped term", SMOOTH),
]


@pytest.mark.parametrize(("name", "wrong", "mistake", "program"), FUNCTION_ROWS)
def test_a_wrong_row_for_a_function(
    monkeypatch: Patch, name: str, wrong: Callable[..., Expr], mistake: str, program: str
) -> None:
    assert report(program.format(name)).exact
    monkeypatch.setitem(FUNCTIONS, name, replace(FUNCTIONS[name], partials=(wrong,)))
    refuted(program.format(name))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_wrong_side_wins(monkeypatch: Patch, name: str) -> None:
    row = FUNCTIONS[name]
    monkeypatch.setitem(FUNCTIONS, name, replace(row, partials=row.partials[::-1]))
    refuted(f"Y = {name}(X, X @ V)")


def _equal(left: tuple[Expr, ...], right: tuple[Expr, ...]) -> Expr:
    return mul(ONE, *(bracket("==", a, b) for a, b in zip(left, right, strict=True)))


OPERATOR_ROWS: list[tuple[str, Callable[[Site, int, tuple[Expr, ...]], Expr], str, str]] = [
    ("softmax", lambda s, _, j: mul(s.out(*s.at), _equal(s.at, j)), "dropped term", "Y = softmax(X, axis=1)"),
    ("softmax", lambda s, _, j: mul(s.out(*s.at), add(_equal(s.at, j), s.out(*j))), "sign",
     "Y = softmax(X, axis=1)"),
    ("log_softmax", lambda s, _, j: add(_equal(s.at, j), neg(s.of("softmax", 0, *s.at))), "swapped index",
     "Y = log_softmax(X, axis=1)"),
    ("logsumexp", lambda s, _, j: mul(TWO, s.of("softmax", 0, *j)), "factor 2", "y = logsumexp(X, axis=1)"),
    ("inv", lambda s, _, kl: neg(mul(s.out(s.at[0], kl[1]), s.out(kl[0], s.at[1]))), "swapped index",
     "Y = inv(A)"),
    ("inv", lambda s, _, kl: mul(s.out(s.at[0], kl[0]), s.out(kl[1], s.at[1])), "sign", "Y = inv(A)"),
    ("det", lambda s, _, kl: mul(s.out(), s.of("inv", 0, *kl)), "lost transpose", "y = det(A)"),
    ("logdet", lambda s, _, kl: s.of("inv", 0, *kl), "lost transpose", "y = logdet(A)"),
    ("max", lambda s, _, j: bracket("!=", s.argument(0, *j), s.out()), "the other side",
     "y = max(X, axis=1)"),
    ("prod", lambda s, _, j: s.out(), "dropped quotient", "y = prod(X, axis=1)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "mistake", "program"), OPERATOR_ROWS)
def test_a_wrong_row_for_an_operator(
    monkeypatch: Patch,
    name: str,
    wrong: Callable[[Site, int, tuple[Expr, ...]], Expr],
    mistake: str,
    program: str,
) -> None:
    monkeypatch.setitem(OPERATORS, name, replace(OPERATORS[name], local=wrong))
    refuted(program)


# ---- rules of differentiation ------------------------------------------------------------------


def no_second_term(factors: tuple[Expr, ...], k: int, by: Access) -> Expr:
    if k > 0:
        return ZERO
    inner = differentiation.differentiate(factors[0], by)
    return ZERO if inner is ZERO else mul(inner, *factors[1:])


def no_exponent(e: Expr, base: Expr, exponent: Expr, by: Access) -> Expr:
    inner = differentiation.differentiate(base, by)
    return ZERO if inner is ZERO else mul(power(base, add(exponent, num(-1))), inner)


def same_exponent(e: Expr, base: Expr, exponent: Expr, by: Access) -> Expr:
    inner = differentiation.differentiate(base, by)
    return ZERO if inner is ZERO else mul(exponent, power(base, exponent), inner)


def no_logarithm(e: Expr, base: Expr, exponent: Expr, by: Access) -> Expr:
    inner = differentiation.differentiate(exponent, by)
    return ZERO if inner is ZERO else mul(e, inner)


DIFFERENTIATION = [
    ("_product_term", no_second_term, "Y = X * sin(X)", "product rule without its second term"),
    ("_of_base", no_exponent, "Y = X**3", "power rule without its factor"),
    ("_of_base", same_exponent, "Y = X**3", "power rule that keeps the exponent"),
    ("_of_exponent", no_logarithm, "Y = 2**X", "exponential without its logarithm"),
]


@pytest.mark.parametrize(("name", "wrong", "program", "mistake"), DIFFERENTIATION)
def test_a_wrong_rule_of_differentiation(
    monkeypatch: Patch, name: str, wrong: Any, program: str, mistake: str
) -> None:
    assert report(program).unknown == 0
    monkeypatch.setattr(differentiation, name, wrong)
    refuted(program)


def crossed_deltas(e: Expr) -> tuple[Expr, str] | None:
    """∂T[e] / ∂T[j] with the places of j in the wrong order."""
    if not (isinstance(e, Partial) and isinstance(e.of, Access)):
        return None
    pairs = zip(e.of.slots, e.by.slots[::-1], strict=True)
    return mul(ONE, *(bracket("==", a, b) for a, b in pairs)), ""


def one_delta_less(e: Expr) -> tuple[Expr, str] | None:
    """∂T[e] / ∂T[j] without the last delta."""
    if not (isinstance(e, Partial) and isinstance(e.of, Access)):
        return None
    pairs = list(zip(e.of.slots, e.by.slots, strict=True))[:-1]
    return mul(ONE, *(bracket("==", a, b) for a, b in pairs)), ""


@pytest.mark.parametrize(
    ("wrong", "program"),
    [(crossed_deltas, "Y = V @ V"), (one_delta_less, "Y = X @ W"), (one_delta_less, "y = x * x")],
)
def test_a_wrong_access_rule(monkeypatch: Patch, wrong: Any, program: str) -> None:
    monkeypatch.setattr(chainrule, "ACCESS_RULE", Rule("access rule", wrong))
    refuted(program)


# ---- rules of the delta and of algebra ----------------------------------------------------------


def deltas(e: Sum) -> tuple[tuple[Expr, ...], list[tuple[int, Index, Expr]]]:
    factors = e.body.factors if isinstance(e.body, Mul) else (e.body,)
    found = []
    for place, factor in enumerate(factors):
        if isinstance(factor, Bracket) and factor.relation == "==":
            for k, value in ((factor.left, factor.right), (factor.right, factor.left)):
                if isinstance(k, Index) and k in e.indices and k not in free(value):
                    found.append((place, k, value))
    return factors, found


def collapse_without_substituting(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k = j] f(k) = Σ_k f(k)"""
    if not isinstance(e, Sum):
        return None
    factors, found = deltas(e)
    if not found:
        return None
    place, _, _ = found[0]
    return total(e.indices, mul(ONE, *factors[:place], *factors[place + 1 :])), "wrong"


def collapse_to_the_first(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k = j] f(k) = f(0)"""
    if not isinstance(e, Sum):
        return None
    factors, found = deltas(e)
    if not found:
        return None
    place, k, _ = found[0]
    rest = mul(ONE, *factors[:place], *factors[place + 1 :])
    return total((i for i in e.indices if i is not k), substitute(rest, {k: ZERO})), "wrong"


def collapse_times_the_range(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k = j] f(k) = K f(j)"""
    if not isinstance(e, Sum):
        return None
    factors, found = deltas(e)
    if not found:
        return None
    place, k, value = found[0]
    rest = mul(ONE, *factors[:place], *factors[place + 1 :])
    return mul(k.extent, total((i for i in e.indices if i is not k), substitute(rest, {k: value}))), "wrong"


def shift_without_guard(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k [k + a = j] f(k) = f(j - a), whether or not j - a is in range"""
    found = ORIGINAL_SHIFT(e)
    if found is None:
        return None
    bare = rewrite(found[0], lambda node: ONE if isinstance(node, Bracket) else None)
    return bare, found[1]


def pull_out_without_count(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k c = c"""
    if isinstance(e, Sum):
        idle = [k for k in e.indices if k not in free(e.body)]
        if idle:
            return total((k for k in e.indices if k not in idle), e.body), "wrong"
    return None


def split_and_lose(e: Expr) -> tuple[Expr, str] | None:
    """Σ_k (f + g) = Σ_k f"""
    if isinstance(e, Sum) and hasattr(e.body, "terms"):
        return total(e.indices, e.body.terms[0]), "wrong"
    return None


def powers_multiplied(e: Expr) -> tuple[Expr, str] | None:
    """x x = x^3"""
    factors = getattr(e, "factors", ()) if isinstance(e, Mul) else ()
    for factor in factors:
        if isinstance(factor, Access) and factors.count(factor) == 2:
            return mul(power(factor, num(3)), *(f for f in factors if f is not factor)), "wrong"
    return None


ORIGINAL_SHIFT = next(rule.apply for rule in chainrule.SHIFTING if rule.name == "shift")
CONVOLUTION = "Y[p] = X[p + r] * W[r]"

RULES = [
    ("collapse", collapse_without_substituting, "Y = X @ W"),
    ("collapse", collapse_to_the_first, "Y = X @ W"),
    ("collapse", collapse_times_the_range, "Y = X @ W"),
    ("collapse", collapse_times_the_range, "L = sum(sin(X))"),
    ("pull out", pull_out_without_count, "L = sum(X + a)"),
    ("split the sum", split_and_lose, "y = sum(X * X + sin(X), axis=1)"),
    ("powers", powers_multiplied, "L = sum(x * x * x)"),
]


def with_rule(monkeypatch: Patch, name: str, wrong: Any) -> None:
    """The named rule replaced in every list of rules of the chain rule's floor."""
    for attribute, value in vars(chainrule).items():
        if isinstance(value, tuple) and value and all(isinstance(rule, Rule) for rule in value):
            changed = tuple(Rule(name, wrong) if rule.name == name else rule for rule in value)
            monkeypatch.setattr(chainrule, attribute, changed)


@pytest.mark.parametrize(("name", "wrong", "program"), RULES, ids=lambda x: getattr(x, "__name__", None))
def test_a_wrong_rewriting_rule(monkeypatch: Patch, name: str, wrong: Any, program: str) -> None:
    assert report(program).unknown == 0
    with_rule(monkeypatch, name, wrong)
    refuted(program)


def test_a_shift_without_its_guard(monkeypatch: Patch) -> None:
    given: dict[str, Any] = {"shapes": {"X": "H", "W": "R"}, "ranges": {"p": "H-R+1"}}
    assert derive(CONVOLUTION, **given).report.unknown == 0
    with_rule(monkeypatch, "shift", shift_without_guard)
    with pytest.raises(PullbackError):
        derive(CONVOLUTION, **given).report  # noqa: B018


def test_the_wrong_output_is_reused(monkeypatch: Patch) -> None:
    def wrong(e: Expr, definition: Any) -> Expr:
        access = Access(definition.tensor, definition.indices)
        return chainrule.mul(access, e) if isinstance(definition.body, Call) else e

    monkeypatch.setattr(chainrule, "reuse", wrong)
    refuted("Y = tanh(X)")


def test_the_chain_rule_forgets_its_sum(monkeypatch: Patch) -> None:
    original = chainrule.total
    monkeypatch.setattr(
        chainrule, "total", lambda indices, body: original(list(indices)[1:], body) if body else body
    )
    with pytest.raises(PullbackError):
        report("Y = X @ W")


# ---- matrix printing ----------------------------------------------------------------------------

# what is written, what is written instead, a program whose gradient holds it
PRINTED = [
    (".T", "", "Y = X @ W"),
    ("dY @ W.T", "W.T @ dY", "Y = X @ W"),
    ("V.T @ dY", "dY.T @ V", "Y = V @ V"),
    ("axis=0", "axis=1", "Y = X + b"),
    (", keepdims=True", "", "P = softmax(A, axis=1)"),
    ("sum(", "mean(", "Y = X + b"),
    ("dY", "-dY", "Y = X @ W"),
    ("dY", "2 * dY", "Y = sin(X)"),
    ("cos(", "sin(", "Y = sin(X)"),
    ("ones([N, D])", "zeros([N, D])", "L = sum(X)"),
    ("outer(dY, x)", "outer(x, dY)", "Y = A @ x"),
]


def misprint(monkeypatch: Patch, right: str, wrong: str) -> list[str]:
    """Every matrix line of every module is printed with one piece exchanged; the lines that had it."""
    changed: list[str] = []
    for module in [m for name, m in sys.modules.items() if name.startswith("pullback.")]:
        original = vars(module).get("matrix_line")
        if original is None or module.__name__ == "pullback.matrix":
            continue

        def printed(definition: Any, original: Any = original) -> MatrixLine | None:
            line: MatrixLine | None = original(definition)
            if line is None or not line.target.startswith("d") or right not in line.text:
                return line
            changed.append(line.text)
            return MatrixLine(line.target, line.text.replace(right, wrong, 1))

        monkeypatch.setattr(module, "matrix_line", printed)
    return changed


@pytest.mark.parametrize(("right", "wrong", "program"), PRINTED)
def test_a_wrong_matrix_form(monkeypatch: Patch, right: str, wrong: str, program: str) -> None:
    assert report(program).unknown == 0
    changed = misprint(monkeypatch, right, wrong)
    with pytest.raises(PullbackError):
        report(program)
    assert changed, "no line held the piece: the row plants nothing"


# ---- emitted code: a wrong spelling gives other numbers ------------------------------------------

EMITTED = [
    ("tanh", "sin", "Y = tanh(X) * X"),
    ("cos", "sin", "Y = sin(X)"),
    ("exp", "sin", "Y = exp(X)"),
    ("sign", "abs", "Y = abs(X)"),
]


@pytest.mark.parametrize(("name", "instead", "program"), EMITTED)
def test_a_wrong_spelling_gives_other_numbers(
    monkeypatch: Patch, name: str, instead: str, program: str
) -> None:
    rng = np.random.default_rng(2)
    derivation = derive(program, {"X": "N D"})
    inputs = {"X": rng.normal(size=(3, 4))}
    upstream = rng.normal(size=(3, 4))
    right = derivation.compile()(inputs, upstream)["X"]
    monkeypatch.setitem(numpy_spelling.SAME, name, f"np.{instead}")
    wrong = derivation.compile()(inputs, upstream)["X"]
    assert not np.allclose(right, wrong)
