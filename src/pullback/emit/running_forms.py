"""The form in which a derivation runs: what would overflow, cancel or divide zero by zero is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pullback.derivation import Derived
from pullback.expression import Definition
from pullback.matrix import matrix_line
from pullback.naming import Names
from pullback.rewriting import MatrixLine, Step
from pullback.sharing import without_named_sums
from pullback.stabilising import stable_definitions


def for_running(derived: Derived) -> tuple[Derived, tuple[Step, ...]]:
    """The derivation with every line in stable form, and a step for each line that changed.

    A formula that people publish may hold `log(M)` or `1 - p` where M underflows or p is nearly 1; the code
    that runs holds an equal form that keeps its digits.
    """
    names = Names(derived.program)
    # The laws see through functions that have a name, not through sums that only have one for being repeated.
    written = without_named_sums(derived.backward, derived.program.by_name)
    names.taken |= {definition.tensor.name for definition in written}
    forward = stable_definitions(derived.program.definitions, (), names, deep=True)
    given = forward.definitions
    backward = stable_definitions(written, given, names, deep=True, gradients=True)
    steps = (*forward.steps, *backward.steps)
    if not steps:
        return derived, ()
    before = {d.tensor: d for d in (*derived.program.definitions, *derived.backward)}
    changed = [d for d in (*forward.definitions, *backward.definitions) if before.get(d.tensor) != d]
    program = replace(derived.program, definitions=forward.definitions)
    lines = _relined(derived, changed)
    return replace(derived, program=program, backward=backward.definitions, lines=lines), steps


def _relined(derived: Derived, changed: Sequence[Definition]) -> dict[str, MatrixLine]:
    lines = dict(derived.lines)
    for definition in changed:
        lines.pop(definition.tensor.name, None)
        line = matrix_line(definition)
        if line is not None:
            lines[definition.tensor.name] = line
    return lines
