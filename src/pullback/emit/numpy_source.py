"""NumPy source of the backward pass: the function a person would write."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pullback.derivation import Derived
from pullback.emit.index_source import IndexWriter
from pullback.emit.running_forms import for_running
from pullback.emit.sizes_source import shape_text, size_lines, size_sources
from pullback.emit.spelling import HELPERS, NEEDS, ToNumpy
from pullback.errors import DomainProblem
from pullback.expression import Tensor, sizes_in, tensors
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


def numpy_source(derived: Derived, wrt: Sequence[str] | None = None) -> Source:
    """Source of `backward(inputs…, dY)`, which returns the gradients of `wrt` in order."""
    wanted = [tensor for tensor in derived.wrt if wrt is None or tensor.name in wrt]
    if not wanted:
        what = "the program has no real input, so there is no backward pass to write"
        raise DomainProblem(what, hint="gradients are taken by real inputs, not by integers")
    running, _ = for_running(derived)
    lines = gradient_program(running, [tensor.name for tensor in wanted], with_forward=True)
    results = {tensor.name: Tensor(f"d{tensor.name}", tensor.shape) for tensor in wanted}
    return lines_source(running, lines, results, f"The backward pass of {_title(derived)}.")


def lines_source(
    derived: Derived,
    lines: Sequence[Statement],
    results: Mapping[str, Tensor],
    summary: str,
    function: str = FUNCTION,
) -> Source:
    """Source of a function that runs the lines and returns the tensors in `results`, in order.

    The keys of `results` are what a caller asks by; `summary` is the first line of the docstring.
    """
    parameters = _parameters(derived, lines)
    body, helpers, hidden = _body(derived, lines, parameters)
    head = _head(parameters, len(results), hidden, function)
    text = _module(head, summary, list(results.values()), parameters, body, helpers)
    names = tuple(tensor.name for tensor in parameters)
    return Source(text, function, names, tuple(hidden), tuple(results))


def _parameters(derived: Derived, lines: Sequence[Statement]) -> list[Tensor]:
    """The inputs that the lines read, those that are needed for a size, and the upstream gradient."""
    read = {tensor.name for line in lines for tensor in tensors(line.definition.body)}
    texts = " ".join(line.text for line in lines)
    read |= {tensor.name for tensor in derived.program.inputs if _mentions(texts, tensor.name)}
    chosen = [tensor for tensor in derived.program.inputs if tensor.name in read]
    shown = {name for tensor in chosen for name in size_sources([tensor])}
    for tensor in derived.program.inputs:
        missing = _sizes_of(lines) - shown
        if tensor not in chosen and missing & set(size_sources([tensor])):
            chosen.append(tensor)
            shown |= set(size_sources([tensor]))
    if derived.upstream is not None:
        chosen.append(derived.upstream)
    return chosen


def _mentions(text: str, name: str) -> bool:
    padded = "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
    return name in padded


def _sizes_of(lines: Sequence[Statement]) -> set[str]:
    """The sizes that stand in the text of the lines, or that index lines need for their ranges."""
    found: set[str] = set()
    for line in lines:
        if line.is_matrix:
            names = {node.id for node in ast.walk(ast.parse(line.text)) if isinstance(node, ast.Name)}
            body = sizes_in(line.definition.body) | {
                s for extent in line.definition.tensor.shape for s in sizes_in(extent)
            }
            found |= names & (body | names_of_sizes(line))
        else:
            found |= sizes_in(line.definition.body)
            found |= {s for index in line.definition.indices for s in sizes_in(index)}
    return found


def names_of_sizes(line: Statement) -> set[str]:
    """Sizes of every tensor that the line reads."""
    return {s for t in tensors(line.definition.body) for extent in t.shape for s in sizes_in(extent)}


def _body(
    derived: Derived, lines: Sequence[Statement], parameters: Sequence[Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """The lines of the function, the helpers they call, sizes that no input shows."""
    every = {name for tensor in parameters for extent in tensor.shape for name in sizes_in(extent)}
    known = set(derived.program.sizes) | every
    transform = ToNumpy("dtype")
    written: list[str] = []
    helpers: set[str] = set()
    used: set[str] = set()
    uses_dtype = False
    for line in lines:
        if line.is_matrix:
            tree = ast.parse(line.text, mode="eval").body
            used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & known
            new = ast.fix_missing_locations(transform.visit(tree))
            written.append(f"{line.target} = {ast.unparse(new)}".replace("'", '"'))
        else:
            writer = IndexWriter(line.definition)
            made = writer.lines()
            written += made
            helpers |= writer.helpers
            uses_dtype = uses_dtype or any("dtype" in text for text in made)
            used |= {name for text in made[1:] for name in known if _mentions(text, name)}
    helpers |= transform.helpers
    shown = size_sources(parameters)
    hidden = sorted(name for name in used if name not in shown)
    prefix = size_lines(used - set(hidden), parameters)
    uses_dtype = uses_dtype or transform.uses_dtype
    if uses_dtype:
        real = [tensor.name for tensor in parameters if not tensor.is_integer]
        prefix.append(f"dtype = np.result_type({', '.join(real)})" if real else "dtype = float")
    needed = sorted(helpers | {extra for name in helpers for extra in NEEDS.get(name, ())})
    return [*prefix, *written], needed, hidden


def _head(parameters: Sequence[Tensor], results: int, hidden: Sequence[str], function: str) -> str:
    """The line or lines of `def`."""
    arguments = [f"{t.name}: NDArray[np.{'integer' if t.is_integer else 'floating'}]" for t in parameters]
    if hidden:
        arguments += ["*", *(f"{name}: int" for name in hidden)]
    one = "NDArray[np.floating]"
    returned = one if results == 1 else f"tuple[{', '.join([one] * results)}]"
    head = f"def {function}({', '.join(arguments)}) -> {returned}:"
    if len(head) > 100:
        head = f"def {function}(\n    " + ",\n    ".join(arguments) + f",\n) -> {returned}:"
    return head


def _module(
    head: str,
    summary: str,
    results: Sequence[Tensor],
    parameters: Sequence[Tensor],
    body: Sequence[str],
    helpers: Sequence[str],
) -> str:
    shapes = ", ".join(f"{tensor.name}: {shape_text(tensor)}" for tensor in parameters)
    outputs = ", ".join(f"{tensor.name}: {shape_text(tensor)}" for tensor in results)
    imports = ["import math", ""] if "erf" in helpers or "gelu" in helpers else []
    lines = [
        *imports,
        "import numpy as np",
        "from numpy.typing import NDArray",
        "",
        *(HELPERS[name] for name in helpers),
        "",
        head,
        f'    """{summary}',
        "",
        f"    {shapes}",
        f"    returns {outputs}",
        '    """',
        *(f"    {line}" for line in body),
        f"    return {', '.join(tensor.name for tensor in results)}",
    ]
    return "\n".join(lines) + "\n"


def _title(derived: Derived) -> str:
    own = [d.source.strip() for d in derived.program.definitions if d.source]
    text = "; ".join(own)
    return (
        (text if len(text) <= 70 else f"{derived.program.output.name}")
        .replace("\\", "\\\\")
        .replace('"', "'")
    )
