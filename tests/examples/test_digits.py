"""The digits example keeps its word: accuracy on held-back images, gradients equal to autograd's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.examples
for needed in ("sklearn", "matplotlib", "rich"):
    pytest.importorskip(needed)


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / "digits" / "train.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "COLUMNS": "200"},
    )


def test_both_models_reach_ninety_five_percent_and_the_losses_are_plotted(tmp_path: Path) -> None:
    target = tmp_path / "new" / "loss.png"
    run = train("--short", "-o", str(target))
    assert run.returncode == 0, run.stdout + run.stderr
    accuracies = [float(a) for a in re.findall(r"(\d+\.\d+)% of 360 held-back images right", run.stdout)]
    assert len(accuracies) == 2
    assert min(accuracies) >= 95
    assert target.read_bytes().startswith(b"\x89PNG\r\n")
    assert [path.name for path in target.parent.iterdir()] == ["loss.png"]


def test_an_existing_plot_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "loss.png"
    target.write_text("mine", "utf-8")
    run = train("--short", "-o", str(target))
    assert run.returncode == 1
    assert "--force replaces it" in run.stderr
    assert target.read_text("utf-8") == "mine"


@pytest.mark.torch
def test_each_gradient_is_that_of_autograd(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = train("--short", "--epochs", "4", "--check", "-o", str(tmp_path / "loss.png"))
    found = re.findall(r"d(\w+) differs from autograd by (\S+) relative", run.stdout)
    assert sorted(name for name, _ in found) == ["W", "W1", "W2", "b", "b1", "b2"], run.stdout + run.stderr
    assert max(float(difference) for _, difference in found) <= 1e-12
