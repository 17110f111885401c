"""A derivation with small concrete sizes, written out one entry at a time.

The entries of every operand and of the output; for each entry of an operand the matrix ∂Y/∂x, its dot
product with ∂L/∂Y, and what these make together: the gradient, and its two factors.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pullback.derivation import Derived
from pullback.errors import DomainProblem, LimitProblem
from pullback.expression import (
    ZERO,
    Access,
    Definition,
    Equation,
    Expr,
    Index,
    Num,
    Partial,
    Tensor,
    add,
    mul,
    replace,
    tensors,
)
from pullback.limits import MAX_WALKTHROUGH_ENTRIES, demand
from pullback.program import Program
from pullback.render.instances import instantiate
from pullback.render.page import Block, Display, Grid, Heading, Paragraph, Source, entry_of, whole
from pullback.rewriting import MatrixLine, Section
from pullback.sizes import evaluate_size, shape_text

Sizes = Mapping[str, int]
MAX_SECTIONS = 12  # written out; a longer program is no page to read


def walkthrough(derived: Derived, sizes: Sizes) -> tuple[Block, ...]:
    """The blocks of the walk-through.

    A tensor with more than `MAX_WALKTHROUGH_ENTRIES` entries is a `LimitProblem`, found before anything
    is written out; a size without a value a `ShapeProblem`. What cannot be written out entry by entry
    (an operator such as softmax) is named in a sentence.
    """
    _demand_small(derived, sizes)
    values = ", ".join(f"{name} = {sizes[name]}" for name in derived.program.sizes if name in sizes)
    blocks: list[Block] = [Heading(2, (f"Entry by entry, with {values}" if values else "Entry by entry",))]
    shown: set[str] = set()
    for section in derived.sections:
        try:
            blocks += _forward(derived, section, sizes, shown)
            blocks += _backward(derived, section, sizes)
        except DomainProblem as problem:
            blocks.append(Paragraph((*_through(section), f": {problem.message}.")))
    return tuple(blocks)


def _demand_small(derived: Derived, sizes: Sizes) -> None:
    demand(len(derived.sections), MAX_SECTIONS, "operands written out entry by entry")
    for tensor in derived.program.by_name.values():
        count = 1
        for extent in tensor.shape:
            count *= max(0, evaluate_size(extent, sizes))
        demand(
            count,
            MAX_WALKTHROUGH_ENTRIES,
            f"entries of {tensor.name} ({shape_text(tensor.shape)}) written out",
            hint="smaller sizes",
        )


def fits(derived: Derived, sizes: Sizes) -> str:
    """Why the walk-through would be refused, or nothing."""
    try:
        _demand_small(derived, sizes)
    except LimitProblem as problem:
        return problem.message
    return ""


# ---- spelling -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spelling:
    """How tensors appear when written out: in lower case, a gradient as ∂L/∂y."""

    letters: Mapping[str, str]
    gradients: Mapping[str, str]  # dY -> Y
    loss: str

    def entry(self, name: str, place: Sequence[int]) -> Expr:
        """The entry at a place counted from 0."""
        at = [k + 1 for k in place]
        if name in self.gradients:
            return Partial(whole(self.loss), entry_of(self.letters[self.gradients[name]], at))
        return entry_of(self.letters.get(name, name), at)

    def tensor(self, name: str) -> Expr:
        if name in self.gradients:
            return Partial(whole(self.loss), whole(self.gradients[name]))
        return whole(name)

    def of(self, e: Expr) -> Expr:
        """An instantiated expression in this spelling."""
        return replace(e, self._access)

    def _access(self, e: Expr) -> Expr | None:
        match e:
            case Access(tensor, slots) if slots and all(isinstance(slot, Num) for slot in slots):
                return self.entry(tensor.name, [int(slot.value) for slot in slots if isinstance(slot, Num)])
            case Access(tensor, ()) if tensor.name in self.gradients:
                return self.tensor(tensor.name)
        return None


def spelling_of(derived: Derived) -> Spelling:
    known = derived.program.by_name
    lower = {name: name[:1].lower() + name[1:] for name in known}
    letters = {name: small if small == name or small not in known else name for name, small in lower.items()}
    taken = {name for name in known if f"d{name}" not in known}
    loss = "L" if derived.upstream is not None else derived.program.output.name
    return Spelling(letters, {f"d{name}": name for name in taken}, loss)


# ---- the parts of one section ---------------------------------------------------------------


def _through(section: Section) -> tuple[str | Expr, ...]:
    return ("Through ", whole(section.definition.tensor.name), " to ", whole(section.operand.name))


def _forward(derived: Derived, section: Section, sizes: Sizes, shown: set[str]) -> list[Block]:
    """The operands and the output entry by entry, once for each definition."""
    definition = section.definition
    if definition.tensor.name in shown:
        return []
    spelling = spelling_of(derived)
    blocks: list[Block] = [Heading(3, ("Forward: ", whole(definition.tensor.name)))]
    for tensor in tensors(definition.body):
        if tensor.name not in shown and not tensor.is_integer:
            grid = grid_of(tensor.shape, sizes, lambda at, t=tensor: spelling.entry(t.name, at))
            blocks.append(Display((whole(tensor.name), "=", grid)))
    body = grid_of(definition.tensor.shape, sizes, lambda at: _entry(definition, at, sizes, spelling))
    shown.update(tensor.name for tensor in tensors(definition.body))
    shown.add(definition.tensor.name)
    blocks.append(Display((whole(definition.tensor.name), "=", body)))
    if derived.upstream is not None or definition.tensor is not derived.program.output:
        blocks += _given(derived, definition, sizes, spelling)
    return blocks


def _given(derived: Derived, definition: Definition, sizes: Sizes, spelling: Spelling) -> list[Block]:
    name = f"d{definition.tensor.name}"
    if name not in spelling.gradients:
        return []
    grid = grid_of(definition.tensor.shape, sizes, lambda at: spelling.entry(name, at))
    origin = "given" if derived.upstream is not None and derived.upstream.name == name else "found before"
    return [Paragraph((f"The gradient of the output, {origin}:",)), Display((spelling.tensor(name), "=", grid))]


def _entry(definition: Definition, at: Sequence[int], sizes: Sizes, spelling: Spelling) -> Expr:
    places = dict(zip(definition.indices, at, strict=True))
    return spelling.of(instantiate(definition.body, places, sizes))


def _backward(derived: Derived, section: Section, sizes: Sizes) -> list[Block]:
    """For each entry of the operand: ∂Y/∂x, and its dot product with ∂L/∂Y; then the whole gradient."""
    local = local_derivative(section)
    if local is None:
        return []
    spelling = spelling_of(derived)
    name, operand = section.definition.tensor.name, section.operand
    upstream = f"d{name}" if f"d{name}" in spelling.gradients and not _is_loss(derived, section) else ""
    blocks: list[Block] = [Heading(3, ("Backward: ", spelling.tensor(f"d{operand.name}")))]
    gradient: dict[tuple[int, ...], Expr] = {}
    for at in places(operand.shape, sizes):
        x = spelling.entry(operand.name, at)
        grid = grid_of(section.definition.tensor.shape, sizes, lambda o, at=at: _partial(local, o, at, sizes, spelling))
        jacobian = Partial(whole(name), x)  # type: ignore[arg-type]
        blocks.append(Display((jacobian, "=", grid)))
        if upstream:
            gradient[at] = _dot(section, upstream, local, at, sizes, spelling)
            given = grid_of(section.definition.tensor.shape, sizes, lambda o: spelling.entry(upstream, o))
            left = Partial(whole(spelling.loss), x)  # type: ignore[arg-type]
            blocks.append(Display((left, "=", given, "·", grid, "=", gradient[at])))
        else:
            gradient[at] = _partial(local, (), at, sizes, spelling)
    blocks += _assembled(derived, section, gradient, sizes, spelling)
    return blocks


def _is_loss(derived: Derived, section: Section) -> bool:
    return derived.upstream is None and section.definition.tensor is derived.program.output


def local_derivative(section: Section) -> Equation | None:
    """∂Y[n,m]/∂W[i,j] with its sums collapsed: the last such line among the steps."""
    found = None
    for step in section.steps:
        match step.after:
            case Equation(Partial(Access(), _), _) as line:
                found = line
    return found


def _partial(local: Equation, out: Sequence[int], at: Sequence[int], sizes: Sizes, spelling: Spelling) -> Expr:
    """One entry of ∂Y/∂x: the local derivative with its indices as numbers."""
    assert isinstance(local.left, Partial) and isinstance(local.left.of, Access)
    slots = (*local.left.of.slots, *local.left.by.slots)
    values = (*out, *at)
    bound = {slot: value for slot, value in zip(slots, values, strict=True) if isinstance(slot, Index)}
    return spelling.of(instantiate(local.right, bound, sizes))


def _dot(
    section: Section, upstream: str, local: Equation, at: Sequence[int], sizes: Sizes, spelling: Spelling
) -> Expr:
    """Σ over the entries of ∂L/∂y · ∂y/∂x, without the products that are zero."""
    terms = []
    for out in places(section.definition.tensor.shape, sizes):
        factor = _partial(local, out, at, sizes, spelling)
        if factor is not ZERO:
            terms.append(mul(spelling.entry(upstream, out), factor))
    return add(*terms)


def _assembled(
    derived: Derived, section: Section, gradient: Mapping[tuple[int, ...], Expr], sizes: Sizes, spelling: Spelling
) -> list[Block]:
    name = f"d{section.operand.name}"
    grid = grid_of(section.operand.shape, sizes, lambda at: gradient[at])
    share = "" if _only_path(derived, section) else ", the share that comes this way"
    blocks: list[Block] = [
        Paragraph((f"Together{share}:",)),
        Display((spelling.tensor(name), "=", grid)),
    ]
    line = _matrix_line(section)
    factors = _two_factors(line, derived, sizes, spelling) if line is not None else None
    if line is not None and factors is not None:
        blocks.append(Paragraph(("which is the product of two matrices, ", Source(str(line)), ":")))
        blocks.append(Display((spelling.tensor(name), "=", *factors)))
    return blocks


def _only_path(derived: Derived, section: Section) -> bool:
    return sum(other.operand is section.operand for other in derived.sections) == 1


def _matrix_line(section: Section) -> MatrixLine | None:
    for step in section.steps:
        if isinstance(step.after, MatrixLine):
            return step.after
    return None


# ---- matrices -------------------------------------------------------------------------------


def places(shape: Sequence[Expr], sizes: Sizes) -> list[tuple[int, ...]]:
    """Every place of a tensor, counted from 0, the last axis fastest."""
    return list(itertools.product(*(range(evaluate_size(extent, sizes)) for extent in shape)))


def grid_of(
    shape: Sequence[Expr], sizes: Sizes, at: Callable[[tuple[int, ...]], Expr], column: bool = False
) -> Grid:
    """A tensor as rows of entries: a vector is one row (or column), more axes than two are stacked rows."""
    cells = [at(place) for place in places(shape, sizes)]
    width = 1 if column or not shape else evaluate_size(shape[-1], sizes)
    if not cells:
        raise DomainProblem("a tensor without entries has nothing to write out")
    return Grid(tuple(tuple(cells[k : k + width]) for k in range(0, len(cells), width)))


def transposed(grid: Grid) -> Grid:
    return Grid(tuple(zip(*grid.rows, strict=True)))


def _two_factors(
    line: MatrixLine, derived: Derived, sizes: Sizes, spelling: Spelling
) -> tuple[Grid | str, ...] | None:
    """The matrices of `A @ B` or `outer(a, b)`, where both are tensors or their transposes."""
    try:
        tree = ast.parse(line.text, mode="eval").body
    except SyntaxError:
        return None
    match tree:
        case ast.BinOp(left, ast.MatMult(), right):
            first = _factor(left, derived.program, sizes, spelling, column=False)
            second = _factor(right, derived.program, sizes, spelling, column=True)
        case ast.Call(ast.Name("outer"), [left, right], []):
            first = _factor(left, derived.program, sizes, spelling, column=True)
            second = _factor(right, derived.program, sizes, spelling, column=False)
        case _:
            return None
    return None if first is None or second is None else (first, second)


def _factor(node: ast.expr, program: Program, sizes: Sizes, spelling: Spelling, column: bool) -> Grid | None:
    match node:
        case ast.Attribute(ast.Name() as inner, "T"):
            found = _factor(inner, program, sizes, spelling, column=False)
            return transposed(found) if found is not None else None
        case ast.Name(name):
            tensor = _tensor(name, program, spelling)
            if tensor is None or not 1 <= tensor.rank <= 2:
                return None
            return grid_of(
                tensor.shape, sizes, lambda at: spelling.entry(name, at), column and tensor.rank == 1
            )
    return None


def _tensor(name: str, program: Program, spelling: Spelling) -> Tensor | None:
    return program.by_name.get(spelling.gradients.get(name, name))
