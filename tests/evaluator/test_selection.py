"""Points at which all roots exist are found stage by stage, so that deep programs are checked exactly."""

from __future__ import annotations

from pullback import derive
from pullback.evaluator.selection import selected
from pullback.reading import read_program

NORMS = """
C = X - mean(X, axis=1, keepdims=True)
H = C / sqrt(mean(C ** 2, axis=1, keepdims=True) + 1e-5)
A = H @ W
Y = A / sqrt(mean(A ** 2, axis=1, keepdims=True) + 1e-5)
B = Y @ V
Z = B / sqrt(mean(B ** 2, axis=1, keepdims=True))
L = sum(Z * sum(Z, axis=0, keepdims=True))
"""
SHAPES = {"X": "N 4", "W": "4 4", "V": "4 4"}


def test_every_definition_has_a_value_at_selected_points() -> None:
    program = read_program(NORMS, shapes=SHAPES)
    interpreter = selected(program.definitions, program.inputs, {"N": 4}, 1, 8)
    assert interpreter is not None
    assert 1 <= interpreter.domain.batch <= 8
    for definition in program.definitions:
        value = interpreter.tensor(definition.tensor.name)
        assert interpreter.domain.difference(value, value)[1].all()


def test_three_norms_in_a_row_are_checked_exactly() -> None:
    derivation = derive(NORMS, SHAPES)
    assert {step.status for step in derivation.steps} == {"exact"}
    assert derivation.report.numerical == 0


def test_no_point_is_selected_where_there_is_none() -> None:
    program = read_program("Y = sqrt(-X * X)", shapes={"X": "N"})
    assert selected(program.definitions, program.inputs, {"N": 2}, 1, 4) is None
