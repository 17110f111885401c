"""The command line: `pullback derive | claim | check | emit | show`.

Exit codes: 0 right or done, 1 wrong, 2 unknown or bad input. argparse, because it is there: the time to
start counts more here than what a larger library offers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pullback import render
from pullback.arguments import (
    asked,
    check_options,
    claims_of_kind,
    given_beside,
    integer_tensors,
    kind_options,
    names_in,
    pairs,
)
from pullback.errors import PullbackError, SyntaxProblem
from pullback.later import Later
from pullback.progress import working
from pullback.reading import parse_sizes
from pullback.render.names import ascii_text
from pullback.requests import checked_sizes, derivation_of, differential_of, read_text

if TYPE_CHECKING:
    from pullback import catalogue, checking, claiming, laws, loading, mending, proofreading, showing
    from pullback.second_order import Differential
else:
    catalogue, checking, claiming, laws, loading, mending, proofreading, showing = (
        Later(f"pullback.{name}")
        for name in (
            "catalogue",
            "checking",
            "claiming",
            "laws",
            "loading",
            "mending",
            "proofreading",
            "showing",
        )
    )

RIGHT, WRONG, UNKNOWN = 0, 1, 2
INTERRUPTED: Final = 130
NARROWEST, USUAL, WIDEST = 60, 100, 120


class Answer(NamedTuple):
    """What a command prints, the same in ASCII for a terminal without the other signs, and its exit code."""

    text: str
    plain: str | Callable[[], str]
    code: int = RIGHT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is returned."""
    options = parser().parse_args(arguments)
    try:
        with working(options.command, sys.stderr):
            answer: Answer = options.run(options)
        return finish(options, answer)
    except PullbackError as problem:
        return refuse(problem, as_json=getattr(options, "format", "") == "json")
    except KeyboardInterrupt:
        return INTERRUPTED


# ---- what can be asked ----------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(prog="pullback", description="Derive, prove and check backward passes.")
    commands = top.add_subparsers(metavar="command", dest="command", required=True)
    made = commands.add_parser("derive", help="the backward pass of a program, step by step")
    _program_options(made)
    _function_options(made)
    made.add_argument("--wrt", metavar="X,W", help="the inputs to differentiate by; default: every real one")
    kind_options(made, "instead of gradients:")
    made.add_argument("--dense", action="store_true", help="with --jacobian or --hessian: zeros written out")
    made.add_argument("--sizes", metavar="N=2,D=3", help="costs as numbers, and small tensors entry by entry")
    forms = ("text", "latex", "markdown", "json")
    made.add_argument("--format", choices=forms, default="text", help="default: text")
    made.add_argument("--json", action="store_const", const="json", dest="format", help="--format json")
    made.add_argument("--ascii", action="store_true", help="text in ASCII alone")
    made.add_argument("--steps", choices=("all", "short", "none"), default="all", help="default: all")
    _output_options(made)
    made.set_defaults(run=run_derive)
    _claim_command(commands)
    _check_command(commands)
    source = commands.add_parser("emit", help="the backward pass as source code")
    _program_options(source)
    _function_options(source)
    source.add_argument("--target", default="numpy", metavar="numpy|torch|jax", help="default: numpy")
    source.add_argument("--name", metavar="NAME", help="what the function is called, such as layer_norm")
    source.add_argument(
        "--test", action="store_true", help="the test file instead; with -o, both: FILE and test_FILE"
    )
    source.add_argument("--wrt", metavar="X,W", help="the inputs to differentiate by")
    _output_options(source)
    source.set_defaults(run=run_emit)
    _show_command(commands, forms)
    return top


def _claim_command(commands: Any) -> None:
    judged = commands.add_parser(
        "claim", help="whether gradients, or the lines of a derivation, are right: exit code 0, 1 or 2"
    )
    _program_options(judged)
    judged.add_argument(
        "claims", nargs="*", metavar="CLAIM", help='"dW = X.T @ dY", or a derivation in a file'
    )
    judged.add_argument("--law", choices=("accumulation",), help="whether parts of a batch add up to it")
    judged.add_argument("--batch", metavar="B", help="with --law: the size that is split")
    rules = "mean, sum, size (its share of the batch), or a count such as sum(m)"
    judged.add_argument("--combine", metavar="RULE", default="mean", help=f"with --law: {rules}")
    kind_options(judged, "the claim is")
    judged.add_argument(
        "--json", action="store_const", const="json", dest="format", help="the verdict as JSON"
    )
    judged.set_defaults(run=run_claim)


def _check_command(commands: Any) -> None:
    checked = commands.add_parser(
        "check", help="whether a hand-written backward is right: exit code 0 right, 1 wrong, 2 unknown"
    )
    check_options(checked)
    checked.set_defaults(run=run_check)


