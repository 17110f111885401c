"""Start-up stays light: the package and its command line import no heavy library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
HEAVY = {"torch", "jax", "jaxlib", "sympy", "scipy", "matplotlib", "pandas", "sklearn", "rich", "hypothesis"}
LISTING = "import json, sys; print(json.dumps(sorted(sys.modules)))"
OTHERS = {
    f"pullback.{name}" for name in ("emit", "second_order", "backward", "checking", "capture", "verify.mend")
}


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after a statement."""
    run = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{LISTING}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import pullback",
        "import pullback.cli",
        "import pullback; pullback.derive('Y = X @ W').text()",
        "import pullback; pullback.claim('Y = X @ W', {'W': 'X.T @ dY'})",
    ],
)
def test_no_heavy_library_is_imported(statement: str) -> None:
    loaded = loaded_by(statement)
    assert "pullback" in loaded
    assert loaded & HEAVY == set()


def test_a_derivation_on_the_command_line_loads_what_it_runs() -> None:
    quiet = "sys.stdout = sys.stderr; main(['derive', 'Y = X @ W']); sys.stdout = sys.__stdout__"
    loaded = loaded_by(f"import sys; from pullback.cli import main; {quiet}")
    assert "pullback.render" in loaded
    assert loaded & OTHERS == set()


@pytest.mark.torch
def test_a_check_of_a_function_does_not_load_the_compiler_of_its_framework() -> None:
    pytest.importorskip("torch")
    code = """
import torch, pullback
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, m):
        s = x.masked_fill(m, float("-inf"))
        p = torch.exp(s - torch.logsumexp(s, 1, keepdim=True))
        ctx.save_for_backward(p)
        return p
    @staticmethod
    def backward(ctx, g):
        p, = ctx.saved_tensors
        return p * (g - (g * p).sum(1, keepdim=True)), None
x = torch.randn(2, 3, dtype=torch.float64)
assert pullback.check(F, [x, torch.zeros(2, 3, dtype=torch.bool)]).ok
"""
    assert "torch._dynamo" not in loaded_by(code)


def test_the_probe_sees_what_is_imported() -> None:
    assert "fractions" in loaded_by("import fractions")
    assert "fractions" not in loaded_by("import sys")
