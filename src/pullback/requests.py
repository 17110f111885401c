"""What a command is asked to work on: a program as text, a file, standard input, or a function of a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pullback.api import Derivation, derive
from pullback.arguments import asked, given_beside, names_in, pairs
from pullback.errors import NameProblem, PullbackError, SyntaxProblem, nearest
from pullback.limits import MAX_CHARACTERS, demand
from pullback.referencing import is_reference, referenced

if TYPE_CHECKING:
    from pullback.second_order import Differential

MAX_SIZE: Final = 10**9  # of one axis given with --sizes


def derivation_of(options: argparse.Namespace) -> Derivation:
    """Of a program, or of a function of a file; its shapes may be those of the file's example."""
    if not is_reference(options.program):
        if options.result is not None:
            raise SyntaxProblem("--result says which output of a function is meant", hint="FILE.py::function")
        return derive(read_text(options.program), wrt=names_in(options.wrt), **given_beside(options))
    obj, example = referenced(options.program)
    given = given_beside(options)
    if options.shapes is not None:
        given["shapes"] = pairs(options.shapes, "--shapes", '"X: N D"')
    elif example is not None:
        given["shapes"] = example
    return derive(obj, wrt=names_in(options.wrt), output=options.result, **given)


def differential_of(options: argparse.Namespace, derivation: Derivation) -> Differential | None:
    """The Jacobian, Hessian or product with a direction that was asked for; None for gradients."""
    wanted = asked(options)
    if wanted is None:
        if options.dense:
            raise SyntaxProblem("--dense writes a Jacobian or Hessian out", hint="--jacobian x --dense")
        return None
    for option in ("wrt", "sizes"):
        if getattr(options, option) is not None:
            raise SyntaxProblem(f"--{option} goes with gradients, not with --{wanted.kind}")
    match wanted.kind:
        case "jacobian":
            return derivation.jacobian(*wanted.by)
        case "hessian":
            return derivation.hessian(*wanted.by)
        case "jvp":
            return derivation.jvp(wanted.directions)
        case "hvp":
            return derivation.hvp(wanted.directions)


def read_text(program: str) -> str:
    """The program: stdin for `-`, the content of a file of that name, or the text itself."""
    if program == "-":
        text = sys.stdin.read(MAX_CHARACTERS + 1)
    elif "\n" not in program and os.path.isfile(program):
        try:
            with open(program, encoding="utf-8") as file:
                text = file.read(MAX_CHARACTERS + 1)
        except UnicodeDecodeError:
            raise SyntaxProblem(f"{program} does not hold UTF-8 text") from None
        except OSError as problem:
            raise PullbackError(f"{program} cannot be read: {problem.strerror}") from None
    else:
        text = program
    demand(len(text), MAX_CHARACTERS, "characters of the program")
    return text


def checked_sizes(sizes: Mapping[str, int], derivation: Derivation) -> dict[str, int]:
    """The sizes, each known to the program, at least 1 and at most `MAX_SIZE`."""
    known = derivation.program.sizes
    for name, value in sizes.items():
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"the sizes are {', '.join(known) or 'none'}"
            raise NameProblem(f"{name} is not a size of the program", hint=hint)
        if value < 1:
            raise SyntaxProblem(f"size {name} is {value}, and a size here is at least 1", hint=f"{name}=2")
        demand(value, MAX_SIZE, f"size {name}", hint=f"{name}=2")
    return dict(sizes)
