"""The laws of stability: what each rewrites to, that both sides are equal, and what is left alone."""

from __future__ import annotations

import re

import pytest

from pullback.evaluator import Checker
from pullback.expression import Definition, Equation, call
from pullback.naming import Names
from pullback.notation import show
from pullback.reading import read_program
from pullback.rewriting import Step
from pullback.rulebooks.exponentials import Exponentials
from pullback.rulebooks.precision import Precision
from pullback.rulebooks.stable import Laws
from pullback.stabilising import stable_definitions

SHAPES = dict.fromkeys(("X", "B"), "N D") | {"x": "N", "b": "N", "p": "N", "S": "N N"}
INTEGERS = {"t": ("N", "D")}

# program, and the right side that the last rewritten definition gets before anything is differentiated
SHALLOW = [
    ("Y = log(sum(exp(X), axis=1))", "logsumexp(d: X[n,d])"),
    ("Y = log(mean(exp(X), axis=1))", "logsumexp(d: X[n,d]) - log(D)"),
    ("Z[n] = exp(X[n,d]); Y[n] = log(Z[n])", "logsumexp(d: X[n,d])"),
    ("Z[n] = exp(X[n,d]); l[n] = log(Z[n]) - X[n,t[n]]", "logsumexp(d: X[n,d]) - X[n,t[n]]"),
    ("Y = exp(X) / sum(exp(X), axis=1, keepdims=True)", "softmax(d: X[n,d])[d]"),
    ("E[n,d] = exp(X[n,d]); Z[n] = E[n,d]; Y[n,d] = E[n,d] / Z[n]", "softmax(d: X[n,d])[d]"),
    ("Y = log(softmax(X, axis=1))", "log_softmax(i: X[n,i])[d]"),
    ("Z[n] = exp(X[n,d]); Y[n,d] = 2 * X[n,d] - 2 * log(Z[n])", "2 log_softmax(d: X[n,d])[d]"),
    ("y = log(1 + exp(x))", "softplus(x[n])"),
    ("y = log(exp(x) + 1)", "softplus(x[n])"),
    ("y = log1p(exp(-x))", "softplus(-x[n])"),
    ("y = relu(x) + log1p(exp(-abs(x)))", "softplus(x[n])"),
    ("y = log(sigmoid(x))", "-softplus(-x[n])"),
    ("y = log(1 - sigmoid(x))", "-softplus(x[n])"),
    ("y = 1 / (1 + exp(-x))", "sigmoid(x[n])"),
    ("y = exp(x) / (1 + exp(x))", "sigmoid(x[n])"),
    ("y = exp(x) / (exp(x) + exp(b))", "sigmoid(x[n] - b[n])"),
    ("y = 1 - sigmoid(x)", "sigmoid(-x[n])"),
    ("y = log(exp(x) + exp(b))", "logaddexp(x[n], b[n])"),
    ("y = log(3 + exp(x))", "log(3) + softplus(x[n] - log(3))"),
    ("y = log(2 * exp(x))", "x[n] + log(2)"),
    ("y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))", "tanh(x[n])"),
    ("y = sqrt(x**2)", "abs(x[n])"),
]  # fmt: skip

