"""The public bank: forward values and true derivatives, from both notations, at both sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback.evaluator import Float64, Interpreter, evaluate, gradients, jacobian
from pullback.expression import Access, Index, Partial, Tensor
from pullback.program import Program
from pullback.reading import read_program

BANK = Path(__file__).parents[1] / "data" / "bank"
CASES: list[dict[str, Any]] = [
    case for file in sorted(BANK.glob("*.json")) for case in json.loads(file.read_text()) if "runs" in case
]
ROWS = [
    pytest.param(case, notation, id=f"{case['id']}-{notation}")
    for case in CASES
    for notation in ("program", "index_program")
    if case[notation]
]
RELATIVE = 1e-9


def test_the_bank_is_there() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("case", "notation"), ROWS)
def test_values_and_derivatives(case: dict[str, Any], notation: str) -> None:
    program = read_program(
        case[notation],
        shapes=case["shapes"],
        integers={name: (tuple(row["shape"]), row["range"]) for name, row in case["integers"].items()},
        assume=case["assume"],
        ranges=case["ranges"],
    )
    for run in case["runs"]:
        values = {name: np.asarray(value, dtype=np.float64) for name, value in run["inputs"].items()}
        values |= {name: np.asarray(value, dtype=np.int64) for name, value in run["integers"].items()}
        out = evaluate(program.definitions, values, run["sizes"], Float64())[program.output.name]
        _assert_close(out, run["output"])
        for name, expected in run["expected"].items():
            _assert_close(_derivative(case, program, run, values, name), expected)


def _assert_close(found: Any, expected: Any) -> None:
    wanted = np.asarray(expected, dtype=np.float64)
    assert np.shape(found) == wanted.shape
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=RELATIVE * scale)


def _derivative(case: dict[str, Any], program: Program, run: dict[str, Any], values: Any, name: str) -> Any:
    definitions, sizes, known = program.definitions, run["sizes"], program.by_name
    if case["kind"] == "grad":
        given = None if run["upstream"] is None else np.asarray(run["upstream"], dtype=np.float64)
        return gradients(definitions, values, sizes, Float64(), [known[name]], program.output, given)[name]
    if case["kind"] == "jacobian":
        return jacobian(definitions, values, sizes, Float64(), known[name], program.output)
    interpreter = Interpreter(Float64(), sizes, values, definitions)
    if case["kind"] == "hessian":
        first, second = name.split(",")
        return _hessian(interpreter, program.output, known[first], known[second])
    parts = []
    for along, direction in case["direction"].items():
        hessian = _hessian(interpreter, program.output, known[name], known[along])
        parts.append(np.tensordot(hessian, values[direction], axes=values[direction].ndim))
    return sum(parts)


def _hessian(interpreter: Interpreter[Any], loss: Tensor, first: Tensor, second: Tensor) -> Any:
    u = tuple(Index(f"u{k}", extent) for k, extent in enumerate(first.shape))
    v = tuple(Index(f"v{k}", extent) for k, extent in enumerate(second.shape))
    inner = Partial(Access(loss, ()), Access(first, u))
    return interpreter.element_values(Partial(inner, Access(second, v)), u + v)
