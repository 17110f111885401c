"""A NumPy-style function as a program: it is run once on recording arrays, and what it computed is written down."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.capture.arguments import Arguments, Leaf, arguments_of, trial_sizes, value_of
from pullback.capture.arrays import Array, Kind
from pullback.capture.captured import Captured, verify
from pullback.capture.exchanged import recording
from pullback.capture.listing import Listing
from pullback.capture.session import FOREIGN, Pinned, Quotients, at_line, session
from pullback.capture.subscripts import WholeNumbers
from pullback.capture.tracers import Dim, Traced, lifted
from pullback.capture.watching import watching
from pullback.errors import DomainProblem, InternalProblem, PullbackError, ShapeProblem
from pullback.expression import Num, Size, mul, num
from pullback.reading.shapes import parse_size
from pullback.sizes import evaluate_size, size_text
from pullback.tracing.numbers import Untraceable
from pullback.tracing.numpy_pair import CODE_ERRORS

ATTEMPTS: Final = 12


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run recorded: the inputs, and the outputs by name."""

    inputs: tuple[Array, ...]
    outputs: Mapping[str, Array]
    sizes: Mapping[str, int]
    with_data: Callable[[Captured], Captured] | None = None  # where some inputs are computed by the code


Tracer = Callable[[Arguments, Mapping[str, int], Quotients], Trace]


def capture_numpy(
    f: Any,
    given: Any = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, Any] | None = None,
    output: int | str | None = None,
) -> Captured:
    """The program that a NumPy-style function stands for.

    given: shapes by name, or an example; output: which result is meant where there are several.
    Raises `Untraceable` with the line of the code where it cannot be recorded.
    """
    arguments = arguments_of(f, given, integers, assume)
    copy = recording(getattr(f, "traced", f))

    def trace(wanted: Arguments, sizes: Mapping[str, int], quotients: Quotients) -> Trace:
        return _traced(copy, wanted, sizes, quotients)

    return captured_by(trace, f, arguments, output)


def _traced(f: Any, arguments: Arguments, sizes: Mapping[str, int], quotients: Quotients) -> Trace:
    inputs: list[Array] = []

    def give(leaf: Leaf) -> Traced:
        inputs.append(input_of(leaf, sizes))
        return Traced(inputs[-1])

    with session(dict(sizes), quotients):
        try:
            with watching(), np.errstate(all="ignore"):
                result = arguments.call(f, give)
        except CODE_ERRORS as error:
            raise located(f"the function fails: {type(error).__name__}: {error}", error) from error
        except PullbackError as error:
            raise _placed(error) from None
        return Trace(tuple(inputs), dict(_outputs(result)), sizes)


def input_of(leaf: Leaf, sizes: Mapping[str, int]) -> Array:
    """The recorded array for an argument."""
    kind: Kind = "integer" if leaf.whole else "real"
    made = Array(leaf.shape, kind, "input", hint=leaf.name)
    if leaf.extent is not None:
        made.options["extent"] = leaf.extent
    if leaf.example is not None and leaf.example.dtype.kind in "iub" and not leaf.whole:
        made.options["constant"] = True
    if leaf.facts:
        made.options["facts"] = leaf.facts
    return made


def _outputs(result: Any) -> list[tuple[str, Array]]:
    """The arrays among the results, by name."""
    if isinstance(result, Traced | Dim | int | float | np.number):
        return [("", lifted(result))]
    if isinstance(result, Mapping):
        pairs = list(result.items())
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        pairs = list(zip(result._fields, result, strict=True))
    elif isinstance(result, tuple | list):
        pairs = [(str(k), part) for k, part in enumerate(result)]
    else:
        raise DomainProblem(f"the function returns {type(result).__name__}, which is no array")
    return [(str(key), part.array) for key, part in pairs if isinstance(part, Traced)]


# ---- errors of the code, with their place ---------------------------------------------------


