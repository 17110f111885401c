"""Every program and every published formula of the bank reads, and means what the bank says it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback.errors import IndexProblem, PullbackError, ShapeProblem
from pullback.expression import Tensor
from pullback.program import Program, upstream_of
from pullback.reading import read_lines, read_program
from pullback.sizes import evaluate_size

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "data" / "bank" / "cases.json").read_text(encoding="utf-8")
)
NOTATIONS = {"program": "claims", "index_program": "index_claims"}


def programs(case: dict[str, Any]) -> dict[str, Program]:
    beside = {key: case[key] for key in ("shapes", "integers", "assume", "ranges")}
    return {key: read_program(case[key], **beside) for key in NOTATIONS if case[key]}


def target(case: dict[str, Any], program: Program, known: dict[str, Tensor], wrt: str) -> Tensor:
    """The tensor that a claim defines: a gradient, a Jacobian or a Hessian."""
    if case["kind"] == "jacobian":
        return Tensor("J", program.output.shape + known[wrt].shape)
    if case["kind"] == "hessian":
        first, second = wrt.split(",")
        return Tensor("H", known[first].shape + known[second].shape)
    return Tensor(f"d{wrt}", known[wrt].shape)


def test_the_bank_is_whole() -> None:
    assert len(CASES) == 186
    assert sum(len(programs(case)) for case in CASES) == 309


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_programs(case: dict[str, Any], floats: Any) -> None:
    for program in programs(case).values():
        for run in case["runs"]:
            meaning = floats({**run["inputs"], **run["integers"]}, run["sizes"])
            for definition in program.definitions:
                result = meaning.define(definition)
            shape = tuple(evaluate_size(extent, run["sizes"]) for extent in program.output.shape)
            assert shape == np.shape(run["output"])
            np.testing.assert_allclose(result, run["output"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_wrong_claims_read_or_are_refused(case: dict[str, Any]) -> None:
    """A wrong formula is a formula: it reads with the right shape, or its error says what does not fit."""
    read = programs(case)
    program = next(iter(read.values()))
    known = {name: t for p in read.values() for name, t in p.by_name.items()}
    upstream = upstream_of(program.output)
    for wrong in case["wrong_claims"]:
        goal = target(case, program, known, wrong["wrt"])
        text = f"{case['claim_definitions'] or ''}\n{wrong['claim']}"
        environment = {**known, upstream.name: upstream}
        options: dict[str, Any] = {"ranges": case["ranges"], "targets": {goal.name: goal}}
        outcome: Tensor | PullbackError
        try:
            outcome = read_lines(text, environment, sizes=program.sizes, **options)[-1].tensor
        except (ShapeProblem, IndexProblem) as error:
            outcome = error
        if isinstance(outcome, Tensor):
            assert (outcome.name, outcome.rank) == (goal.name, goal.rank)
        else:
            assert outcome.where is not None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_claims(case: dict[str, Any], floats: Any) -> None:
    read = programs(case)
    hidden = {d.tensor.name for program in read.values() for d in program.definitions if not d.source}
    for key, claims in NOTATIONS.items():
        # A claim may use the intermediates of either program; those of its own notation come first.
        ordered = sorted(read, key=lambda k: k != key)
        known: dict[str, Tensor] = {}
        for k in reversed(ordered):
            known |= {name: t for name, t in read[k].by_name.items() if name not in hidden}
        program = read[ordered[0]]
        upstream = upstream_of(program.output)
        for wrt, claim in case[claims].items():
            goal = target(case, program, known, wrt)
            definitions = read_lines(
                f"{case['claim_definitions'] or ''}\n{claim}",
                {**known, upstream.name: upstream},
                sizes=program.sizes,
                ranges=case["ranges"],
                targets={goal.name: goal},
                reserved=hidden,
            )
            assert definitions[-1].tensor.name == goal.name
            for run in case["runs"]:
                meaning = floats({**run["inputs"], **run["integers"]}, run["sizes"])
                for k in reversed(ordered):
                    for definition in read[k].definitions:
                        meaning.define(definition)
                meaning.arrays[upstream.name] = np.asarray(run["upstream"])
                for definition in definitions:
                    result = meaning.define(definition)
                np.testing.assert_allclose(result, run["expected"][wrt], rtol=1e-8, atol=1e-10)
