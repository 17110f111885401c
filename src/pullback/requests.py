"""What a command is asked to work on: a program as text, a file, standard input, or a function of a file."""

from __future__ import annotations

import argparse
import os
import sys

from pullback.api import Derivation, derive
from pullback.arguments import given_beside, names_in, pairs
from pullback.errors import PullbackError, SyntaxProblem
from pullback.limits import MAX_CHARACTERS, demand
from pullback.referencing import is_reference, referenced


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
