"""The body of a function: statements of a gradient program as lines in a target's words."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pullback.derivation import Derived
from pullback.emit.batches import in_batches
from pullback.emit.index_source import IndexWriter
from pullback.emit.labels import at_labels
from pullback.emit.spelling import Kind, Speller
from pullback.expression import ONE, Tensor, sizes_in, tensors
from pullback.formula import Statement


@dataclass(frozen=True, slots=True)
class Written:
    """One statement as code, and the names that the code reads."""

    statement: Statement
    lines: tuple[str, ...]
    reads: frozenset[str]


def write(statements: Iterable[Statement], speller: Speller) -> list[Written]:
    """Each statement in the speller's words; a comment says what index notation means that is not one call."""
    return [_write(statement, speller) for statement in statements]


def _write(statement: Statement, speller: Speller) -> Written:
    if statement.is_matrix:
        text = at_labels(in_batches(statement.text), speller.ranks, add=speller.adds_at_labels)
        return Written(statement, (speller.line(statement.target, text),), frozenset(names_in(text)))
    writer = IndexWriter(statement.definition)
    made = writer.lines()
    comment = [] if writer.is_call else [f"# {writer.comment}"]
    lines = [*comment, *(speller.line(name, text) for name, text in made)]
    reads = {name for _, text in made for name in names_in(text)} - {name for name, _ in made[:-1]}
    return Written(statement, tuple(lines), frozenset(reads))


def names_in(text: str) -> set[str]:
    """The names that an expression reads."""
    tree = ast.parse(text, mode="eval")
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called}


def kinds(derived: Derived) -> dict[str, Kind]:
    """What the names of a program hold, where that is no real array."""
    found: dict[str, Kind] = {
        tensor.name: "integer" for tensor in derived.program.inputs if tensor.is_integer
    }
    return {**found, **dict.fromkeys(sizes_known(derived), "number")}


def ranks(derived: Derived) -> dict[str, int]:
    """How many axes the names of a program have, where none is of size 1."""
    tensors = {
        *derived.program.inputs,
        *(d.tensor for d in (*derived.program.definitions, *derived.backward)),
    }
    tensors |= {derived.upstream} if derived.upstream is not None else set()
    found = {tensor.name: tensor.rank for tensor in tensors if ONE not in tensor.shape}
    return {**found, **dict.fromkeys(sizes_known(derived), 0)}


def sizes_known(derived: Derived) -> set[str]:
    """Every size that can stand in the code of a derivation."""
    every = [*derived.program.inputs, *([derived.upstream] if derived.upstream is not None else [])]
    return set(derived.program.sizes) | {
        name for tensor in every for extent in tensor.shape for name in sizes_in(extent)
    }


def sizes_read(written: Sequence[Written], derived: Derived) -> set[str]:
    """The sizes that the code reads."""
    return {name for each in written for name in each.reads} & sizes_known(derived)


def inputs_read(statements: Sequence[Statement], inputs: Iterable[Tensor]) -> list[Tensor]:
    """The inputs that the statements read, in order."""
    read = {tensor.name for statement in statements for tensor in tensors(statement.definition.body)}
    for statement in statements:
        if statement.is_matrix:
            read |= names_in(statement.text)
    return [tensor for tensor in inputs if tensor.name in read]
