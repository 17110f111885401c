"""Whatever can be derived can be printed, in every form and with concrete sizes."""

from __future__ import annotations

import json

from derived_fixtures import REPORT
from hypothesis import given, settings

from pullback.derivation import derive_program
from pullback.formula import backward_program, gradient_program
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
    assert text(found, REPORT, ascii=True, sizes=sizes).isascii()
    assert latex(found, REPORT, sizes=sizes).isascii()
    whole = [str(line) for line in backward_program(found)]
    for line in whole:
        assert line in text(found, REPORT, steps="none")
        assert line in markdown(found, REPORT, steps="none")
    data = json.loads(to_json(found, None, lines))
    assert [gradient["lines"] for gradient in data["gradients"]] == list(lines.values())
    assert data["backward"]["lines"] == whole