def _show_command(commands: Any, forms: Sequence[str]) -> None:
    named = commands.add_parser("show", help="a named layer or loss, or the list of their names")
    named.add_argument("name", nargs="?", metavar="NAME", help="such as layer_norm; without it: the list")
    named.add_argument("--format", choices=forms, default="text", help="default: text")
    named.add_argument("--json", action="store_const", const="json", dest="format", help="--format json")
    named.add_argument("--ascii", action="store_true", help="text in ASCII alone")
    named.add_argument("--steps", choices=("all", "short", "none"), default="short", help="default: short")
    _output_options(named)
    named.set_defaults(run=run_show)


def _program_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "program",
        metavar="PROGRAM",
        help='text such as "Y = X @ W", a file, - for stdin, or FILE.py::function',
    )
    command.add_argument("--shapes", metavar='"X: N D, W: D M"', help="shapes of the inputs")
    command.add_argument("--integers", metavar='"t: B in V"', help="integer tensors: shape and range")
    command.add_argument("--assume", metavar='"S: spd"', help="facts, such as positive, symmetric, spd")
    command.add_argument("--ranges", metavar='"p: H-R+1"', help="ranges of indices that no slot shows")


def _function_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--result", metavar="NAME", help="of FILE.py::function: which output, of several")


def _output_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", metavar="FILE", help="write to a file that is not there yet")
    command.add_argument("--force", action="store_true", help="overwrite that file")


# ---- the commands ---------------------------------------------------------------------------


def run_derive(options: argparse.Namespace) -> Answer:
    derivation = derivation_of(options)
    differential = differential_of(options, derivation)
    if differential is not None:
        return _differential(options, differential, derivation.conditions)
    sizes = checked_sizes(parse_sizes(options.sizes), derivation) if options.sizes is not None else None
    derived, report = derivation.derived, derivation.report
    match options.format:
        case "json":
            shown = derivation.json(sizes=sizes)
            return Answer(f"{shown}\n", f"{json.dumps(json.loads(shown), indent=2)}\n")
        case "latex":
            shown = render.latex(derived, report, steps=options.steps, sizes=sizes)
            return Answer(shown, ascii_text(shown))
        case "markdown":
            shown = render.markdown(derived, report, steps=options.steps, sizes=sizes)
            return Answer(shown, ascii_text(shown))
    width = _width()

    def spelt(ascii: bool = True) -> str:
        return (
            render.text(derived, report, steps=options.steps, sizes=sizes, width=width, ascii=ascii)
            + derivation.conditions
        )

    return Answer(spelt(options.ascii), spelt)


def _differential(options: argparse.Namespace, found: Differential, conditions: str) -> Answer:
    """A Jacobian, Hessian or product with a direction, printed as gradients are."""
    dense: bool = options.dense
    match options.format:
        case "json":
            shown = found.json(dense=dense)
            return Answer(f"{shown}\n", f"{json.dumps(json.loads(shown), indent=2)}\n")
        case "latex":
            shown = found.latex(steps=options.steps, dense=dense)
            return Answer(shown, ascii_text(shown))
        case "markdown":
            shown = found.markdown(steps=options.steps, dense=dense)
            return Answer(shown, ascii_text(shown))

    def spelt(ascii: bool = True) -> str:
        page = found.text(steps=options.steps, ascii=ascii, dense=dense, width=_width())
        return page + conditions

    return Answer(spelt(options.ascii), spelt)


def run_claim(options: argparse.Namespace) -> Answer:
    program, given = read_text(options.program), given_beside(options)
    verdict: claiming.Verdict | proofreading.Proofreading | laws.Accumulation
    if options.law is not None:
        if options.batch is None or options.claims:
            raise SyntaxProblem("--law accumulation splits a size of one program", hint="--batch B")
        verdict = laws.accumulates(program, options.batch, options.combine, **given)
    elif not options.claims and asked(options) is None:
        verdict = proofreading.proofread(program, **given)
    elif len(options.claims) == 1 and os.path.isfile(options.claims[0]):
        verdict = proofreading.proofread(read_text(options.claims[0]), program, **given)
    else:
        verdict = _claimed(options, program, given)
    code = {True: RIGHT, False: WRONG, None: UNKNOWN}[verdict.ok]
    shown = verdict.json() if options.format == "json" else verdict.explain()
    return Answer(f"{shown}\n", f"{ascii_text(shown)}\n", code)


def _claimed(
    options: argparse.Namespace, program: str, given: dict[str, Any]
) -> claiming.Verdict | proofreading.Proofreading:
    """Claims in the language; what is not, such as `∂L/∂W = Xᵀ dY`, is read as people write it."""
    try:
        claims, kind = claims_of_kind(options)
        return claiming.claim(program, claims, **kind, **given)
    except SyntaxProblem:
        if asked(options) is not None:
            raise
        lines = "\n".join([*program.split(";"), *options.claims])
        with suppress(PullbackError):
            report = proofreading.proofread(f"```\n{lines}\n```", **given)
            if not report.unreadable:
                return report
        raise