# the same for the form that runs: every name is looked through, and small differences keep their digits
DEEP = [
    ("p[n] = sigmoid(x[n]); y[n] = log(p[n])", "-softplus(-x[n])"),
    ("p[n] = sigmoid(x[n]); y[n] = 1 - p[n]", "sigmoid(-x[n])"),
    ("Z[i] = exp(S[i,j]) * (j <= i); Y[i] = log(Z[i])", "weighted_logsumexp(j: S[i,j]; j: [j ≤ i])"),
    ("Z[i] = exp(S[i,j]) * (j <= i); P[i,j] = exp(S[i,j]) * (j <= i) / Z[i]",
     "weighted_softmax(j: S[i,j]; j: [j ≤ i])[j]"),
    ("Z[n] = exp(X[n,d]); y[n] = exp(b[n]) / Z[n]", "exp(b[n] - logsumexp(d: X[n,d]))"),
    ("M[n] = 0.5 * (exp(x[n]) + exp(b[n])); y[n] = (exp(x[n]) + exp(b[n])) / M[n]", "2"),
    ("y = log(1 + x)", "log1p(x[n])"),
    ("y = exp(x) - 1", "expm1(x[n])"),
    ("y = p * exp(x) - p", "p[n] expm1(x[n])"),
    ("y = 1 - cos(x)", "2 sin(0.5 x[n])^2"),
    ("m = mean(x); v = mean(x**2) - m**2", "Σ_n (x[n] - m)^2 / N"),
    ("m = mean(X, axis=0); v = mean(X**2, axis=0) - m**2", "Σ_n (X[n,d] - m[d])^2 / N"),
    ("y = norm(X, axis=1)", "norm(d: X[n,d])"),
    ("q = x[n]**2; f = sqrt(q)", "norm(n: x[n])"),
    ("q = x[n]**2; f = sqrt(q); g[n] = x[n] / f", "x[n] / where([f > 0], f, 1)"),
    ("p[n] = sigmoid(x[n]); g[n] = b[n] / p[n] - 1; y[n] = g[n] * p[n]", "b[n] - p[n]"),
]  # fmt: skip

ALONE = [
    "Y = exp(X) @ B.T",  # nothing is divided or undone
    "y = exp(x) / sum(x)",  # the sum holds no exponentials
    "y = log(x * b)",
    "y = 1 - x",
    "Z[i] = exp(S[i,j]) * (j <= i); Y[i] = log(Z[i])",  # has no text in the language
    "p[n] = sigmoid(x[n]); y[n] = log(p[n])",  # what the author named is what the formula reads
    "y = log(exp(x) - exp(b))",  # may be negative
    "m = mean(x); v = mean(x**2) - 2 * m**2",
]


def rewritten(program: str, *, deep: bool) -> tuple[list[Definition], tuple[Step, ...], Checker]:
    ranges = {"i": "N", "j": "N"} if "(j <= i)" in program else None
    names = SHAPES.keys() & set(re.findall(r"[A-Za-z]\w*", program))
    integers = INTEGERS if "t[n]" in program else None
    defined = {line.split("=")[0].split("[")[0].strip() for line in program.split(";")}
    shapes = {name: SHAPES[name] for name in names - defined}
    read = read_program(program, shapes=shapes, integers=integers, ranges=ranges)
    found = stable_definitions(read.definitions, (), Names(read), deep=deep, gradients=deep)
    return list(found.definitions), found.steps, Checker(found.definitions, read.inputs)


@pytest.mark.parametrize(("program", "expected"), SHALLOW)
def test_the_form_that_is_differentiated(program: str, expected: str) -> None:
    _, steps, checker = rewritten(program, deep=False)
    assert shown(steps[-1]) == expected
    assert all(is_equal(checker, step) for step in steps)


@pytest.mark.parametrize(("program", "expected"), DEEP)
def test_the_form_that_runs(program: str, expected: str) -> None:
    _, steps, checker = rewritten(program, deep=True)
    assert shown(steps[-1]) == expected
    assert all(is_equal(checker, step) for step in steps)


@pytest.mark.parametrize("program", ALONE)
def test_what_is_left_alone(program: str) -> None:
    assert rewritten(program, deep=False)[1] == ()


def test_every_law_starts_with_its_law() -> None:
    seen = Exponentials((), deep=True)
    laws = [
        rule.law for phase in (*Laws(seen).phases, *Precision(seen, gradients=True).phases) for rule in phase
    ]
    assert len(set(laws)) >= 12
    assert [law for law in laws if "=" not in law] == []


def shown(step: Step) -> str:
    assert isinstance(step.after, Equation)
    return show(step.after.right)


def is_equal(checker: Checker, step: Step) -> bool:
    """Equal for certain, or through the exponentials of both sides, or at least to 30 digits."""
    before, after = step.before, step.after
    assert isinstance(before, Equation)
    assert isinstance(after, Equation)
    outcome = checker.equation(Equation(before.right, after.right))
    through = checker.equation(Equation(call("exp", before.right), call("exp", after.right)))
    return outcome.status == "equal" or through.status == "equal" or outcome.numerical
