"""Whatever can be derived can be printed, in every form and with concrete sizes."""

from __future__ import annotations

import json

from derived_fixtures import REPORT
from hypothesis import given, settings

from pullback.derivation import derive_program
from pullback.formula import gradient_program
from pullback.reading import read_program
from pullback.render import latex, markdown, text, to_json
from pullback.testing import Sample, programs, small_sizes


@settings(max_examples=12)
@given(programs())
def test_every_form_prints_a_random_derivation(sample: Sample) -> None:
    program = read_program(sample.source, **sample.beside)
    found = derive_program(program)
    lines = {t.name: [str(s) for s in gradient_program(found, [t.name])] for t in found.wrt}
    sizes = small_sizes(program)
    assert text(found, REPORT, lines, ascii=True, sizes=sizes).isascii()
    assert latex(found, REPORT, lines, sizes=sizes).isascii()
    for gradient in (line for formula in lines.values() for line in formula):
        assert gradient in text(found, REPORT, lines, steps="none")
        assert gradient in markdown(found, REPORT, lines, steps="none")
    assert [g["lines"] for g in json.loads(to_json(found, None, lines))["gradients"]] == list(lines.values())
