"""The form that runs: what changes between the formula and the code, and that nothing else does."""

from __future__ import annotations

import pytest

from pullback import derive
from pullback.emit.running_forms import for_running
from pullback.evaluator import Checker
from pullback.verify.results import rewrite_outcome

# program, shapes, and a piece of the source that says what runs
ROWS = [
    ("p = sigmoid(x); L = -sum(log(p))", {"x": "N"}, "sigmoid(-x)"),
    ("p = sigmoid(x); L = sum(b * p**2 + log(1 - p))", {"x": "N", "b": "N"}, "sigmoid(-x)"),
    ("L = sum(exp(x) - x)", {"x": "N"}, "np.expm1(x)"),
    ("L = sum(x - sin(x))", {"x": "N"}, "np.sin(0.5 * x) ** 2"),
    ("f = norm(x - b)", {"x": "N", "b": "N"}, "np.where(f > 0, f, 1)"),
    ("y = sqrt(x**2 + b**2)", {"x": "N", "b": "N"}, "y = np.hypot(x, b)\n"),
    ("q = x[i]**2; f = sqrt(q)", {"x": "N"}, "f = norm(x)\n"),
    ("Z[i] = exp(S[i,j]) * (j <= i); P[i,j] = exp(S[i,j]) * (j <= i) / Z[i]", {"S": "N N"},
     "P = weighted_softmax(S, (j_ <= i_[:, None]).astype(dtype), axis=-1)"),
    ("Z[i] = exp(S[i,j]) * (j <= i); L = log(Z[i])", {"S": "N N"}, "weighted_softmax("),
    ("E = (1 - eye(N)) * exp(S); Q = E / sum(E, axis=1, keepdims=True)", {"S": "N N"}, "weighted_softmax("),
    ("P = exp(x); Q = exp(b); M = (P + Q) / 2; L = sum(P * (x - log(M)) + Q * (b - log(M)))",
     {"x": "N", "b": "N"}, "np.logaddexp("),
]  # fmt: skip


@pytest.mark.parametrize(("program", "shapes", "piece"), ROWS, ids=[row[0] for row in ROWS])
def test_the_code_holds_the_stable_form(program: str, shapes: dict[str, str], piece: str) -> None:
    assert piece in derive(program, shapes).compile().source


@pytest.mark.parametrize(("program", "shapes", "_"), ROWS, ids=[row[0] for row in ROWS])
def test_every_line_that_changes_keeps_its_value(program: str, shapes: dict[str, str], _: str) -> None:
    derived = derive(program, shapes).derived
    running, steps = for_running(derived)
    given = [*derived.program.inputs, *([derived.upstream] if derived.upstream is not None else [])]
    checker = Checker([*running.program.definitions, *running.backward], given)
    outcomes = [rewrite_outcome(checker, step) for step in steps]
    assert outcomes
    assert all(outcome.status == "equal" or outcome.numerical for outcome in outcomes)


@pytest.mark.parametrize("program", ["Y = X @ W", "Y = tanh(X @ W)", "Y = softmax(X @ W, axis=1)"])
def test_what_is_stable_runs_as_it_is(program: str) -> None:
    derived = derive(program, {"X": "N D", "W": "D M"}).derived
    assert for_running(derived) == (derived, ())


def test_a_forward_quotient_by_a_norm_keeps_having_no_value_at_zero() -> None:
    source = (
        derive("n = norm(X, axis=1, keepdims=True); U = X / n; C = U @ U.T", {"X": "N D"}).compile().source
    )
    assert "U = X / n" in source
