"""What the arguments of a command say: claims by their keys, and lists of `name: entry`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pullback.errors import NameProblem, SyntaxProblem
from pullback.forwarded import Kind
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


class Asked(NamedTuple):
    """What is asked for beside gradients: a derivative by inputs (`by`), or one along directions."""

    kind: Kind
    by: tuple[str, ...] = ()
    directions: Mapping[str, str] = {}


def kind_options(command: argparse.ArgumentParser, subject: str) -> None:
    """The options that ask for another derivative than gradients, at most one of them at a time."""
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--jacobian", metavar="X", help=f"{subject} the Jacobian of the output by X")
    kind.add_argument("--hessian", metavar="X,W", help=f"{subject} the Hessian by X and W, or by X twice")
    kind.add_argument("--jvp", metavar="X=V", help=f"{subject} the output's derivative along V")
    kind.add_argument("--hvp", metavar="X=V", help=f'{subject} Hessian-vector products, "tdX = …"')


def check_options(checked: argparse.ArgumentParser) -> None:
    """What a check works on, and what becomes of the mended code."""
    checked.add_argument(
        "reference", metavar="FILE.py::Name", help="an autograd.Function, a custom_vjp, or forward,backward"
    )
    checked.add_argument(
        "--shapes", metavar='"x: N D"', help="random inputs; default: Name_inputs of the file"
    )
    checked.add_argument("--integers", metavar='"t: N in C"', help="random integers beside them")
    checked.add_argument(
        "--set", action="append", default=[], metavar="eps=1e-5", help="an argument that is no array"
    )
    checked.add_argument("--wrt", metavar="x,w", help="the inputs to differentiate by")
    checked.add_argument(
        "--json", action="store_const", const="json", dest="format", help="the verdict as JSON"
    )
    checked.add_argument("--mend", action="store_true", help="also the right code, written anew")
    checked.add_argument("-o", dest="mended", metavar="FILE", help="with --mend: write it to a new file")
    checked.add_argument("--force", action="store_true", help="overwrite that file")


def asked(options: argparse.Namespace) -> Asked | None:
    """Which of `kind_options` was given; None for gradients."""
    by_key: tuple[Kind, ...] = ("jacobian", "hessian")
    for kind in by_key:
        if (names := getattr(options, kind)) is not None:
            return Asked(kind, by=_by(kind, names))
    along: tuple[Kind, ...] = ("jvp", "hvp")
    for kind in along:
        if (text := getattr(options, kind)) is not None:
            return Asked(kind, directions=pairs(text.replace("=", ":"), f"--{kind}", '"x=v"'))
    return None


def _by(kind: Kind, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 2 or not all(name.isidentifier() for name in names):
        expected = {"jacobian": "x, or x,Y for that of Y", "hessian": "x, or x,w for the mixed one"}
        raise SyntaxProblem(f"`{text}` does not say which {kind} is meant", hint=f"--{kind} {expected[kind]}")
    return names


def claims_of_kind(options: argparse.Namespace) -> tuple[dict[str, str], dict[str, Any]]:
    """The claims by their keys, and what says of which kind they are."""
    if not options.claims:
        raise SyntaxProblem("there is no claim", hint='"dW = X.T @ dY"')
    wanted = asked(options)
    if wanted is None:
        return claims_of(options.claims), {}
    if wanted.by:
        if len(options.claims) > 1:
            raise SyntaxProblem("one Jacobian or Hessian is claimed at a time", hint='"J = A" --jacobian x')
        return {",".join(wanted.by): options.claims[0]}, {"kind": wanted.kind}
    kinds = {"kind": wanted.kind, "directions": dict(wanted.directions)}
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
