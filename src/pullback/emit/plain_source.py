"""Source of the backward pass as one plain function: what a person would write for NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pullback.derivation import Derived
from pullback.emit.body import inputs_read, kinds, ranks, sizes_read, write
from pullback.emit.repeated import named_once
from pullback.emit.running_forms import for_running
from pullback.emit.sizes_source import shape_text, size_lines, size_sources
from pullback.emit.spelling import Speller
from pullback.emit.target import NUMPY, Target
from pullback.errors import DomainProblem
from pullback.expression import Tensor
from pullback.formula import Statement, gradient_program

FUNCTION = "backward"


@dataclass(frozen=True, slots=True)
class Source:
    """A module's text, and how its function is called."""

    text: str
    function: str
    parameters: tuple[str, ...]  # inputs and the upstream gradient, in order
    sizes: tuple[str, ...]  # sizes that no input shows, passed by keyword
    results: tuple[str, ...]  # the inputs whose gradients are returned, in order


def plain_source(
    derived: Derived,
    wrt: Sequence[str] | None = None,
    target: Target = NUMPY,
    function: str = FUNCTION,
) -> Source:
    """Source of `backward(inputs…, dY)`, which returns the gradients of `wrt` in order."""
    wanted = [tensor for tensor in derived.wrt if wrt is None or tensor.name in wrt]
    if not wanted:
        what = "the program has no real input, so there is no backward pass to write"
        raise DomainProblem(what, hint="gradients are taken by real inputs, not by integers")
    running, _ = for_running(derived)
    lines = named_once(gradient_program(running, [tensor.name for tensor in wanted], with_forward=True))
    results = {tensor.name: Tensor(f"d{tensor.name}", tensor.shape) for tensor in wanted}
    summary = f"The backward pass of {title(derived)}."
    return lines_source(running, lines, results, summary, function, target)


def lines_source(
    derived: Derived,
    lines: Sequence[Statement],
    results: Mapping[str, Tensor],
    summary: str,
    function: str = FUNCTION,
    target: Target = NUMPY,
) -> Source:
    """Source of a function that runs the lines and returns the tensors in `results`, in order.

    The keys of `results` are what a caller asks by; `summary` is the first line of the docstring.
    """
    parameters = _parameters(derived, lines, target)
    real = [tensor.name for tensor in parameters if not tensor.is_integer]
    speller = target.speller("dtype" if target is NUMPY else real[0], kinds(derived), ranks=ranks(derived))
    written = write(lines, speller)
    shown = set(size_sources(parameters))
    used = sizes_read(written, derived)
    hidden = sorted(used - shown)
    body = [line for each in written for line in each.lines]
    body = [*_prefix(speller, used & shown, parameters, body), *body]
    returned = [speller.name(tensor.name) for tensor in results.values()]
    body.append(f"return {', '.join(returned)}")
    arguments = [f"{speller.name(t.name)}: {target.annotation(t)}" for t in parameters]
    if hidden:
        arguments += ["*", *(f"{name}: int" for name in hidden)]
    top = head(function, arguments, [target.real] * len(results))
    text = _module(target, top, summary, list(results.values()), parameters, body, speller.called())
    names = tuple(tensor.name for tensor in parameters)
    return Source(text, function, names, tuple(hidden), tuple(results))


def _parameters(derived: Derived, lines: Sequence[Statement], target: Target) -> list[Tensor]:
    """The inputs that the lines read, those that are needed for a size or a type, and the upstream gradient."""
    chosen = inputs_read(lines, derived.program.inputs)
    needed = sizes_read(write(lines, target.speller("dtype", kinds(derived), ranks=ranks(derived))), derived)
    for tensor in derived.program.inputs:
        missing = needed - set(size_sources(chosen))
        if tensor not in chosen and missing & set(size_sources([tensor])):
            chosen.append(tensor)
    if derived.upstream is not None:
        chosen.append(derived.upstream)
    if target is not NUMPY and all(tensor.is_integer for tensor in chosen):
        chosen += [tensor for tensor in derived.program.inputs if not tensor.is_integer][:1]
    return chosen


def _prefix(speller: Speller, used: set[str], parameters: Sequence[Tensor], body: Sequence[str]) -> list[str]:
    """The lines that read sizes and the floating type off the parameters."""
    called = [Tensor(speller.name(tensor.name), tensor.shape, tensor.values) for tensor in parameters]
    prefix = size_lines(used, called)
    if speller.like == "dtype" and any(_mentions(line, "dtype") for line in body if not line.startswith("#")):
        real = [tensor.name for tensor in called if not tensor.is_integer]
        prefix.append(f"dtype = np.result_type({', '.join(real)})" if real else "dtype = float")
    return prefix


def _mentions(text: str, name: str) -> bool:
    padded = "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
    return name in padded


def head(function: str, arguments: Sequence[str], results: Sequence[str]) -> str:
    """The line or lines of `def`."""
    returned = results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]"
    text = f"def {function}({', '.join(arguments)}) -> {returned}:"
    if len(text) > 100:
        text = f"def {function}(\n    " + ",\n    ".join(arguments) + f",\n) -> {returned}:"
    return text


def _module(
    target: Target,
    top: str,
    summary: str,
    results: Sequence[Tensor],
    parameters: Sequence[Tensor],
    body: Sequence[str],
    helpers: Sequence[str],
) -> str:
    shapes = ", ".join(f"{tensor.name}: {shape_text(tensor)}" for tensor in parameters)
    outputs = ", ".join(f"{tensor.name}: {shape_text(tensor)}" for tensor in results)
    written = [target.speller.helpers_of_target[name] for name in helpers]
    lines = [
        *target.header([*written, *body]),
        "",
        *written,
        "",
        top,
        f'    """{summary}',
        "",
        f"    {shapes}",
        f"    returns {outputs}",
        '    """',
        *(f"    {line}" for line in body),
    ]
    return "\n".join(lines) + "\n"


def title(derived: Derived) -> str:
    """The program on one line; the name of its output where that would be long."""
    own = [d.source.strip() for d in derived.program.definitions if d.source]
    text = "; ".join(own)
    return (
        (text if len(text) <= 70 else f"{derived.program.output.name}")
        .replace("\\", "\\\\")
        .replace('"', "'")
    )
