"""The law of accumulation: which rule of combining parts gives the batch."""

from __future__ import annotations

import json

import pytest

from pullback import PullbackError, accumulates
from pullback.cli import main

ROWS = {"X": "B D", "w": "D", "y": "B"}
MASKED = {**ROWS, "m": "B"}
TOKENS = {"H": "B T D", "W": "D V"}
MEAN = "L = mean((X @ w - y)**2)"
MASK = "n = sum(m)\nL = sum(m * (X @ w - y)**2) / n"
# Cross-entropy over the tokens whose label is not the ignored one, which is 0 here.
IGNORE = """lp = log_softmax(H @ W, axis=2)
s = lp[b,t,Y[b,t]] * (Y[b,t] != 0)
n = (Y[b,t] != 0)
L = -s / n"""


@pytest.mark.parametrize(
    ("program", "shapes", "rule", "ok", "condition", "mend"),
    [
        (MEAN, ROWS, "mean", False, "all parts have the same B", "size"),
        (MEAN, ROWS, "size", True, "", ""),
        (MEAN, ROWS, "sum", False, "", "size"),
        ("L = sum((X @ w - y)**2)", ROWS, "sum", True, "", ""),
        ("L = sum((X @ w - y)**2)", ROWS, "mean", False, "", "sum"),
        ("L = mean((X @ w - y)**2) + sum(w * w)", ROWS, "size", True, "", ""),
        ("L = sum((X @ w - y)**2) + sum(w * w)", ROWS, "sum", False, "", ""),
        (MASK, MASKED, "mean", False, "all parts have the same n", "n"),
        (MASK, MASKED, "size", False, "the n of the parts is in proportion to their B", "n"),
        (MASK, MASKED, "sum(m)", True, "", ""),
        ("L = sum(m * (X @ w - y)**2) / B", MASKED, "size", True, "", ""),
        ("mu = mean(X, axis=0)\nL = mean(((X - mu) @ w - y)**2)", ROWS, "size", False, "", ""),
    ],
)
def test_rules(program: str, shapes: dict[str, str], rule: str, ok: bool, condition: str, mend: str) -> None:
    verdict = accumulates(program, "B", rule, shapes)
    assert (verdict.ok, verdict.condition, verdict.mend) == (ok, condition, mend)
    assert bool(verdict) is ok
    assert verdict.status == "exact"
    assert (verdict.witness is None) is ok


def test_the_mean_of_means_over_tokens_that_are_counted() -> None:
    tokens = {"Y": ("B T", "V")}
    verdict = accumulates(IGNORE, "B", "mean", TOKENS, integers=tokens)
    assert verdict.ok is False
    assert verdict.mend == "n"
    assert accumulates(IGNORE, "B", verdict.mend, TOKENS, integers=tokens).ok is True
    assert "the weight of a part is its n / the n of the batch" in verdict.explain()


CLASSES = (
    "wy = onehot(t, V) @ c\nL = -sum(wy * sum(log_softmax(X @ W, axis=1) * onehot(t, V), axis=1)) / sum(wy)"
)


def test_weights_of_classes_are_data() -> None:
    shapes, integers = {"X": "B D", "W": "D V", "c": "V"}, {"t": ("B", "V")}
    verdict = accumulates(CLASSES, "B", "size", shapes, integers=integers)
    assert (verdict.ok, verdict.mend) == (False, "sum(wy)")
    assert accumulates(CLASSES, "B", "sum(wy)", shapes, integers=integers).ok is True


def test_a_gate_that_is_learned_is_no_weight() -> None:
    gated = "g = sigmoid(X @ v)\nL = sum(g * (X @ w - y)**2) / sum(g)"
    verdict = accumulates(gated, "B", "sum(g)", {**ROWS, "v": "D"})
    assert verdict.ok is False
    assert verdict.mend == ""


@pytest.mark.parametrize(
    ("program", "rule", "term"),
    [
        ("L = sum((X @ w - y)**2) + 3 * sum(w * w)", "sum", "3 * sum(w * w)"),
        ("L = sum((X @ w - y)**2) - sum(w)", "sum", "-(sum(w))"),
    ],
)
def test_a_term_that_no_input_of_the_batch_reaches(program: str, rule: str, term: str) -> None:
    verdict = accumulates(program, "B", rule, ROWS)
    assert verdict.ok is False
    assert f"the term {term} counts once in the batch" in verdict.reason


def test_a_witness_without_needless_zeros() -> None:
    witness = accumulates(MEAN, "B", "mean", ROWS).witness
    assert witness is not None
    assert "0" not in str(witness.inputs)


def test_a_batch_that_its_rows_share() -> None:
    verdict = accumulates("mu = mean(X, axis=0)\nL = mean(((X - mu) @ w - y)**2)", "B", "size", ROWS)
    assert "the loss couples its rows" in verdict.reason


def test_weights_that_depend_on_the_values() -> None:
    verdict = accumulates("L = logsumexp(X @ w)", "B", "size", {"X": "B D", "w": "D"})
    assert verdict.ok is False
    assert "would depend on the values" in verdict.reason or "couples" in verdict.reason


def test_the_witness_adds_up() -> None:
    found = accumulates(MEAN, "B", "mean", ROWS).witness
    assert found is not None
    assert found.parts == (1, 2)
    assert found.entry == "L"
    assert sum(w * x for w, x in zip(found.weights, found.each, strict=True)) == found.combined
    assert found.combined != found.whole


@pytest.mark.parametrize(
    ("program", "batch", "rule", "message"),
    [
        ("Y = X @ w", "B", "mean", "is no scalar"),
        (MEAN, "A", "mean", "A is not a size of the program"),
        (MEAN, "B", "", "a rule says how parts are combined"),
        (MEAN, "B", "sum(q)", "q"),
        (MEAN, "B", "y", "shape"),
        ("L = sum(A) + sum(X @ w - y)", "B", "mean", "A cannot be split along B"),
        ("L = sum(K)", "B", "mean", "K cannot be split along B"),
    ],
)
def test_errors(program: str, batch: str, rule: str, message: str) -> None:
    shapes = {k: v for k, v in {**ROWS, "A": "B B", "K": "2*B"}.items() if k in program}
    with pytest.raises(PullbackError) as caught:
        accumulates(program, batch, rule, shapes)
    assert message in caught.value.message


@pytest.mark.parametrize(("combine", "code"), [("size", 0), ("mean", 1)])
def test_the_command_line(capsys: pytest.CaptureFixture[str], combine: str, code: int) -> None:
    line = ["claim", MEAN, "--shapes", "X: B D, w: D, y: B", "--law", "accumulation", "--batch", "B"]
    assert main([*line, "--combine", combine]) == code
    shown = capsys.readouterr().out
    assert ("right (exact)" if code == 0 else "the weight of a part is its B / the B of the batch") in shown
    assert main([*line, "--combine", combine, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["rule"] == combine


def test_a_law_needs_its_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim", MEAN, "--law", "accumulation"]) == 2
    assert "--batch B" in capsys.readouterr().err
