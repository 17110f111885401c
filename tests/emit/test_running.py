"""Emitted code is parsed again before it runs; what was tampered with is refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pullback.api import derive
from pullback.emit import run_source
from pullback.errors import InternalProblem

SOURCE = derive("Y = X @ W").emit()


def test_untouched_source_runs() -> None:
    backward = run_source(SOURCE, "backward")
    dX, dW = backward(np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4)))
    assert (dX.shape, dW.shape) == ((2, 3), (3, 4))
    assert "dW = X.T @ dY" in inspect.getsource(backward)


TAMPERED = [
    "dX = __import__('os')",
    "dX = ().__class__",
    "dX = X.__class__",
    "dX = X._data",
    "dX = np.__builtins__",
    "dX = X.tofile('a')",
    "dX = X.dump('a')",
    "dX = (lambda: 1)()",
    "dX = [x for x in X]",
    "dX = f'{X}'",
    "dX = {1: 2}",
    "dX = {1, 2}",
    "global dX",
    "del X",
    "raise X",
    "assert X",
    "for dX in X: pass",
    "while X: pass",
    "with X: pass",
    "try: pass\n    finally: pass",
    "yield X",
    "dX = (yield)",
    "dX = await X",
    "class C: pass",
    "dX = X if (y := X) else X",
    "dX: int = X",
    "dX += X",
]


@pytest.mark.parametrize("line", TAMPERED)
def test_what_is_never_emitted_is_refused(line: str) -> None:
    head, mark, tail = SOURCE.partition("    dX = ")
    assert mark
    text = f"{head}    {line}\n{mark}{tail}"
    with pytest.raises((InternalProblem, SyntaxError)):
        run_source(text, "backward")


def test_builtins_are_not_within_reach() -> None:
    text = SOURCE.replace("dW = X.T @ dY", "dW = open('a')")
    with pytest.raises(NameError):
        run_source(text, "backward")(np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4)))
