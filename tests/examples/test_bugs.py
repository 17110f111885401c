"""The gradient bugs of real projects: each wrong backward is called wrong, each mended one right."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bugs"
pytestmark = [pytest.mark.torch, pytest.mark.examples]


@pytest.fixture(scope="module")
def runner() -> Any:
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module("run")
    sys.path.remove(str(EXAMPLE))


def test_wrong_ones_are_wrong_and_mended_ones_right(runner: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--short"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(runner.bugs()) >= 13
    assert all("wrong     right" in line for line in lines[1:]), lines
    passed = [line.split(":")[0] for line in lines[1:] if " passes " in line]
    assert {"total variation", "RMS norm"} <= set(passed)  # gradcheck lets these through
