"""What a float written in code means: the exact number that its author had in mind.

`1e-5` is 1/100000, `1 / math.sqrt(3)` the root of 1/3, `math.sqrt(2 / math.pi)` the root of 2/π. A float that is
none of these is the decimal number that it prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

LARGEST: Final = 10_000  # denominator of a fraction that is recognised behind a rounded float
ROUNDING: Final = 4 * 2.0**-52


@dataclass(frozen=True, slots=True)
class Constant:
    """(fraction * π**pi), or its square root, with a sign."""

    fraction: Fraction
    pi: int = 0
    root: bool = False
    negative: bool = False


@lru_cache(maxsize=10_000)
def recognised(x: float, text: str = "") -> Constant:
    """The number behind a finite float; `text` is how a narrower float prints.

    >>> recognised(1 / 3).fraction
    Fraction(1, 3)
    >>> recognised(3**0.5)
    Constant(fraction=Fraction(3, 1), pi=0, root=True, negative=False)
    """
    printed = Fraction(text or repr(x))
    if printed.denominator <= LARGEST:
        return Constant(printed)
    simple = _near(x)
    if simple is not None:
        return Constant(simple)
    for pi in (1, -1):
        simple = _near(x / math.pi**pi)
        if simple is not None and simple.denominator <= 100:
            return Constant(simple, pi)
    for pi in (0, 1, -1):
        simple = _near(x * x / math.pi**pi)
        if simple is not None and simple.denominator <= 1000 and simple.numerator <= 1_000_000:
            return Constant(simple, pi, root=True, negative=x < 0)
    return Constant(printed)


def _near(x: float) -> Fraction | None:
    """The fraction of small denominator that rounds to `x`, if there is one."""
    found = Fraction(x).limit_denominator(LARGEST)
    return found if found and abs(float(found) - x) <= ROUNDING * abs(x) else None
