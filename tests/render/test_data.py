"""JSON: the documented schema, complete and loadable."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from derived_fixtures import PROGRAMS, REPORT, derived, formulas

from pullback.render import as_data, to_json

SCHEMA = Path(__file__).parents[2] / "docs" / "output.md"


def keys_in(data: object) -> set[str]:
    match data:
        case dict():
            return set(data) | {key for value in data.values() for key in keys_in(value)}
        case list():
            return {key for value in data for key in keys_in(value)}
    return set()


@pytest.mark.parametrize("name", PROGRAMS)
def test_everything_that_the_engine_recorded_is_there(name: str) -> None:
    found = derived(name)
    data = json.loads(to_json(found, REPORT, formulas(found)))
    assert data["version"] == 1
    assert data["kind"] == "derivation"
    assert [s["operand"] for s in data["sections"]] == [s.operand.name for s in found.sections]
    for section, shown in zip(found.sections, data["sections"], strict=True):
        assert [step["rule"] for step in shown["steps"]] == [step.rule for step in section.steps]
        assert all(step["after"]["text"] and step["after"]["latex"] for step in shown["steps"])
        assert {step["status"] for step in shown["steps"]} == {"exact"}
    assert data["report"]["error_bound"] == REPORT.error_bound


def test_every_key_is_documented() -> None:
    found = derived("product")
    data = as_data(found, REPORT, formulas(found))
    del data["report"]["trials"]  # its keys are names of sizes
    documented = set(re.findall(r"`(\w+)`", SCHEMA.read_text(encoding="utf-8")))
    assert keys_in(data) - documented == set()


def test_gradients_and_shapes() -> None:
    found = derived("product")
    data = as_data(found, REPORT, formulas(found))
    assert data["inputs"][0] == {
        "name": "X", "shape": ["N", "D"], "integers_below": None, "facts": [], "inferred": True,
    }  # fmt: skip
    assert data["gradients"][1]["name"] == "dW"
    assert "dW = X.T @ dY" in data["gradients"][1]["lines"]
    assert r"dW = X^{\top}\, dY" in data["gradients"][1]["latex"]


@pytest.mark.parametrize(
    ("sizes", "entries", "bytes_"),
    [(None, None, None), ({"N": 64, "D": 4096, "M": 4096}, 2**36, 2**38), ({"N": 2}, None, None)],
)
def test_jacobian_costs(sizes: dict[str, int] | None, entries: int | None, bytes_: int | None) -> None:
    found = derived("product")
    jacobian = as_data(found, REPORT, formulas(found), sizes=sizes)["sections"][0]["jacobian"]
    assert jacobian["shape"] == ["N", "M", "N", "D"]
    assert jacobian["share"] == "1 / N"
    assert jacobian["formed"] is False
    assert (jacobian["entries_at_sizes"], jacobian["bytes_float32_at_sizes"]) == (entries, bytes_)


def test_without_a_report() -> None:
    found = derived("product")
    assert as_data(found, None, formulas(found))["report"] is None