def run_check(options: argparse.Namespace) -> Answer:
    if options.mended and not options.mend:
        raise SyntaxProblem("-o writes the mended code", hint="--mend -o FILE")
    if options.mended:
        demand_free(options.mended, force=options.force)
    shapes = None if options.shapes is None else pairs(options.shapes, "--shapes", '"x: N D"')
    integers = None if options.integers is None else integer_tensors(options.integers)
    obj, inputs = loading.loaded(options.reference, shapes, integers, loading.values_of(options.set))
    wrt = names_in(options.wrt)
    verdict = checking.check(obj, inputs, shapes=shapes, wrt=wrt)
    code = {True: RIGHT, False: WRONG, None: UNKNOWN}[verdict.ok]
    source, why = _mended(options, obj, inputs) if options.mend else (None, "")
    if options.format == "json":
        found = json.loads(verdict.json())
        shown = json.dumps(found if source is None else {**found, "mended": source})
    else:
        below = why or ("" if source is None or options.mended else source.rstrip())
        shown = verdict.explain() + (f"\n\n{below}" if below else "")
    return Answer(f"{shown}\n", f"{ascii_text(shown)}\n", code)


def _mended(options: argparse.Namespace, obj: Any, inputs: Any) -> tuple[str | None, str]:
    """The right code, written to the file that was asked for; where it cannot be, why."""
    try:
        source: str = mending.mended(obj, inputs, wrt=names_in(options.wrt))
    except PullbackError as problem:
        return None, f"No code is written: {problem}"
    if options.mended:
        write_file(options.mended, source, force=options.force)
    return source, ""


def run_emit(options: argparse.Namespace) -> Answer:
    derivation = derivation_of(options)
    if not options.test:
        shown = derivation.emit(options.target, name=options.name)
        return Answer(shown, ascii_text(shown))
    folder, file = os.path.split(options.output or "")
    tests = derivation.emit_tests(options.target, name=options.name, module=file.removesuffix(".py") or None)
    if not options.output:
        return Answer(tests, ascii_text(tests))
    path = os.path.join(folder, f"test_{file}")
    for name in (options.output, path):
        demand_free(name, force=options.force)
    write_file(path, tests, force=options.force)
    return Answer(derivation.emit(options.target, name=options.name), "")


def run_show(options: argparse.Namespace) -> Answer:
    if options.name is None:
        shown = showing.listing(options.format)
    else:
        shown = showing.page(
            catalogue.layer(options.name), options.format, steps=options.steps, width=_width()
        )
    if options.format == "json":
        shown = plain = f"{json.dumps(json.loads(shown), indent=2)}\n"
    elif options.format == "text" and options.name is not None:
        plain = showing.ascii_page(catalogue.layer(options.name), steps=options.steps, width=_width())
    else:
        plain = ascii_text(shown)
    return Answer(plain if options.ascii else shown, plain)


# ---- writing --------------------------------------------------------------------------------


def finish(options: argparse.Namespace, answer: Answer) -> int:
    """Print the answer, or write it to the file that was asked for."""
    if getattr(options, "output", None):
        write_file(options.output, answer.text, force=options.force)
    else:
        say(answer.text, answer.plain)
    return answer.code


def say(text: str, plain: str | Callable[[], str]) -> None:
    """Print, in ASCII where the terminal cannot show the text; a reader who has left is no error."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = plain() if callable(plain) else plain
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit; that must find an open file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def demand_free(path: str, *, force: bool) -> None:
    """Raise `PullbackError` where writing would overwrite a file unasked."""
    if os.path.exists(path) and not force:
        raise PullbackError(f"{path} exists already", hint="another name, or --force to overwrite it")


def write_file(path: str, text: str, *, force: bool) -> None:
    """Write to a temporary name beside the file, then move it into place."""
    demand_free(path, force=force)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as problem:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise PullbackError(f"{path} cannot be written: {problem.strerror}") from None


def refuse(problem: PullbackError, *, as_json: bool) -> int:
    """The message on stderr, as JSON on stdout too where JSON was asked for."""
    if as_json:
        line, column = problem.where or (None, None)
        error = {"message": problem.message, "line": line, "column": column, "hint": problem.hint or None}
        shown = json.dumps({"error": error}) + "\n"
        say(shown, shown)
    print(f"pullback: {problem}", file=sys.stderr)
    return UNKNOWN


def _width() -> int:
    """Columns of the page: those of the terminal within reason, or the usual ones in a file or a pipe."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return USUAL
    return min(max(columns, NARROWEST), WIDEST)
