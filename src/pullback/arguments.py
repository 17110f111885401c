"""What the arguments of a command say: claims by their keys, and lists of `name: entry`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, Final

from pullback.errors import NameProblem, SyntaxProblem
from pullback.reading import parse_shapes

KINDS_OF_CLAIM: Final = {"d": ("gradient", '"dW = X.T @ dY"'), "t": ("tangent", '"tdx = (A + A.T) @ v"')}


def claims_of(claims: Sequence[str], letter: str = "d") -> dict[str, str]:
    """Input -> claim, by the gradient `dX` that the last line of each claim defines, or the tangent `tX`."""
    found: dict[str, str] = {}
    for text in claims:
        lines = [line for line in re.split(r"[;\n]", text) if line.strip()]
        target = (
            re.match(rf"\s*{letter}([^\W\d]\w*)\s*(?:\[[^\]]*\])?\s*=(?!=)", lines[-1]) if lines else None
        )
        if target is None:
            what, example = KINDS_OF_CLAIM[letter]
            raise SyntaxProblem(f"a claim says which {what} it is", hint=example, source=text)
        if target[1] in found:
            raise NameProblem(f"{letter}{target[1]} is claimed twice")
        found[target[1]] = text
    return found


def claims_of_kind(options: argparse.Namespace) -> tuple[dict[str, str], dict[str, Any]]:
    """The claims by their keys, and what says of which kind they are."""
    if not options.claims:
        raise SyntaxProblem("there is no claim", hint='"dW = X.T @ dY"')
    by_key = options.jacobian or options.hessian
    if by_key is None and not options.jvp and not options.hvp:
        return claims_of(options.claims), {}
    if by_key is not None:
        if len(options.claims) > 1:
            raise SyntaxProblem("one Jacobian or Hessian is claimed at a time", hint='"J = A" --jacobian x')
        kind = "jacobian" if options.jacobian else "hessian"
        return {by_key: options.claims[0]}, {"kind": kind}
    along = options.jvp or options.hvp
    directions = pairs(along.replace("=", ":"), "--jvp" if options.jvp else "--hvp", '"x=v"')
    kinds = {"kind": "jvp" if options.jvp else "hvp", "directions": directions}
    return {f"t{name}": text for name, text in claims_of(options.claims, "t").items()}, kinds


def pairs(text: str, option: str, example: str) -> dict[str, str]:
    """`name: entry, name: entry` as a dictionary; a comma inside an entry does not separate."""
    found: dict[str, str] = {}
    for item in re.split(r"[,;\n](?=\s*[^\W\d]\w*\s*:)", text):
        name, colon, entry = (part.strip() for part in item.partition(":"))
        if not colon or not name.isidentifier() or not entry:
            raise SyntaxProblem(f"`{item.strip()}` is no entry of {option}", hint=example)
        if name in found:
            raise NameProblem(f"{name} is given twice in {option}")
        found[name] = entry
    return found


def integer_tensors(text: str) -> dict[str, tuple[str, str]]:
    """`t: B in V` as shape and range."""
    found = {}
    for name, entry in pairs(text, "--integers", '"t: B in V"').items():
        shape, word, size = entry.rpartition(" in ")
        if not word:
            raise SyntaxProblem(
                f"`{name}: {entry}` does not say the range of the integers", hint='"t: B in V"'
            )
        found[name] = (shape.strip(), size.strip())
    return found


def given_beside(options: argparse.Namespace) -> dict[str, Any]:
    """What stands beside the program, as `derive` and `claim` take it."""
    given: dict[str, Any] = {}
    if options.shapes is not None:
        given["shapes"] = parse_shapes(options.shapes)
    if options.integers is not None:
        given["integers"] = integer_tensors(options.integers)
    if options.assume is not None:
        given["assume"] = pairs(options.assume, "--assume", '"S: spd"')
    if options.ranges is not None:
        given["ranges"] = pairs(options.ranges, "--ranges", '"p: H-R+1"')
    return given


def names_in(text: str | None) -> list[str] | None:
    """Names separated by commas or blanks."""
    return None if text is None else [name for name in re.split(r"[,\s]+", text) if name]
