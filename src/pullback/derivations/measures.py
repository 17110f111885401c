"""How many entries a tensor has, and how many bytes they take: what is said, against what is so."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from pullback.derivations.handwriting import plain
from pullback.errors import SyntaxProblem
from pullback.evaluator import Float64, Interpreter
from pullback.expression import Expr, Size, mul, num
from pullback.reading.shapes import size_expression
from pullback.sizes import normal_size, same_size, size_text

BYTES: Final = 4  # of a number, where nothing else is said: 32-bit floating point
_PREFIXES: Final = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_QUANTITY: Final = re.compile(r"([\d.]+)\s*([kKMGT])?(i)?B")
_ROUGH: Final = re.compile(r"([\d.]+)\s*(thousand|million|billion|trillion|[kKMGT])?")
_WORDS: Final = {"thousand": 1, "million": 2, "billion": 3, "trillion": 4, **_PREFIXES}


def measured_as(
    shape: Sequence[Expr], in_bytes: bool, said: str, sizes: Mapping[str, int]
) -> tuple[str, str]:
    """(what is wrong, or nothing; a note): whether a tensor of this shape has the size that is said.

    A number is compared at the sizes that the text gives, to the digits in which it is written.
    """
    true = normal_size(mul(*shape, num(BYTES if in_bytes else 1)))
    written = plain(said).replace("·", "*").replace(",", "").strip()
    quantity = _QUANTITY.fullmatch(written) if in_bytes else _ROUGH.fullmatch(written)
    if quantity is None:
        try:
            stated = size_expression(ast.parse(written, mode="eval").body, Size)
        except SyntaxError:
            raise SyntaxProblem(f"`{said}` is no size", hint="N * M, or 256 GiB") from None
        if same_size(stated, true) or _at(stated, sizes) == (_at(true, sizes) or -1):
            return "", ""
        return f"size: it is {size_text(true)}, not {said.strip()}", ""
    exact = _at(true, sizes)
    if exact is None:
        raise SyntaxProblem("a number needs sizes", hint="N = 64, M = 4096")
    number, digits = Fraction(quantity[1]), len(quantity[1].partition(".")[2])
    for base in (1024, 1000) if in_bytes else (1000,):
        unit = base ** _WORDS.get(quantity[2] or "", 0)
        if abs(Fraction(exact, unit) - number) <= Fraction(1, 2 * 10**digits):
            binary = in_bytes and base == 1024 and quantity[2] and not quantity[3]
            return "", f"a {quantity[2]}B is 1024 to the power {_WORDS[quantity[2]]} here" if binary else ""
    return f"size: it is {exact:,}{' bytes' if in_bytes else ''}, not {said.strip()}", ""


def _at(size: Expr, sizes: Mapping[str, int]) -> int | None:
    """A size as a number, where every symbol in it has a value."""
    names = set(re.findall(r"[A-Za-z]\w*", size_text(size)))
    return Interpreter(Float64(), sizes, {}).size(size) if names <= set(sizes) else None
