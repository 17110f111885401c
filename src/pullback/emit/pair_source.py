"""A pair of plain NumPy functions: `forward`, which gives the output and a cache, and `backward`, which reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pullback.derivation import Derived
from pullback.emit.function_source import (
    Part,
    Slot,
    arguments,
    demanded,
    docstring,
    indented,
    part,
    scaled,
    slots_of,
    unpacked,
)
from pullback.emit.passes import Passes, passes
from pullback.emit.plain_source import Source, head
from pullback.emit.sizes_source import size_sources
from pullback.emit.target import NUMPY
from pullback.expression import Tensor

GRAD = "dout"


def pair_source(derived: Derived, forward: str, backward: str, slots: Sequence[Slot]) -> Source:
    """A module with `forward(*slots) -> (output, cache)` and `backward(dout, cache)`, by those names."""
    pair = passes(derived)
    upstream = pair.derived.upstream
    grad = GRAD if upstream is None or GRAD not in pair.derived.program.by_name else upstream.name
    names = {} if upstream is None else {upstream.name: grad}
    inputs = pair.derived.program.inputs
    first = part(pair.derived, pair.forward, inputs, NUMPY, like="dtype", names=names)
    passed, last = _last(pair, grad, names)
    spelt = first.speller
    cached = [spelt.name(tensor.name) for tensor in passed]
    shown = slots_of(pair.derived, spelt, slots)
    real = next(spelt.name(tensor.name) for tensor in inputs if not tensor.is_integer)
    hidden = sorted({*first.hidden, *last.hidden})
    tail = ",)" if len(cached) == 1 else ")"
    body = [
        *head(forward, arguments(shown, hidden, NUMPY), [NUMPY.real, "tuple[Any, ...]"]).split("\n"),
        *docstring(derived, shown),
        *indented([*demanded(shown), *_typed(first, f"{real}.dtype")], 1),
        f"    return {spelt.name(pair.output.name)}, ({', '.join([*cached, *hidden])}{tail}",
        "",
        "",
        *_backward_head(backward, grad, len(pair.results)),
        '    """The gradients of the arrays of floats, in order."""',
        *indented(unpacked([*cached, *hidden], [*cached, *hidden], "cache"), 1),
        *indented(_typed(last, f"{grad}.dtype"), 1),
        f"    return {', '.join(spelt.name(tensor.name) for tensor in pair.results.values())}",
    ]
    module = _module(body, (first, last))
    parameters = tuple(slot.name for slot in shown)
    return Source(module, backward, parameters, tuple(hidden), tuple(pair.results))


def _last(pair: Passes, grad: str, names: Mapping[str, str]) -> tuple[list[Tensor], Part]:
    """What goes into the cache, an input that shows a size included, and the body that reads it."""
    upstream, inputs = pair.derived.upstream, pair.derived.program.inputs
    statements = pair.backward
    if upstream is None:
        statements = scaled(statements, {tensor.name for tensor in pair.results.values()}, grad)

    def body(given: Sequence[Tensor]) -> Part:
        above = [upstream] if upstream is not None else []
        return part(pair.derived, statements, [*given, *above], NUMPY, like="dtype", names=names)

    sources = size_sources(inputs)
    showing = {sources[size].tensor for size in body(pair.saved).hidden if size in sources}
    passed = [*pair.saved, *(tensor for tensor in inputs if tensor.name in showing)]
    return passed, body(passed)


def _module(body: Sequence[str], parts: Sequence[Part]) -> str:
    """The imports, the helpers that the two functions call, and the functions."""
    called = {name for each in parts for name in each.speller.called()}
    helpers = [text for name, text in NUMPY.speller.helpers_of_target.items() if name in called]
    text = [*helpers, "", *body]
    module = "\n".join([*NUMPY.header(text, ["from typing import Any"]), "", *text]) + "\n"
    while "\n\n\n\n" in module:
        module = module.replace("\n\n\n\n", "\n\n\n")
    return module


def _backward_head(name: str, grad: str, results: int) -> list[str]:
    parameters = [f"{grad}: {NUMPY.real}", "cache: tuple[Any, ...]"]
    return head(name, parameters, [NUMPY.real] * results).split("\n")


def _typed(body: Part, dtype: str) -> list[str]:
    """The lines, after one that says the floating type where one of them asks for it."""
    asks = any("dtype" in line for line in body.lines if not line.startswith("#"))
    return [*([f"dtype = {dtype}"] if asks else []), *body.lines]
