"""From text to a `Program`: declarations gathered, shapes inferred, each line lowered in its notation."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pullback.errors import (
    LimitProblem,
    NameProblem,
    PullbackError,
    ShapeProblem,
    SyntaxProblem,
)
from pullback.expression import Definition, Expr, Tensor, sizes_in
from pullback.functions import FUNCTIONS
from pullback.operators import OPERATORS
from pullback.program import Program
from pullback.reading.context import CONSTANTS, Context
from pullback.reading.declarations import Declarations, gather
from pullback.reading.facts import check_facts
from pullback.reading.index_notation import IndexLine
from pullback.reading.indexing import slots
from pullback.reading.inference import Inferred, infer
from pullback.reading.lines import is_index_line, names_in, subscripts, target_name
from pullback.reading.matrix_notation import TABLE, MatrixNotation
from pullback.reading.naming import words
from pullback.reading.shapes import parse_ranges
from pullback.reading.syntax import Source, parse, place_at
from pullback.sizes import same_size, shape_text

RESERVED: Final = frozenset({*TABLE, *FUNCTIONS, *OPERATORS, *CONSTANTS})


def read_program(
    source: str,
    *,
    shapes: Mapping[str, Any] | str | None = None,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, Any] | None = None,
    ranges: Mapping[str, Any] | None = None,
) -> Program:
    """Read a program: definitions in matrix or index notation, with declarations in it or beside it.

    `shapes` gives shapes of inputs (`{"X": "N D"}`), `integers` shape and range of integer tensors,
    `assume` facts, `ranges` the sizes of indices that never stand alone in a slot. Shapes that nobody
    gives are inferred where one reading is possible. Every error is a `PullbackError` with its place.

    >>> program = read_program("Y = X @ W", shapes={"X": "N D", "W": "D M"})
    >>> [tensor.name for tensor in program.inputs], program.output.name, program.sizes
    (['X', 'W'], 'Y', ('N', 'D', 'M'))
    """
    text, statements = parse(source)
    declared = gather(text, statements, shapes, integers, assume, ranges)
    if not declared.lines:
        what = "the program has no definition"
        raise SyntaxProblem(what, source=source, hint="one definition a line: Y = X @ W")
    _check_names(text, declared)
    inferred = infer(text, declared, RESERVED)
    inputs = _inputs(declared, inferred)
    context = _context(text, inputs, declared)
    _check_gradient_names(text, context.reserved - RESERVED - context.sizes)
    check_facts(text, context, context.reserved - RESERVED - context.sizes)
    for line in declared.lines:
        _read_line(context, line, declared.shapes.get(target_name(line)))
    return Program(
        tuple(inputs.values()),
        tuple(context.definitions),
        source,
        tuple(inputs[name] for name in inferred),
        declared.ranges,
    )


def read_lines(
    source: str,
    environment: Mapping[str, Tensor],
    *,
    sizes: Collection[str],
    ranges: Mapping[str, Any] | None = None,
    targets: Mapping[str, Tensor] | None = None,
    reserved: Collection[str] = (),
) -> tuple[Definition, ...]:
    """Read further definitions on top of known tensors, such as a claim or a gradient program.

    `targets` gives the tensors of names that are about to be defined: on the left of index notation
    their shapes give ranges, and a result of another shape is a `ShapeProblem` that names both. A bare
    expression as the last line defines the one target that is left. `reserved` names are kept from the
    hidden definitions. A line may define a name of the environment or a reserved one anew: the lines
    below it then mean the new tensor, which is given another name.

    >>> from pullback.expression import Size
    >>> X, dY = (Tensor(name, (Size("N"), Size("D"))) for name in ("X", "dY"))
    >>> [d.tensor.name for d in read_lines("S = X * dY; sum(S)", {"X": X, "dY": dY}, sizes=("N", "D"),
    ...                                    targets={"da": Tensor("da", ())})]
    ['S', 'da']
    """
    text, statements = parse(source)
    targets = dict(targets or {})
    context = Context(text, {*words(source), *environment, *targets, *sizes, *reserved, *RESERVED})
    MatrixNotation(context)
    for tensor in environment.values():
        context.know(tensor)
    for name in {*sizes, *_sizes_of([*environment.values(), *targets.values()])}:
        context.know_size(name)
    context.ranges = parse_ranges(ranges)
    if not statements:
        raise SyntaxProblem("an expression is expected", source=source, hint="X.T @ dY")
    bare = isinstance(statements[-1], ast.Expr)
    defined: set[str] = set()
    for node in statements:
        line = _as_line(text, node, targets, last=node is statements[-1])
        name = target_name(line)
        last = bare and node is statements[-1]
        if not last:
            _check_free(context, name, line, defined)
            defined.add(name)
        # A bare expression keeps the target's name; a line above it that uses the name is another tensor.
        shadows = name in environment or name in reserved or (bare and name in targets)
        context.rename(name, fresh=shadows and not last)
        target = None if bare and not last else targets.pop(name, None)
        _read_line(context, line, None if target is None else target.shape)
    return tuple(context.definitions)


def _as_line(text: Source, node: ast.stmt, targets: Mapping[str, Tensor], *, last: bool) -> ast.Assign:
    """A definition; a bare expression at the end defines the target that is left."""
    if isinstance(node, ast.Assign):
        return node
    if isinstance(node, ast.Expr) and last and len(targets) == 1:
        (name,) = targets
        target = ast.copy_location(ast.Name(name, ast.Store()), node.value)
        return ast.copy_location(ast.Assign([target], node.value), node)
    what = "a definition is expected here: a bare expression stands only in the last line"
    raise SyntaxProblem(what, where=text.place(node), source=text.text, hint="G = X.T @ dY")


def _check_free(context: Context, name: str, line: ast.Assign, defined: Collection[str]) -> None:
    what = ""
    if name in defined:
        what = f"`{name}` is defined already"
    elif name in context.sizes:
        what = f"`{name}` is a size"
    elif name in RESERVED:
        what = f"`{name}` is a name of the language"
    if what:
        raise context.at(line, NameProblem(what, hint="choose another name"))


def _sizes_of(tensors: Collection[Tensor]) -> set[str]:
    extents = [e for t in tensors for e in (*t.shape, *((t.values,) if t.values is not None else ()))]
    return set().union(*(sizes_in(e) for e in extents)) if extents else set()


# ---- lines ----------------------------------------------------------------------------------


def _read_line(context: Context, line: ast.Assign, shape: tuple[Expr, ...] | None) -> None:
    name = target_name(line)
    text = context.source.segment(line)
    place = context.source.place(line)
    try:
        if is_index_line(line, context.known(), context.ranges):
            tensor = IndexLine(context, line.targets[0], line.value).define(shape, text, place)
        else:
            tensor = context.define(name, context.lower(line.value), text, place)
    except PullbackError as error:
        raise context.at(line.value, error) from None
    except RecursionError:
        what = "the expression nests too deeply"
        hint = "name a subexpression on a line of its own"
        raise context.at(line.value, LimitProblem(what, hint=hint)) from None
    if shape is not None and not _same_shape(shape, tensor.shape):
        what = f"{name} has the shape {shape_text(shape)}, the expression gives {shape_text(tensor.shape)}"
        hint = _shape_hint(shape, tensor.shape)
        raise context.at(line.value, ShapeProblem(what, hint=hint))


def _same_shape(a: tuple[Expr, ...], b: tuple[Expr, ...]) -> bool:
    return len(a) == len(b) and all(same_size(m, n) for m, n in zip(a, b, strict=True))


def _shape_hint(wanted: tuple[Expr, ...], found: tuple[Expr, ...]) -> str:
    if len(wanted) == 2 and _same_shape(wanted, found[::-1]):
        return "the transpose has the right shape: (…).T"
    if len(found) > len(wanted):
        return "sum over the axes that are left over: sum(…, axis=0)"
    return "a gradient has the shape of its variable"


# ---- the names of a program -----------------------------------------------------------------


def _check_names(text: Source, declared: Declarations) -> None:
    """No name twice, none of the language's own, none that reads as the gradient of another."""
    defined: dict[str, ast.AST] = {}
    sizes = declared.sizes
    for line in declared.lines:
        name = target_name(line)
        if name in RESERVED or name in sizes:
            kind = "a size" if name in sizes else "a name of the language"
            raise _at(text, line, NameProblem(f"`{name}` is {kind}", hint="choose another name"))
        if name in defined or name in declared.integers:
            raise _at(text, line, NameProblem(f"`{name}` is defined twice", hint=f"{name}1, {name}2, …"))
        defined[name] = line
    for line in declared.lines:
        if declared.is_input(target_name(line)):
            what = f"`{target_name(line)}` is declared as an input and defined"
            raise _at(text, line, NameProblem(what, hint="choose another name"))
    names = {*defined, *declared.shapes, *declared.integers}
    for name in names & sizes:
        raise NameProblem(f"`{name}` is a size and a tensor", source=text.text, hint="give one another name")
    for name in names & RESERVED:
        raise NameProblem(f"`{name}` is a name of the language", source=text.text, hint="choose another name")
    _check_order(text, declared, defined)


