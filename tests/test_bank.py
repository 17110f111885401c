"""Every gradient of the bank: to 1e-9 at both sizes, from both programs, with every check passed.

The tutorials run always; the whole bank with PULLBACK_BANK set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback.api import derive

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "bank" / "cases.json").read_text(encoding="utf-8")
)
GRADIENTS = [case for case in CASES if case["kind"] == "grad"]
ROWS = [(case, key) for case in GRADIENTS for key in ("program", "index_program") if case[key]]
TUTORIALS = [row for row in ROWS if row[0]["group"] == "1-tutorials"]
OTHERS = [row for row in ROWS if row[0]["group"] != "1-tutorials"]
TOLERANCE = 1e-9


def name(value: Any) -> str:
    return value["id"] if isinstance(value, dict) else str(value)


def check(case: dict[str, Any], key: str) -> None:
    beside = {k: case[k] for k in ("shapes", "integers", "assume", "ranges")}
    derivation = derive(case[key], wrt=case["wrt"], **beside)
    assert derivation.report.unknown == 0  # and no InternalProblem
    for run in case["runs"]:
        inputs = {n: np.array(x, dtype=float) for n, x in run["inputs"].items()}
        inputs |= {n: np.array(t, dtype=int) for n, t in run["integers"].items()}
        upstream = None if run["upstream"] is None else np.array(run["upstream"], dtype=float)
        found = derivation.compile(sizes=known_sizes(derivation, run))(inputs, upstream)
        for wrt in case["wrt"]:
            wanted = np.array(run["expected"][wrt], dtype=float)
            scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
            error = float(np.abs(found[wrt] - wanted.reshape(found[wrt].shape)).max(initial=0.0))
            assert error <= TOLERANCE * scale, (wrt, run["sizes"])


def known_sizes(derivation: Any, run: dict[str, Any]) -> dict[str, int]:
    return {n: value for n, value in run["sizes"].items() if n in derivation.program.sizes}


@pytest.mark.parametrize(("case", "key"), TUTORIALS, ids=name)
def test_the_tutorials(case: dict[str, Any], key: str) -> None:
    check(case, key)


@pytest.mark.bank
@pytest.mark.skipif(not os.environ.get("PULLBACK_BANK"), reason="set PULLBACK_BANK to run the whole bank")
@pytest.mark.parametrize(("case", "key"), OTHERS, ids=name)
def test_the_whole_bank(case: dict[str, Any], key: str) -> None:
    check(case, key)


def test_the_bank_holds_what_the_rows_are_made_of() -> None:
    assert len(GRADIENTS) == 173
    assert len(TUTORIALS) >= 13
    assert {case["group"] for case, _ in OTHERS} >= {"2-cookbook", "3-cs231n", "8-index"}
