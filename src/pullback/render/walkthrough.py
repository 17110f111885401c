"""A derivation with small concrete sizes, written out one entry at a time.

The entries of every operand and of the output; for each entry of an operand the matrix ∂Y/∂x, its dot
product with ∂L/∂Y, and what these make together: the gradient, and its two factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pullback.derivation import Derived
from pullback.errors import DomainProblem, LimitProblem
from pullback.expression import (
    ZERO,
    Access,
    Definition,
    Equation,
    Expr,
    Index,
    Partial,
    Tensor,
    add,
    children,
    mul,
    tensors,
)
from pullback.limits import MAX_WALKTHROUGH_ENTRIES, demand
from pullback.render.grids import Place, Sizes, grid_of, places, two_factors, written
from pullback.render.instances import instantiate
from pullback.render.page import Block, Display, Grid, Heading, Paragraph, Source, whole
from pullback.render.spelling import Spelling, spelling_of
from pullback.rewriting import MatrixLine, Section
from pullback.sizes import evaluate_size, shape_text

MAX_SECTIONS = 12  # written out; a longer program is no page to read
MAX_MATRICES = 16  # ∂Y/∂x of one operand, one for each of its entries
MAX_FACTORS = 400  # of one formula; typesetters give up on much longer ones


class Setting(NamedTuple):
    """What every part of the walk-through needs to know."""

    derived: Derived
    sizes: Sizes
    spelling: Spelling

    def entries(self, tensor: Tensor, name: str = "") -> Grid | Expr:
        """A tensor, or the one called `name` with its shape, entry by entry."""
        return written(tensor.shape, self.sizes, lambda at: self.spelling.entry(name or tensor.name, at))


def walkthrough(derived: Derived, sizes: Sizes) -> tuple[Block, ...]:
    """The blocks of the walk-through.

    A tensor with more than `MAX_WALKTHROUGH_ENTRIES` entries is a `LimitProblem`, found before anything
    is written out; a size without a value a `ShapeProblem`. What cannot be written out entry by entry
    (an operator such as softmax) is named in a sentence.
    """
    _demand_small(derived, sizes)
    values = ", ".join(f"{name} = {sizes[name]}" for name in derived.program.sizes if name in sizes)
    blocks: list[Block] = [Heading(2, (f"Entry by entry, with {values}" if values else "Entry by entry",))]
    setting = Setting(derived, sizes, spelling_of(derived))
    shown: set[Tensor] = set()
    for section in derived.sections:
        through = ("Through ", whole(section.definition.tensor.name), " to ", whole(section.operand.name))
        try:
            blocks += [*_forward(setting, section.definition, shown), *_backward(setting, section)]
        except DomainProblem as problem:
            blocks.append(Paragraph((*through, f": {problem.message}.")))
    return tuple(shortened(block) for block in blocks)


def shortened(block: Block) -> Block:
    """The block, or a sentence in place of a formula that is too long to read."""
    match block:
        case Display((left, *rest)) if not isinstance(left, Grid):
            count = sum(_factors(part) for part in rest)
            if count > MAX_FACTORS:
                return Paragraph((left, f" would take {count:,} factors, and is not written out."))
    return block


def _factors(part: Expr | Grid | str) -> int:
    """How many factors are written, at most."""
    match part:
        case str():
            return 0
        case Grid(rows):
            return sum(_factors(cell) for row in rows for cell in row)
        case Partial():
            return 1
    return sum(_factors(child) for child in children(part) if not isinstance(part, Access)) or 1


def fits(derived: Derived, sizes: Sizes) -> str:
    """Why the walk-through would be refused, or nothing."""
    try:
        _demand_small(derived, sizes)
    except LimitProblem as problem:
        return problem.message
    return ""


def _demand_small(derived: Derived, sizes: Sizes) -> None:
    demand(len(derived.sections), MAX_SECTIONS, "operands written out entry by entry")
    for tensor in derived.program.by_name.values():
        count = 1
        for extent in tensor.shape:
            count *= max(0, evaluate_size(extent, sizes))
        what = f"entries of {tensor.name} ({shape_text(tensor.shape)})"
        demand(count, MAX_WALKTHROUGH_ENTRIES, what, hint="smaller sizes")


# ---- forward --------------------------------------------------------------------------------


def _forward(s: Setting, definition: Definition, shown: set[Tensor]) -> list[Block]:
    """The operands and the output entry by entry, once for each definition."""
    if definition.tensor in shown:
        return []
    output = definition.tensor
    body = written(output.shape, s.sizes, lambda at: _entry(s, definition, at))
    blocks: list[Block] = [Heading(3, ("Forward: ", whole(output.name)))]
    for tensor in tensors(definition.body):
        if tensor not in shown and not tensor.is_integer:
            blocks.append(Display((whole(tensor.name), "=", s.entries(tensor))))
    shown.update((output, *tensors(definition.body)))
    return [*blocks, Display((whole(output.name), "=", body)), *_upstream(s, output)]


def _entry(s: Setting, definition: Definition, at: Place) -> Expr:
    bound = dict(zip(definition.indices, at, strict=True))
    return s.spelling.of(instantiate(definition.body, bound, s.sizes))


def _upstream(s: Setting, output: Tensor) -> list[Block]:
    """∂L/∂Y as a matrix; nothing for the loss itself."""
    name = f"d{output.name}"
    if name not in s.spelling.gradients or _is_loss(s.derived, output):
        return []
    given = s.derived.upstream is not None and s.derived.upstream.name == name
    words = f"The gradient of {output.name}, {'given' if given else 'found before'}:"
    return [Paragraph((words,)), Display((s.spelling.tensor(name), "=", s.entries(output, name)))]


def _is_loss(derived: Derived, tensor: Tensor) -> bool:
    return derived.upstream is None and tensor is derived.program.output


# ---- backward -------------------------------------------------------------------------------


def _backward(s: Setting, section: Section) -> list[Block]:
    """For each entry of the operand: ∂Y/∂x, and its dot product with ∂L/∂Y; then the whole gradient."""
    local = local_derivative(section)
    if local is None:
        return []
    output, operand = section.definition.tensor, section.operand
    blocks: list[Block] = [Heading(3, ("Backward: ", s.spelling.tensor(f"d{operand.name}")))]
    gradient: dict[Place, Expr] = {}
    every = places(operand.shape, s.sizes)
    matrices: list[Block] = []
    for at in every:
        partials = {out: _partial(s, local, out, at) for out in places(output.shape, s.sizes)}
        x = s.spelling.variable(operand.name, at)
        grid = written(output.shape, s.sizes, partials.__getitem__)
        matrices.append(Display((Partial(whole(output.name), x), "=", grid)))
        if _is_loss(s.derived, output):
            gradient[at] = partials[()]
            continue
        name = f"d{output.name}"
        gradient[at] = _dot(s, name, partials)
        left = Partial(whole(s.spelling.loss), x)
        matrices.append(Display((left, "=", s.entries(output, name), "·", grid, "=", gradient[at])))
    kept = MAX_MATRICES * len(matrices) // max(1, len(every))
    blocks += matrices[:kept]
    if kept < len(matrices):
        blocks.append(Paragraph((f"And so on for the other {len(every) - MAX_MATRICES} entries.",)))
    return blocks + _assembled(s, section, gradient)


def local_derivative(section: Section) -> Equation | None:
    """∂Y[n,m]/∂W[i,j] with its sums collapsed: the last such line among the steps."""
    found = None
    for step in section.steps:
        match step.after:
            case Equation(Partial(Access(), _), _) as line:
                found = line
    return found


def _partial(s: Setting, local: Equation, out: Place, at: Place) -> Expr:
    """One entry of ∂Y/∂x: the local derivative with its indices as numbers."""
    match local.left:
        case Partial(Access(_, above), Access(_, below)):
            pairs = zip((*above, *below), (*out, *at), strict=True)
            bound = {slot: value for slot, value in pairs if isinstance(slot, Index)}
            return s.spelling.of(instantiate(local.right, bound, s.sizes))
    raise DomainProblem("its local derivative is not that of one entry")


def _dot(s: Setting, upstream: str, partials: Mapping[Place, Expr]) -> Expr:
    """Σ over the entries of ∂L/∂y · ∂y/∂x, without the products that are zero."""
    kept = [(at, factor) for at, factor in partials.items() if factor is not ZERO]
    return add(*(mul(s.spelling.entry(upstream, at), factor) for at, factor in kept))


def _assembled(s: Setting, section: Section, gradient: Mapping[Place, Expr]) -> list[Block]:
    """The gradient as one matrix, and as the product of the two that its matrix form names."""
    left = s.spelling.tensor(f"d{section.operand.name}")
    several = sum(other.operand is section.operand for other in s.derived.sections) > 1
    words = "Together, the share that comes this way:" if several else "Together:"
    grid = written(section.operand.shape, s.sizes, gradient.__getitem__)
    blocks: list[Block] = [Paragraph((words,)), Display((left, "=", grid))]
    line = _matrix_line(section)
    if line is None or several:
        return blocks
    factors = two_factors(line.text, lambda name, column: _named(s, name, column))
    if factors is not None:
        blocks.append(Paragraph(("which is the product of two matrices, ", Source(str(line)), ":")))
        blocks.append(Display((left, "=", *factors)))
    return blocks


def _matrix_line(section: Section) -> MatrixLine | None:
    lines: Sequence[MatrixLine] = [s.after for s in section.steps if isinstance(s.after, MatrixLine)]
    return lines[0] if lines else None


def _named(s: Setting, name: str, column: bool) -> Grid | None:
    """The tensor that a matrix line calls `name`, as a matrix; a vector stands as it is used."""
    tensor = s.derived.program.by_name.get(s.spelling.gradients.get(name, name))
    if tensor is None or not 1 <= tensor.rank <= 2:
        return None
    upright = column and tensor.rank == 1
    return grid_of(tensor.shape, s.sizes, lambda at: s.spelling.entry(name, at), upright)
