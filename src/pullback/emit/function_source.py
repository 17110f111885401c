"""What the two passes of a function have in common for every target: names, guards, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pullback.derivation import Derived
from pullback.emit.body import Written, kinds, names_in, ranks, sizes_read, write
from pullback.emit.sizes_source import shape_text, size_lines, size_sources
from pullback.emit.spelling import Speller, unparsed
from pullback.emit.target import Target
from pullback.expression import Num, Tensor
from pullback.formula import Statement, gradient_program

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Part:
    """The body of one function: what it computes, without its first and last lines."""

    written: tuple[Written, ...]
    sizes: tuple[str, ...]  # lines that read sizes off what is at hand
    hidden: tuple[str, ...]  # sizes that nothing at hand shows
    speller: Speller

    @property
    def lines(self) -> list[str]:
        return [*self.sizes, *(line for each in self.written for line in each.lines)]


def part(
    derived: Derived,
    statements: Sequence[Statement],
    given: Sequence[Tensor],
    target: Target,
    *,
    like: str,
    names: Mapping[str, str],
) -> Part:
    """The statements in the target's words, where the tensors in `given` are at hand."""
    speller = target.speller(like, kinds(derived), names, {like: 0, **ranks(derived)})
    written = tuple(write(statements, speller))
    used = sizes_read(written, derived)
    shown = set(size_sources(given))
    called = [Tensor(speller.name(tensor.name), tensor.shape, tensor.values) for tensor in given]
    return Part(written, tuple(size_lines(used & shown, called)), tuple(sorted(used - shown)), speller)


def scaled(statements: Sequence[Statement], results: Collection[str], scale: str) -> tuple[Statement, ...]:
    """The statements with the gradients times the upstream gradient of a scalar output."""
    read = {name for each in statements if each.is_matrix for name in names_in(each.text)}
    read |= {n for each in statements if not each.is_matrix for n in _tensor_names(each)}
    made: list[Statement] = []
    last: list[Statement] = []
    for each in statements:
        if each.name in results and each.is_matrix and each.name not in read:
            tree = ast.parse(each.text, mode="eval").body
            each = replace(each, text=unparsed(_times(scale, tree)))
        elif each.name in results:
            text = f"{scale} * {each.name}"
            last.append(Statement(each.name, each.name, text, True, each.definition))
        made.append(each)
    return (*made, *last)


def _tensor_names(statement: Statement) -> set[str]:
    from_text = "".join(c if c.isalnum() or c == "_" else " " for c in statement.text)
    return set(from_text.split())


def _times(scale: str, tree: ast.expr) -> ast.expr:
    """scale × tree, the scale in front of the leftmost factor."""
    match tree:
        case ast.BinOp(left, ast.Mult() | ast.Div() as operator, right):
            return ast.BinOp(_times(scale, left), operator, right)
        case ast.UnaryOp(ast.USub(), operand):
            return ast.BinOp(ast.UnaryOp(ast.USub(), ast.Name(scale)), ast.Mult(), operand)
        case ast.Constant(1):
            return ast.Name(scale)
    return ast.BinOp(ast.Name(scale), ast.Mult(), tree)


def wanted_by(written: Sequence[Written], results: Mapping[str, str]) -> list[frozenset[str]]:
    """For each statement the results (input -> gradient) that depend on it."""
    reached: dict[str, set[str]] = {gradient: {name} for name, gradient in results.items()}
    found: list[frozenset[str]] = []
    for each in reversed(written):
        own = set(reached.get(each.statement.name, ()))
        found.append(frozenset(own))
        for name in each.reads:
            reached.setdefault(name, set()).update(own)
    return found[::-1]


