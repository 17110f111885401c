"""A number of the code as an expression of the language."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pullback.errors import DomainProblem
from pullback.tracing.constants import Constant, recognised


def number_text(x: float | int | bool) -> str:
    """A number as an expression of the language.

    >>> number_text(0.5**0.5), number_text(2.0), number_text(1 / 3), number_text(1e-5)
    ('1 / sqrt(2)', '2', '1 / 3', '1e-05')
    """
    if isinstance(x, bool | int):
        return str(int(x))
    if not np.isfinite(x):
        raise DomainProblem(f"the constant {x} has no meaning in the language", hint="where(condition, a, b)")
    if x == int(x) and abs(x) < 1e15:
        return str(int(x))
    c = recognised(x)
    if c == Constant(Fraction(repr(x))):
        return repr(x)
    return _exact_text(c)


def _exact_text(c: Constant) -> str:
    top, below = c.fraction.numerator, c.fraction.denominator
    if c.root:
        square = top * below
        sign = "-" if c.negative else ""
        if c.pi:
            text = f"pi * {top}" if c.pi > 0 else f"{top} / pi"
            return f"{sign}sqrt({text} / {below})" if below > 1 else f"{sign}sqrt({text})"
        if top == 1:
            return f"{sign}1 / sqrt({below})"
        return f"{sign}sqrt({square}) / {below}" if below > 1 else f"{sign}sqrt({top})"
    if c.pi:
        text = f"{top} * pi" if c.pi > 0 else f"{top} / pi"
        return f"{text} / {below}" if below > 1 else text
    if below > 10_000:
        return repr(float(c.fraction))
    return f"{top} / {below}" if below > 1 else str(top)
