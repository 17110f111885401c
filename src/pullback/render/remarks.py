"""What a teacher adds beside the formulas: what dY means, which index is contracted, the rule of thumb."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

from pullback.derivation import Derived
from pullback.expression import (
    Access,
    Add,
    Bracket,
    Definition,
    Equation,
    Expr,
    Index,
    Mul,
    Num,
    Partial,
    Sum,
    Tensor,
    accesses,
    free,
    walk,
)
from pullback.notation import show
from pullback.render.page import Paragraph, Piece, Shape, Source, Words, whole
from pullback.rewriting import MatrixLine, Section, ShapeLine


class Product(NamedTuple):
    """A definition that is the product of two different matrices, and nothing else."""

    definition: Definition
    left: Tensor
    right: Tensor


def pure_product(definition: Definition) -> Product | None:
    """The two factors, where the definition is C[n,m] = Σ_d A[n,d] B[d,m]."""
    match definition:
        case Definition(_, (n, m), Sum((d,), Mul((Access(a, (n1, d1)), Access(b, (d2, m1)))))):
            if (n1, d1, d2, m1) == (n, d, d, m) and a is not b:
                return Product(definition, a, b)
    return None


def contains_product(definition: Definition) -> bool:
    """Whether two tensors are multiplied and summed somewhere in the definition."""
    if "@" in definition.source:
        return True
    for node in walk(definition.body):
        match node:
            case Sum(indices, Mul(factors)):
                read = [f for f in factors if isinstance(f, Access)]
                if any(sum(index in f.slots for f in read) > 1 for index in indices):
                    return True
    return False


def rule_of_thumb(derived: Derived) -> Paragraph | None:
    """Swap the positions, transpose the other factor; or why it does not apply, where a product occurs."""
    definitions = derived.program.definitions
    product = pure_product(definitions[0]) if len(definitions) == 1 else None
    if product is not None:
        return _swap(product)
    if not any(contains_product(definition) for definition in definitions):
        return None
    return Paragraph(
        (
            "The rule of thumb for a product of two matrices, swap the positions and transpose the other"
            f" factor, does not give these results by itself: {_why_not(derived)}.",
        )
    )


def _swap(product: Product) -> Paragraph:
    a, b, y = product.left.name, product.right.name, product.definition.tensor.name
    return Paragraph(
        (
            "A rule of thumb follows for a product of two matrices: to get ",
            whole(f"d{a}"), ", put ", whole(f"d{y}"), " in the place of ", whole(a),
            " and transpose the other factor where it stands: ",
            Source(f"{y} = {a} @ {b}"), " gives ", Source(f"d{a} = d{y} @ {b}.T"),
            " and ", Source(f"d{b} = {a}.T @ d{y}"),
            ". It is a consequence of the lines above, and only for a pure product: elementwise work, sums,"
            " or a tensor that reaches the output along more than one path need the chain rule itself.",
        )
    )  # fmt: skip


def _why_not(derived: Derived) -> str:
    definitions = derived.program.definitions
    if len(definitions) > 1:
        return _why_not_of_several(definitions)
    (definition,) = definitions
    read = [access.tensor for access in accesses(definition.body)]
    for tensor in read:
        if read.count(tensor) > 1:
            return f"{tensor.name} reaches {definition.tensor.name} along more than one path"
    whole_product = isinstance(definition.body, Sum)
    if whole_product and any(
        not tensor.is_integer and tensor.rank == 1 for tensor in (*read, definition.tensor)
    ):
        return "a vector has no second axis to transpose"
    return "the product is not the whole definition"


def _why_not_of_several(definitions: Sequence[Definition]) -> str:
    pure = [d for d in definitions if pure_product(d) is not None]
    names = " and ".join(d.tensor.name for d in pure)
    if not pure:
        return "the program has several steps"
    if len(pure) == len(definitions):
        return f"it holds for each step ({names}), and the steps follow one another"
    return f"it holds for the step to {names} alone, and the rest needs the chain rule"


def meaning_of_upstream(derived: Derived) -> list[Paragraph]:
    """What one entry of dY says, as a central difference; nothing for a scalar loss."""
    if derived.upstream is None:
        return []
    y = derived.program.output
    slots = derived.program.definitions[-1].indices
    loss = "L" if y.name != "L" else "loss"
    difference = f"({loss}({y.name} + h E) - {loss}({y.name} - h E)) / (2 h)"
    words: Words = (
        "What one entry of the given gradient says: ", Access(derived.upstream, slots),
        " is how much the loss changes with ", Access(y, slots), " alone, all other entries held. For small h"
        f" it is near {difference}, where E is zero but for a 1 at that entry, and {loss} is a function of"
        f" the whole of {y.name}.",
    )  # fmt: skip
    return [Paragraph(words)]


def contraction(section: Section) -> Paragraph | None:
    """Which indices are summed over in the collapsed entry of the gradient."""
    entry = collapsed_entry(section)
    if entry is None:
        return None
    summed: dict[Index, None] = {}
    for node in walk(entry.right):
        if isinstance(node, Sum):
            summed.update(dict.fromkeys(node.indices))
    if not summed:
        return Paragraph(("No index is contracted.",))
    words: list[Piece] = ["Contracted: "]
    for k, index in enumerate(summed):
        words += [", " if k else "", index, " (", index.extent, " terms)"]
    batch = _batch_index(section, list(summed))
    if batch is not None:
        words += ["; along ", batch, " the shares of all rows of the batch are added"]
    words.append(".")
    return Paragraph(tuple(words))


def _batch_index(section: Section, summed: list[Index]) -> Index | None:
    """The summed first index of the output, where the operand has no such axis."""
    definition = section.definition
    if definition.tensor.rank < 2 or not definition.indices:
        return None
    extent = definition.indices[0].extent
    shares = any(access.slots[:1] == definition.indices[:1] for access in accesses(definition.body))
    if not shares or extent in section.operand.shape:
        return None
    return next((index for index in summed if index.extent is extent), None)


def collapsed_entry(section: Section) -> Equation | None:
    """dW[i,j] = Σ_n X[n,i] dY[n,j]: the last line of the section that is about an entry of the gradient."""
    found = None
    for step in section.steps:
        match step.after:
            case Equation(Access(), _) as line if step.rule != "definition":
                found = line
    return found


def shape_words(line: ShapeLine) -> tuple[Piece, ...]:
    """(D×N)(N×M) = D×M, the shape of dW."""
    words: list[Piece] = []
    for factor in line.factors:
        words += ["(", Shape(factor), ")"]
    if line.factors:
        words.append(" = ")
    words += [Shape(line.result), ", the shape of ", whole(line.target)]
    return tuple(words)


def is_partial(line: object) -> bool:
    return isinstance(line, Equation) and isinstance(line.left, Partial)


def target_of(line: str) -> str:
    """The name that a program line defines, or nothing."""
    try:
        body = ast.parse(line).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    match body:
        case [ast.Assign([ast.Name(name)], _)] | [ast.Assign([ast.Subscript(ast.Name(name))], _)]:
            return name
    return ""


def counts_from_zero(derived: Derived) -> bool:
    """Whether an index takes part in arithmetic, so that counting from 1 would change the meaning."""
    bodies = [d.body for d in (*derived.program.definitions, *derived.backward)]
    return any(_arithmetic(node) for body in bodies for node in walk(body))


def _arithmetic(node: Expr) -> bool:
    match node:
        case Access(_, slots):
            return any(not isinstance(slot, Index) for slot in slots)
        case Mul(parts) | Add(parts):
            return any(isinstance(part, Index) for part in parts)
        case Bracket(_, left, right):
            sides = (left, right)
            return any(isinstance(side, Num) or not isinstance(side, Index) for side in sides) and any(
                free(side) and not _is_value(side) for side in sides
            )
    return False


def _is_value(side: Expr) -> bool:
    """Whether a side of a comparison is made of tensor entries rather than of indices."""
    return any(isinstance(node, Access) for node in walk(side))


def why_matrix_form(entry: Equation, line: MatrixLine) -> str:
    """Why an entry is that of a product of two tensors, or of their outer product; else nothing."""
    match entry.right:
        case Sum((k,), Mul((Access() as a, Access() as b))) if "@" in line.text:
            turned = [_turned(access) for access in (a, b) if f"{access.tensor.name}.T" in line.text]
            reason = f"a sum over {k.name} of a row times a column"
            return f"{reason}, because {' and '.join(turned)}" if turned else reason
        case Mul((Access(_, (i,)), Access(_, (j,)))) if i is not j and line.text.startswith("outer("):
            return "each entry of one times each entry of the other: an outer product"
    return ""


def _turned(access: Access) -> str:
    """X[n,i] = X.T[i,n]"""
    name = access.tensor.name
    slots = [show(slot) for slot in access.slots]
    return f"{name}[{','.join(slots)}] = {name}.T[{','.join(reversed(slots))}]"
