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


def test_the_probe_sees_what_is_imported() -> None:
    assert "fractions" in loaded_by("import fractions")
    assert "fractions" not in loaded_by("import sys")
