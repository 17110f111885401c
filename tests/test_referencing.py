"""Functions of files on the command line: `pullback derive FILE.py::function`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pullback
from pullback.cli import main
from pullback.referencing import is_reference, referenced

CODE = """
import numpy as np


def rows(x):
    return sum(r @ r for r in x)


def two(x):
    loss = np.sum(x**2)
    return loss, 2 * x


rows_inputs = {"x": np.ones((2, 3))}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "layers.py"
    path.write_text(CODE)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layers.py::f", True),
        ("a/b c.py::f, g", True),
        ("Y = X @ W", False),
        ("layers.py", False),
        ("Y = X; Z = Y", False),
    ],
)
def test_what_is_a_reference(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


def test_a_function_of_a_file_derives(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", f"{file}::two", "--shapes", "x: N", "--result", "loss", "--steps", "none"]) == 0
    assert "dx = 2 * x" in capsys.readouterr().out


def test_the_example_of_the_file_counts_and_conditions_are_said(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["derive", f"{file}::rows", "--steps", "none"]) == 0
    shown = capsys.readouterr().out
    assert "dx = " in shown
    assert "Sizes: for N = 2 alone." in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["derive", "FILE::two", "--shapes", "x: N"], "returns 2 arrays"),
        (["derive", "FILE::tow", "--shapes", "x: N"], "two"),
        (["derive", "missing.py::f"], "there is no file"),
        (["derive", "Y = X @ W", "--result", "Y"], "--result says which output of a function"),
    ],
)
def test_refusals(file: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([a.replace("FILE", file) for a in arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(:", "this is no Python"),
        ("1 / 0", "ZeroDivisionError"),
        ("import missing_module", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails(tmp_path: Path, code: str, words: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(code)
    with pytest.raises(pullback.PullbackError) as refused:
        referenced(f"{path}::f")
    assert words in str(refused.value)


PAIRS = """
import numpy as np


def affine_forward(x, w):
    return x @ w


def affine_backward(dout, x, w):
    return dout @ w.T, x.T @ dout


def relu_fwd(x):
    return np.maximum(x, 0)


def relu_bwd(dout, x):
    return dout * (x > 0)


def forward_gate(x):
    return np.tanh(x)


def backward_gate(dout, x):
    return dout


def square(x):
    return x**2


def square_backward(dout, x):
    return 2 * x * dout


def alone_forward(x):
    return x


affine_inputs = [np.ones((2, 3)), np.ones((3, 4))]
inputs = [np.array([0.5, -2.0])]
"""


@pytest.mark.parametrize(
    ("name", "found", "count"),
    [
        ("affine", ["affine_forward", "affine_backward"], 2),
        ("affine_forward", ["affine_forward", "affine_backward"], 1),
        ("relu", ["relu_fwd", "relu_bwd"], 1),
        ("gate", ["forward_gate", "backward_gate"], 1),
        ("forward_gate", ["forward_gate", "backward_gate"], 1),
        ("square", ["square", "square_backward"], 1),
        ("square,relu_bwd", ["square", "relu_bwd"], 1),
        ("alone_forward", ["alone_forward"], 1),
    ],
)
def test_a_forward_stands_for_its_pair(tmp_path: Path, name: str, found: list[str], count: int) -> None:
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS)
    obj, inputs = referenced(f"{path}::{name}", pairs=True)
    assert [f.__name__ for f in (obj if isinstance(obj, tuple) else (obj,))] == found
    assert len(inputs) == count


@pytest.mark.parametrize(("name", "code"), [("affine", 0), ("gate", 1), ("square", 0)])
def test_the_command_line_checks_a_pair_by_one_name(tmp_path: Path, name: str, code: int) -> None:
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS)
    assert main(["check", f"{path}::{name}"]) == code


SETTINGS = """
from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Settings:
    scale: float = 2.0


def forward(x):
    return x * Settings().scale


def backward(dy, x):
    return dy * Settings().scale
"""


def test_a_file_may_hold_dataclasses_and_run_twice(tmp_path: Path) -> None:
    path = tmp_path / "settings_of_a_layer.py"
    path.write_text(SETTINGS, encoding="utf-8")
    for _ in range(2):
        verdict = pullback.check(referenced(f"{path}::forward,backward")[0], [np.ones((2, 3))])
        assert verdict.ok
