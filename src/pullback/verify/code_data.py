"""Which arrays are data: labels, masks and statistics, for which a backward returns None on purpose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pullback.tracing.passes import CodeProblem, Pass
from pullback.verify.values import FIXED, character

NAMES: Final = re.compile(
    r"(.*_)?(targets?|labels?|masks?|truth|y_true|gt|tgt|cos|sin|freqs?)(_.*)?|(ref|reference|running|teacher)_.*"
)


def leave_data_out(code: Pass, args: Sequence[Any]) -> None:
    """Take the arrays out of `wrt` whose gradient is None, and whose name or values are those of data.

    For an example of which nothing says what is to be differentiated by.
    """
    try:
        run = code.run(args, lambda shapes: [np.ones(s) for s in shapes], light=True)
    except CodeProblem:
        return
    if len(run.grads) != len(code.wrt):
        return
    pairs = zip(code.wrt, run.grads, strict=True)
    data = [p for p, g in pairs if g is None and _is_data(code.names[p], args[p])]
    rest = tuple(p for p in code.wrt if p not in data)
    if data and rest:
        code.wrt = rest
        listed = ", ".join(code.names[p] for p in data)
        code.notes.append(f"{listed}: returned as None, and taken for data; wrt asks for the gradient")


def _is_data(name: str, x: Any) -> bool:
    return character(x) in FIXED or NAMES.fullmatch(name.lower()) is not None
