"""Derived gradients beside published ones: no more operations, and not much longer to read.

`data/practice.json` holds layers and losses from deep-learning practice, laid out like the bank.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pullback import claim

ROOT = Path(__file__).resolve().parents[1]
PRACTICE = json.loads((ROOT / "tests" / "data" / "practice.json").read_text("utf-8"))
JUDGED = ("gru_step", "tversky", "cosface", "reinforce_entropy", "planar_flow", "huber", "sinkhorn_step")
HOLD = 274  # of the bank's formulas; a change may raise the number, never lower it


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_of_forms", ROOT / "benchmarks" / "forms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


FORMS = benchmark()


@pytest.mark.parametrize("case", PRACTICE, ids=lambda case: case["id"])
def test_a_layer_from_practice_reads_as_published(case: dict[str, Any]) -> None:
    rows = FORMS.rows(case)
    assert {row.wrt for row in rows} == set(case["claims"])
    for row in rows:
        assert row.operations is not None and row.operations <= row.published_operations, row.derived
        assert row.tokens <= FORMS.LONGEST * row.published_tokens, row.derived


@pytest.mark.parametrize("case", [c for c in PRACTICE if c["id"] in JUDGED], ids=lambda case: case["id"])
def test_the_published_formulas_are_right(case: dict[str, Any]) -> None:
    shapes = {name: tuple(shape) for name, shape in case["shapes"].items()}
    integers = {name: (tuple(t["shape"]), t["range"]) for name, t in case["integers"].items()}
    for wrt in case["claims"]:
        text = FORMS.published_program(case, wrt)
        verdict = claim(case["program"], {wrt: text}, shapes, integers=integers, assume=case["assume"])
        assert verdict.ok is True, (wrt, verdict.explain())


def test_the_bank_keeps_its_forms() -> None:
    cases = json.loads(FORMS.BANK.read_text("utf-8"))
    chosen = [c for c in cases if c["kind"] == "grad" and c["program"] and c["claims"]]
    rows = [row for case in chosen for row in FORMS.rows(case)]
    assert sum(row.cheap and row.short for row in rows) >= HOLD