def _check_gradient_names(text: Source, names: Collection[str]) -> None:
    """`dX` is the gradient of X wherever X is a name."""
    for name in sorted(names):
        if f"d{name}" in names:
            what = f"`d{name}` is the name of the gradient of {name}"
            error = NameProblem(what, source=text.text, hint="choose another name")
            match = re.search(rf"\bd{name}\b", text.text)
            if match is not None:
                error.at(place_at(text.text, match.start()))
            raise error


def _check_order(text: Source, declared: Declarations, defined: Mapping[str, ast.AST]) -> None:
    """No name is used before the line that defines it."""
    seen: set[str] = set()
    for line in declared.lines:
        for node in names_in(line.value):
            if node.id in defined and node.id not in seen and not _is_slot_index(line, node.id):
                what = f"`{node.id}` is used before it is defined"
                raise _at(text, node, NameProblem(what, hint="move its definition up"))
        seen.add(target_name(line))


def _is_slot_index(line: ast.Assign, name: str) -> bool:
    """Whether the name serves as an index in this line, before a later line defines it."""
    nodes = [*subscripts(line.targets[0]), *subscripts(line.value)]
    return any(part.id == name for node in nodes for slot in slots(node) for part in names_in(slot))


def _at(text: Source, node: ast.AST, error: PullbackError) -> PullbackError:
    return error.at(text.place(node), text.text) if hasattr(node, "lineno") else error


def _inputs(declared: Declarations, inferred: Mapping[str, Inferred]) -> dict[str, Tensor]:
    defined = {target_name(line) for line in declared.lines}
    inputs: dict[str, Tensor] = {}
    for name, shape in declared.shapes.items():
        if name not in defined:
            inputs[name] = Tensor(name, shape, None, declared.facts.get(name, frozenset()))
    for name, (shape, extent) in declared.integers.items():
        inputs[name] = Tensor(name, shape, extent)
    for name, (shape, values) in inferred.items():
        inputs[name] = Tensor(name, shape, values, declared.facts.get(name, frozenset()))
    return inputs


def _context(text: Source, inputs: Mapping[str, Tensor], declared: Declarations) -> Context:
    taken = {*words(text.text), *inputs, *declared.sizes, *declared.ranges, *RESERVED}
    context = Context(text, taken)
    MatrixNotation(context)
    for tensor in inputs.values():
        context.know(tensor)
    for name in {*declared.sizes, *_sizes_of(list(inputs.values()))}:
        context.know_size(name)
    context.ranges = dict(declared.ranges)
    context.facts = dict(declared.facts)
    context.taken |= context.sizes
    context.reserved |= {target_name(line) for line in declared.lines}
    return context