def docstring(derived: Derived, slots: Sequence[Slot] = (), indent: str = INDENT) -> list[str]:
    """The program, the shapes and the law of each gradient, as the lines of a docstring."""
    own = [d.source.strip() for d in derived.program.definitions if d.source]
    first, *rest = [line for text in own for line in text.splitlines()] or [derived.program.output.name]
    given = [*derived.program.inputs, derived.program.output]
    shapes = ", ".join(f"{tensor.name}: {shape_text(tensor)}" for tensor in given)
    law = [str(line) for line in gradient_program(derived, [tensor.name for tensor in derived.wrt])]
    fixed = [f"{slot.name} is {slot.default}." for slot in slots if slot.tensor is None and slot.default]
    lines = [f'"""{first}', *rest, "", shapes, *fixed, "", *law, '"""']
    return [f"{indent}{line}".rstrip().replace("\\", "\\\\") for line in lines]


def one_line(derived: Derived) -> str:
    """The program on one line, its output's name where that would be long."""
    shown = "; ".join(d.source.strip() for d in derived.program.definitions if d.source)
    shown = shown if shown and len(shown) <= 70 and "\n" not in shown else derived.program.output.name
    return shown.replace("\\", "\\\\").replace('"', "'")


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter of a function: an input of the program, or an argument that the program holds as a constant."""

    name: str
    tensor: Tensor | None
    default: str = ""  # of a constant, as code


def slots_of(derived: Derived, speller: Speller, slots: Sequence[Slot] | None = None) -> list[Slot]:
    """The parameters in the code's own order, or every input of the program."""
    if slots is None:
        return [Slot(speller.name(tensor.name), tensor) for tensor in derived.program.inputs]
    return [
        slot if slot.tensor is None else Slot(speller.name(slot.tensor.name), slot.tensor) for slot in slots
    ]


def arguments(slots: Sequence[Slot], hidden: Sequence[str], target: Target) -> list[str]:
    """The parameters with their annotations: the slots, then sizes that no input shows."""
    shown = []
    for k, slot in enumerate(slots):
        annotation = "Any" if slot.tensor is None else target.annotation(slot.tensor)
        last = slot.default and not hidden and all(other.default for other in slots[k:])
        shown.append(f"{slot.name}: {annotation}" + (f" = {slot.default}" if last else ""))
    return [*shown, *(f"{name}: int" for name in hidden)]


def demanded(slots: Sequence[Slot]) -> list[str]:
    """Lines that refuse arrays of other sizes, where the program holds sizes as numbers."""
    found = [
        (f"{slot.name}.shape[{axis}]", str(extent.value))
        for slot in slots
        if slot.tensor is not None
        for axis, extent in enumerate(slot.tensor.shape)
        if isinstance(extent, Num)
    ]
    if not found:
        return []
    left, right = (", ".join(side) + ("," if len(found) == 1 else "") for side in zip(*found, strict=True))
    shapes = ", ".join(f"{s.name}: {shape_text(s.tensor)}" for s in slots if s.tensor is not None)
    return [f"if ({left}) != ({right}):", f'{INDENT}raise ValueError("this code is written for {shapes}")']


def unpacked(names: Sequence[str], wanted: Collection[str], value: str) -> list[str]:
    """`X, _, W = value`, `(X,) = value`: the names that are wanted; nothing where none is."""
    if not any(name in wanted for name in names):
        return []
    shown = [name if name in wanted else "_" for name in names]
    return [f"({shown[0]},) = {value}" if len(shown) == 1 else f"{', '.join(shown)} = {value}"]


def indented(lines: Sequence[str], depth: int) -> list[str]:
    return [f"{INDENT * depth}{line}" if line else "" for line in lines]


def class_name(function: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in function.split("_"))


Guard = Callable[[frozenset[str]], str | None]


def guarded(written: Sequence[Written], groups: Sequence[frozenset[str]], guard: Guard) -> list[str]:
    """The lines, those that only some results need under the condition that one of them is asked for."""
    lines: list[str] = []
    before: str | None = None
    for each, group in zip(written, groups, strict=True):
        condition = guard(group)
        if condition is not None and condition != before:
            lines.append(f"if {condition}:")
        lines += indented(each.lines, 0 if condition is None else 1)
        before = condition
    return lines
