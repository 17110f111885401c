"""Verdicts on claims: right, wrong, unknown, and what is bad input; the bank's claims."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from pullback.claiming import Verdict, claim
from pullback.errors import DomainProblem, IndexProblem, NameProblem, PullbackError, SyntaxProblem
from pullback.verify.claims import judge, split_claim

from .bank_claims import UNDECLARED, Row, published, rows, setting

LINEAR = ("Y = X @ W", {"X": "N D", "W": "D M"})


def verdict_on(text: str, wrt: str = "W") -> Verdict:
    return claim(LINEAR[0], {wrt: text}, LINEAR[1])


@pytest.mark.parametrize(
    "text",
    [
        "X.T @ dY",
        "dW = X.T @ dY",
        "(dY.T @ X).T",
        "dW[i,j] = X[n,i] * dY[n,j]",
        "G = 2 * dY; X.T @ G / 2",
        'einsum("nd,nm->dm", X, dY)',
        "X.T @ dY * N / N",
    ],
)
def test_right_claims_of_a_linear_layer(text: str) -> None:
    verdict = verdict_on(text)
    assert verdict.ok is True
    assert verdict
    assert verdict.verdicts[0].status == "exact"
    assert 0 <= verdict.verdicts[0].error_bound < 1e-12
    assert verdict.witness is None
    assert verdict.mend is None


@pytest.mark.parametrize("key", ["W", "dW"])
def test_the_key_is_the_input_or_its_gradient(key: str) -> None:
    assert verdict_on("X.T @ dY", key).verdicts[0].wrt == "W"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("X @ dY", "X is N×D and dY is N×M, so X @ dY does not exist: (N×D)(N×M), D meets N"),
        ("dY.T @ X", "W is D×M, and so is its gradient; dY.T @ X is M×D"),
        ("sum(X.T @ dY)", "W is D×M, and so is its gradient; sum(X.T @ dY) is a scalar"),
        ("X.T + dY", "X.T is D×N and dY is N×M, so X.T + dY does not exist: D×N against N×M"),
        ("G = X @ dY; G", "X is N×D and dY is N×M, so X @ dY does not exist: (N×D)(N×M), D meets N"),
        ("dW[i,j] = X[n,i] * dY[j,n]", "index j ranges over M and over N"),
    ],
)
def test_shapes_that_do_not_fit_make_a_claim_wrong(text: str, reason: str) -> None:
    verdict = verdict_on(text)
    assert verdict.ok is False
    assert not verdict
    assert verdict.verdicts[0].reason == f"shape: {reason}"
    witness = verdict.witness
    assert witness is not None
    assert witness.entry is None
    assert witness.claimed_shape != witness.true_shape


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("X.T @ (dY", SyntaxProblem, "never closed"),
        ("X.T @ dZ", NameProblem, "`dZ` is not declared"),
        ("sofmax(X).T @ dY", NameProblem, "unknown function `sofmax`"),
        ("", SyntaxProblem, "an expression is expected"),
        ("dX = X.T @ dY", SyntaxProblem, "the last line defines dX, not dW"),
        ("import os", SyntaxProblem, "import"),
    ],
)
def test_what_cannot_be_read_is_bad_input(text: str, error: type[PullbackError], message: str) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        verdict_on(text)


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(NameProblem, match="V is not an input") as caught:
        verdict_on("X.T @ dY", "V")
    assert "X, W" in caught.value.hint


def test_integers_have_no_gradient() -> None:
    with pytest.raises(DomainProblem, match="t holds integers"):
        claim("Y = take(E, t)", {"t": "dY"}, {"E": "V D"}, integers={"t": ("B", "V")})


def test_no_claim_is_refused() -> None:
    with pytest.raises(SyntaxProblem, match="there is no claim"):
        claim(*LINEAR[:1], {}, LINEAR[1])


def test_several_claims_are_wrong_where_one_is() -> None:
    verdict = claim(LINEAR[0], {"X": "dY @ W.T", "W": "2 * X.T @ dY"}, LINEAR[1])
    assert [v.ok for v in verdict.verdicts] == [True, False]
    assert verdict.ok is False
    assert repr(verdict) == "<Verdict dX: right, dW: wrong>"


def test_a_wrong_value_has_a_small_exact_witness() -> None:
    witness = verdict_on("2 * X.T @ dY").witness
    assert witness is not None
    assert witness.sizes == {"N": 1, "D": 1, "M": 1}
    assert isinstance(witness.true, Fraction)
    assert witness.claimed == 2 * witness.true
    assert witness.true == witness.inputs["X"][0][0] * witness.inputs["dY"][0][0]


def test_a_witness_shows_small_numbers_rather_than_zeros() -> None:
    for text in ("softmax(z, axis=1) - y", "z"):
        witness = claim("L = -sum(y * log_softmax(z, axis=1))", {"z": text}, {"z": "N K", "y": "N K"}).witness
        assert witness is not None
        assert 0 not in [entry for rows in witness.inputs.values() for row in rows for entry in row]


def test_a_missing_mean_differs_only_past_size_one() -> None:
    witness = claim("L = mean(x * x)", {"x": "2 * x"}, {"x": "N"}).witness
    assert witness is not None
    assert witness.sizes == {"N": 2}


@pytest.mark.parametrize(
    ("program", "shapes", "text", "condition"),
    [
        ("f = x @ A @ x", {"x": "N", "A": "N N"}, "2 * A @ x", "A is symmetric"),
        ("L = mean(x)", {"x": "N"}, "ones(N)", "N = 1"),
        ("y = s * x", {"x": "N", "s": ""}, "dy", "s = 1"),
        ("y = x ** s", {"x": "N", "s": ""}, "2 * dy * x", "s = 2"),
        ("L = sum(x**2) + s * sum(x)", {"x": "N", "s": ""}, "2 * x", "s = 0"),
        ("Y = A @ x @ B", {"x": "N N", "A": "N N", "B": "N N"}, "A @ dY @ B", "A and B are symmetric"),
        ("Y = Q @ x", {"x": "N D", "Q": "N N"}, "inv(Q) @ dY", "Q is orthogonal"),
        ("y = D @ x", {"x": "N", "D": "N N"}, "diag(D) * dy", "D is diagonal"),
        ("y = x - mean(x)", {"x": "N"}, "dy", "the entries of dy sum to 0"),
        ("L = sum(w * x**2) / sum(w)", {"x": "N", "w": "N"}, "2 * w * x / N", "every entry of w is 1"),
        ("L = sum(relu(x @ W))", {"x": "N D", "W": "D M"}, "ones([N, M]) @ W.T", "x and W are positive"),
        ("L = sum(abs(x))", {"x": "N"}, "ones(N)", "x is positive"),
        ("f = trace(X.T @ A @ X @ B)", {"X": "M N", "A": "M M", "B": "N N"}, "(A + A.T) @ X @ B",
         "B is symmetric"),
        ("Y = X * 2", {"X": "N N"}, "2 * dY.T", "dY is symmetric"),
        ("L = sum((x * m)**2) / 2", {"x": "N", "m": "N"}, "x * m", "the entries of m are 0 or 1"),
        ("L = -sum(p * log_softmax(x, axis=1))", {"x": "N D", "p": "N D"}, "softmax(x, axis=1) - p",
         "the rows of p sum to 1"),
        ("L = -sum(p * log_softmax(x, axis=0))", {"x": "N D", "p": "N D"}, "softmax(x, axis=0) - p",
         "the columns of p sum to 1"),
        ("L = sum(D * x) - trace(D * x)", {"x": "N N", "D": "N N"}, "D", "the diagonal of D is zero"),
    ],
)  # fmt: skip
def test_conditions_under_which_a_wrong_claim_is_right(
    program: str, shapes: dict[str, str], text: str, condition: str
) -> None:
    wrt = "X" if "X" in shapes else "x"
    verdict = claim(program, {wrt: text}, shapes)
    assert verdict.ok is False
    assert verdict.verdicts[0].condition == condition
    assert f"right only if {condition}" in verdict.explain()


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("y = relu(x)", "dy * (x >= 0)"),
        ("y = maximum(x, 0)", "dy * (x > 0)"),
        ("y = abs(x)", "dy * (2 * (x >= 0) - 1)"),
        ("L = max(x)", "x == max(x)"),
        ("y = relu(relu(x))", "dy * (x >= 0)"),
    ],
)
def test_another_convention_at_a_kink_is_right_and_noted(program: str, text: str) -> None:
    verdict = claim(program, {"x": text}, {"x": "N"})
    assert verdict.ok is True
    (note,) = verdict.verdicts[0].notes
    assert "another convention" in note


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("y = relu(x)", "dy * (x > 0) - dy * (x == 0)"),
        ("y = abs(x)", "dy * sign(x) + 2 * dy * (x == 0)"),
        ("y = maximum(x, 0)", "dy * (x > 0) + 3 * dy * (x == 0)"),
    ],
)
def test_a_value_beyond_the_one_sided_derivatives_is_wrong(program: str, text: str) -> None:
    verdict = claim(program, {"x": text}, {"x": "N"})
    assert verdict.ok is False
    assert "one-sided" in verdict.verdicts[0].reason
    assert verdict.witness is not None


def test_a_claim_about_an_intermediate() -> None:
    verdict = claim("P = softmax(X, axis=1); L = sum(P * V)", {"P": "V"}, {"X": "N D", "V": "N D"})
    assert verdict.ok is True


def test_an_entry_outside_a_tensor_is_refused() -> None:
    with pytest.raises(IndexProblem, match="leaves axis 0 of dY"):
        verdict_on("dW[i,j] = X[n,i] * dY[n+1,j]")


def test_json_is_complete_and_exact() -> None:
    data = json.loads(claim("L = mean(x * x)", {"x": "x / N"}, {"x": "N"}).json())
    assert data["ok"] is False
    (entry,) = data["verdicts"]
    assert entry["wrt"] == "x"
    assert entry["right"] == ["dx = 2 / N * x"]
    assert entry["witness"]["claimed"] * 2 == entry["witness"]["true"]
    assert entry["mend"]["text"] == "2 * x / N"


def test_words_of_a_right_and_of_a_wrong_claim() -> None:
    assert verdict_on("X.T @ dY").explain().startswith("dW = X.T @ dY is right (exact")
    assert verdict_on("X @ dY").explain().splitlines()[:3] == [
        "dW = X @ dY is wrong.",
        "  shape: X is N×D and dY is N×M, so X @ dY does not exist: (N×D)(N×M), D meets N",
        "  right: dW = X.T @ dY",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [("dW = X.T @ dY", "W"), ("G = 1; dW[i,j] = X[n,i]", "W"), ("dW2=y", "W2"), ("a = 1\n dx = a\n", "x")],
)
def test_split_claim_finds_the_input(text: str, name: str) -> None:
    assert split_claim(text) == (name, text)


FACTS = [
    ("simplex", "L = -sum(p * log_softmax(x, axis=1))", "softmax(x, axis=1) - p", {"p": "N D"}),
    ("simplex", "L = -sum(p * log_softmax(x, axis=1))", "softmax(x, axis=1) - p", {"p": "D"}),
    ("simplex(axis=0)", "L = -sum(p * log_softmax(x, axis=0))", "softmax(x, axis=0) - p", {"p": "N D"}),
    ("binary", "L = sum((x * p)**2) / 2", "x * p", {"p": "N D"}),
    ("binary", "E = p * x; L = sum(E**2) / 2", "E", {"p": "N D"}),
    ("zero_diagonal", "L = sum(p * x) - trace(p * x)", "p", {"p": "N N", "x": "N N"}),
]


@pytest.mark.parametrize(("fact", "program", "text", "shapes"), FACTS)
def test_a_declared_fact_makes_a_claim_right(
    fact: str, program: str, text: str, shapes: dict[str, str]
) -> None:
    shapes = {"x": "N D", **shapes}
    right = claim(program, {"x": text}, shapes, assume={"p": fact})
    assert right.ok is True and right.verdicts[0].status == "exact"
    wrong = claim(program, {"x": text}, shapes)
    assert wrong.verdicts[0].declaration == f"{fact}(p)"
    assert f"; if so, declare {fact}(p)" in wrong.explain()


@pytest.mark.parametrize(("fact", "program", "text", "shapes"), FACTS)
def test_a_witness_keeps_to_the_facts(fact: str, program: str, text: str, shapes: dict[str, str]) -> None:
    found = claim(program, {"x": f"2 * ({text}) + 1"}, {"x": "N D", **shapes}, assume={"p": fact}).witness
    assert found is not None
    p = np.array(found.inputs["p"])
    match fact:
        case "simplex":
            assert (p >= 0).all() and (p.sum(axis=-1) == 1).all()
        case "simplex(axis=0)":
            assert (p >= 0).all() and (p.sum(axis=0) == 1).all()
        case "binary":
            assert set(p.flat) <= {0, 1}
        case _:
            assert not p.diagonal().any()


@pytest.mark.parametrize("text", ["X.T @ dY", "W = X", "dW == X", ""])
def test_split_claim_needs_a_gradient_on_the_left(text: str) -> None:
    with pytest.raises(SyntaxProblem, match="which gradient"):
        split_claim(text)


# ---- the bank -------------------------------------------------------------------------------


def hold(row: Row) -> None:
    found = judge(setting(row.case, row.notation), row.wrt, row.text, mend=False)
    if row.which == "wrong":
        assert found.ok is False
        assert found.witness is not None
    elif (row.case, row.wrt) in UNDECLARED and row.text in published(row.case):
        assert found.ok is False
        assert found.condition
        ((name, fact),) = UNDECLARED[row.case, row.wrt].items()
        assert found.declaration == f"{fact}({name})"
        assert judge(setting(row.case, row.notation, ((name, fact),)), row.wrt, row.text).ok is True
    else:
        assert found.ok is True


@pytest.mark.parametrize("row", list(rows("1-tutorials")), ids=str)
def test_the_claims_of_the_tutorials(row: Row) -> None:
    hold(row)


@pytest.mark.parametrize("row", [r for r in rows() if r.case in ("softmax_reg_l2", "matfac_masked")], ids=str)
def test_claims_that_hold_only_under_a_fact(row: Row) -> None:
    hold(row)


@pytest.mark.bank
@pytest.mark.parametrize("row", list(rows()), ids=str)
def test_the_claims_of_the_bank(row: Row) -> None:
    hold(row)
