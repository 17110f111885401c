"""The test files that are written pass for what is emitted, and fail for what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pullback import derive
from pullback.errors import NameProblem

from .emitted import derivation


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300, env=environment
    )


TORCH = ["labels", "layer_norm", "filled"]
JAX = ["embedding", "filled"]


def write(folder: Path, target: str, names: list[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(derivation(name).emit(target, name=name))
        (folder / f"test_{name}.py").write_text(derivation(name).emit_tests(target, name=name))


@pytest.mark.torch
def test_the_tests_of_functions_pass(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write(tmp_path, "torch", TORCH)
    spd = derive("L = logdet(S)", {"S": "N N"}, assume={"S": "spd"})
    (tmp_path / "spd.py").write_text(spd.emit("torch"))
    (tmp_path / "test_spd.py").write_text(spd.emit_tests("torch", module="spd"))
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{4 * len(TORCH) + 3} passed" in done.stdout


@pytest.mark.jax
def test_the_tests_of_rules_pass(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    write(tmp_path, "jax", JAX)
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{3 * len(JAX)} passed" in done.stdout


@pytest.mark.torch
def test_a_wrong_function_does_not_pass(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write(tmp_path, "torch", ["linear"])
    file = tmp_path / "linear.py"
    file.write_text(file.read_text().replace("dW = X.mT @ grad_output", "dW = 1.0001 * X.mT @ grad_output"))
    assert "failed" in run(tmp_path).stdout


def test_there_are_none_for_numpy() -> None:
    with pytest.raises(NameProblem, match="no test file is written for numpy"):
        derivation("linear").emit_tests("numpy")