def _frame(error: BaseException) -> tuple[str, int] | None:
    """The last line of the user's code that an error passed through."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).split(".")[0] not in FOREIGN
    ]
    return frames[-1] if frames else None


def located(message: str, error: BaseException, hint: str = "") -> Untraceable:
    """A refusal that names the line of the code."""
    place = _frame(error)
    if place is None:
        return Untraceable(message, hint=hint)
    return at_line(message, place, hint)


def _placed(error: PullbackError) -> PullbackError:
    if isinstance(error, Pinned | WholeNumbers):
        return error
    found = located(error.message, error, error.hint)
    return found if not isinstance(error, ShapeProblem) else ShapeProblem(found.message, hint=found.hint)


# ---- from a trace to a program that was held against the code -------------------------------


def captured_by(trace: Tracer, f: Any, arguments: Arguments, output: int | str | None) -> Captured:
    """The program, with sizes as symbols where the code allows it.

    Where it does not, sizes become multiples, or numbers; the notes say which.
    """
    notes: list[str] = []
    refused: PullbackError | None = None
    sizes = trial_sizes(arguments)
    for _ in range(ATTEMPTS):
        chosen = {name: sizes[0].get(name, 2) for name in arguments.sizes()}
        quotients: Quotients = {}
        try:
            return _checked(trace(arguments, chosen, quotients), f, arguments, output, notes)
        except WholeNumbers as error:
            arguments = arguments.with_whole(error.name)
        except Pinned as error:
            arguments = _pinned(arguments, error.sizes, chosen, notes)
        except (ShapeProblem, InternalProblem, Untraceable) as error:
            refused = refused or error
            mended = _divided(arguments, quotients, chosen, notes)
            if mended is not None:
                arguments, extra = mended
                sizes = [{**row, **extra} for row in sizes]
            elif len(sizes) > 1 and not isinstance(error, InternalProblem):
                sizes = sizes[1:]
            elif arguments.sizes():
                sizes = trial_sizes(arguments)
                runs = next((row for row in sizes if _runs(f, arguments, row)), None)
                if runs is None:
                    raise refused from None
                arguments = _pinned(arguments, arguments.sizes(), runs, notes)
                sizes = [runs]
            else:
                raise refused if not isinstance(error, InternalProblem) else error from None
    raise refused or InternalProblem("the code could not be written down")


def _pinned(arguments: Arguments, names: Any, sizes: Mapping[str, int], notes: list[str]) -> Arguments:
    values = {name: sizes[name] for name in names if name in sizes}
    if not values:  # they were sizes of an earlier attempt
        raise ShapeProblem(f"the code runs for some values of {', '.join(map(str, names))} alone")
    notes.append("for " + ", ".join(f"{name} = {n}" for name, n in values.items()) + " alone")
    return arguments.with_sizes({name: num(n) for name, n in values.items()})


def _divided(
    arguments: Arguments, quotients: Quotients, sizes: Mapping[str, int], notes: list[str]
) -> tuple[Arguments, dict[str, int]] | None:
    """The sizes that the code divides, as multiples of what it divides them by."""
    for a, b in quotients:
        if isinstance(a, Size) and a.name in arguments.sizes():
            other = f"{a.name}{size_text(b)}" if isinstance(b, Num) else f"{a.name}_{size_text(b)}"
            if not other.replace("_", "").isalnum() or other in arguments.sizes():
                continue
            notes.append(f"{a.name} = {size_text(b)}*{other}")
            count = max(sizes[a.name] // max(evaluate_size(b, sizes), 1), 1)
            return arguments.with_sizes({a.name: mul(b, Size(other))}), {other: count}
    return None


def _runs(f: Any, arguments: Arguments, sizes: Mapping[str, int]) -> bool:
    try:
        _values_of(
            f,
            arguments,
            {name: sizes.get(name, 2) for name in arguments.sizes()},
            np.random.default_rng(0),
            {},
            False,
        )
    except CODE_ERRORS:
        return False
    return True


def _values_of(
    f: Any, arguments: Arguments, sizes: Mapping[str, int], rng: Any, extents: Mapping[str, int], signed: bool
) -> Any:
    values: dict[str, Any] = {}

    def give(leaf: Leaf) -> Any:
        values[leaf.name] = value_of(leaf, sizes, rng, extents.get(leaf.name, 2), signed)
        return np.array(values[leaf.name])

    with np.errstate(all="ignore"):
        return arguments.call(f, give), values


def _checked(
    trace: Trace, f: Any, arguments: Arguments, output: int | str | None, notes: list[str]
) -> Captured:
    name, wanted = chosen_output(trace.outputs, output)
    listing = Listing(trace.sizes, [leaf.name for leaf in arguments.leaves()])
    captured = listing.captured(trace.inputs, wanted)
    captured = replace(
        captured, notes=(*captured.notes, *dict.fromkeys(notes)), assume=_facts(arguments, captured)
    )
    if trace.with_data is not None:
        captured = trace.with_data(captured)
    return held_against(captured, f, arguments, trace, name)


def _facts(arguments: Arguments, captured: Captured) -> dict[str, str]:
    facts = {
        captured.names[leaf.name]: leaf.facts for leaf in arguments.leaves() if leaf.name in captured.names
    }
    return {name: fact for name, fact in facts.items() if fact}


def chosen_output(outputs: Mapping[str, Array], wanted: int | str | None) -> tuple[str, Array]:
    """The one output that is meant. Raises `DomainProblem` where that is not clear."""
    if not outputs:
        raise DomainProblem("the function returns nothing that depends on its arguments")
    if wanted is None and len(outputs) == 1:
        return next(iter(outputs.items()))
    keys = list(outputs)
    by_name = {array.hint: key for key, array in outputs.items() if array.hint}
    if wanted is None:
        listed = ", ".join(f"{key} ({outputs[key].hint})" if outputs[key].hint else key for key in keys)
        raise DomainProblem(
            f"the function returns {len(keys)} arrays: {listed}", hint=f"output={keys[0]} says which one"
        )
    key = (
        str(wanted)
        if not isinstance(wanted, int)
        else str(wanted % max(map(int, keys)) if wanted < 0 else wanted)
    )
    key = key if key in outputs else by_name.get(key, key)
    if key not in outputs:
        raise DomainProblem(f"the function has no output {wanted}", hint=", ".join((*keys, *by_name)))
    return key, outputs[key]


def _picked(result: Any, name: str) -> Any:
    if name == "":
        return result
    if isinstance(result, Mapping):
        return next(part for key, part in result.items() if str(key) == name)
    if hasattr(result, "_fields") and name in result._fields:
        return getattr(result, name)
    return result[int(name)]


def held_against(captured: Captured, f: Any, arguments: Arguments, trace: Trace, name: str) -> Captured:
    """The program, if it gives what the code gives: at two examples of the same sizes, and at other sizes."""
    leaves = arguments.leaves()
    own = captured.names
    unread = _example(captured, leaves, trace.sizes, False)  # what the output does not need is given still

    def run(values: Mapping[str, Any]) -> Any:
        known = {**unread, **values}
        with np.errstate(all="ignore"):
            result = arguments.call(f, lambda leaf: np.array(known[own.get(leaf.name, f"?{leaf.name}")]))
        return np.asarray(_picked(result, name))

    examples: list[Mapping[str, Any]] = []
    grown = {k: n + step for (k, n), step in zip(trace.sizes.items(), (1, 3, 2, 4, 1, 2) * 8, strict=False)}
    for sizes, signed in ((trace.sizes, False), (trace.sizes, True), (grown, False), (grown, True)):
        example = _example(captured, leaves, sizes, signed)
        if _gives_numbers(run, example):
            examples.append(example)
    if not examples:
        raise Untraceable(
            "the code gives no finite value on examples between 0 and 1",
            hint="give an example of the arguments",
        )
    values = {**captured.values, **{n: v for n, v in examples[0].items() if n[:1] != "?"}}
    made = replace(captured, values=values)
    verify(made, run, examples)
    return replace(made, values={**made.values, **made.data_for(made.values)})


def _gives_numbers(run: Callable[[Mapping[str, Any]], Any], example: Mapping[str, Any]) -> bool:
    try:
        return bool(np.isfinite(run(example)).any())
    except CODE_ERRORS:
        return False


def _example(
    captured: Captured, leaves: list[Leaf], sizes: Mapping[str, int], signed: bool
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = {}
    for leaf in leaves:
        name = captured.names.get(leaf.name, f"?{leaf.name}")
        extent = captured.integers[name][1] if name in captured.integers else 2
        top = extent if isinstance(extent, int) else evaluate_size(parse_size(extent), sizes)
        found[name] = value_of(leaf, sizes, rng, top, signed)
    return found
