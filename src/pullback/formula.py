"""Gradient programs: the lines that compute some gradients, in the language, as a person would order them.

A line is in matrix notation where it has that form, else in index notation. A matrix line that is used
once is written into the line that uses it, while that stays short.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pullback.affine import expression, polynomial, same, solve, within
from pullback.derivation import Derived
from pullback.expression import (
    ONE,
    Access,
    Add,
    Bracket,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Sum,
    Tensor,
    accesses,
    add,
    children,
    free,
    fresh,
    mul,
    neg,
    rebuild,
    replace,
    substitute,
    tensors,
    terms_of,
    total,
    walk,
)
from pullback.inlining import Statement as Statement
from pullback.inlining import inline as inline
from pullback.inlining import read_by_name
from pullback.matrix import matrix_line
from pullback.notation import code, show
from pullback.rewriting import MatrixLine


def gradient_program(
    derived: Derived, wrt: Collection[str], *, with_forward: bool = False
) -> tuple[Statement, ...]:
    """The statements that compute the gradients of the inputs in `wrt`, in order.

    Inputs and the forward program's own intermediates are taken as given; those that the reader
    introduced are defined. With `with_forward` every forward intermediate that is needed is defined too.
    """
    targets = {f"d{name}" for name in wrt}
    made: dict[str, Definition] = {}
    for definition in derived.program.definitions:
        if with_forward or not definition.source:
            made[definition.tensor.name] = definition
    for definition in derived.backward:
        made[definition.tensor.name] = definition
    order = _needed(made, targets)
    lines: list[Statement] = []
    spelling = Spelling(derived)
    for name in order:
        lines += statements(made[name], derived.lines.get(name), spelling)
    return inline(lines, targets | _own(derived), derived.program.by_name, solved_with(derived))


def solved_with(derived: Derived) -> set[str]:
    """The matrices of the systems that the forward program solves."""
    return {
        access.tensor.name
        for definition in derived.program.definitions
        for node in walk(definition.body)
        if isinstance(node, Element) and node.operator == "solve"
        for access in accesses(node.bodies[0])[:1]
    }


def backward_program(derived: Derived) -> tuple[Statement, ...]:
    """The statements that compute every wanted gradient; what several of them read is a line of its own."""
    return tuple(read_by_name(gradient_program(derived, [tensor.name for tensor in derived.wrt])))


def _own(derived: Derived) -> set[str]:
    """Names that the user gave: these stay lines of their own."""
    return {d.tensor.name for d in derived.program.definitions if d.source}


def _needed(made: Mapping[str, Definition], targets: Collection[str]) -> list[str]:
    """The definitions that the targets depend on, in the order in which they are made."""
    wanted: set[str] = set()
    stack = [name for name in targets if name in made]
    while stack:
        name = stack.pop()
        if name in wanted:
            continue
        wanted.add(name)
        stack.extend(tensor.name for tensor in tensors(made[name].body) if tensor.name in made)
    return [name for name in made if name in wanted]


def statements(definition: Definition, line: MatrixLine | None, spelling: Spelling) -> list[Statement]:
    """A definition as one matrix line, or as lines of index notation."""
    name = definition.tensor.name
    if line is not None:
        return [Statement(name, name, line.text, True, definition)]
    return index_statements(definition, spelling)


class Spelling:
    """Names of indices in one gradient program: a name stands for one range, and is no tensor's or size's."""

    def __init__(self, derived: Derived) -> None:
        program = derived.program
        self.taken = {*program.by_name, *program.sizes, *(d.tensor.name for d in derived.backward)}
        self.taken |= {"pi"} if derived.upstream is None else {"pi", derived.upstream.name}
        self.extents: dict[str, Expr] = {}

    def spelt(self, definition: Definition) -> Definition:
        """The definition with its indices renamed where that is needed."""
        renaming: dict[Index, Expr] = {}
        used: set[str] = set()
        for index in (*definition.indices, *bound_indices(definition.body)):
            renaming[index] = self._name(index, used)
        body = rename(definition.body, renaming)
        indices = tuple(i for index in definition.indices if isinstance(i := renaming[index], Index))
        return Definition(definition.tensor, indices, body)

    def _name(self, index: Index, used: set[str]) -> Index:
        stem = index.name.rstrip("0123456789")
        for name in (index.name, *"ijklpqrsuvabcefgh", *(f"{stem}{k}" for k in range(2, 99))):
            known = self.extents.get(name)
            if name in used or name in self.taken or (known is not None and not same(known, index.extent)):
                continue
            self.extents[name] = index.extent
            used.add(name)
            return Index(name, index.extent)
        raise AssertionError("out of index names")

    def helper(self, name: str) -> str:
        """A name for a sum that needs a line of its own."""
        k = 1
        while f"{name}{k}" in self.taken:
            k += 1
        self.taken.add(f"{name}{k}")
        return f"{name}{k}"


def bound_indices(e: Expr) -> list[Index]:
    """Every index that a sum in `e` binds, in the order of reading."""
    return list(dict.fromkeys(index for node in walk(e) if isinstance(node, Sum) for index in node.indices))


def rename(e: Expr, renaming: Mapping[Index, Expr]) -> Expr:
    """`e` with indices renamed, bound ones too."""
    match e:
        case Index():
            return renaming.get(e, e)
        case Sum(indices, body):
            new = tuple(i for index in indices if isinstance(i := renaming.get(index, index), Index))
            return Sum(new, rename(body, renaming))
        case Element():
            return substitute(e, renaming)
    return rebuild(e, tuple(rename(child, renaming) for child in children(e)))


def index_statements(definition: Definition, spelling: Spelling) -> list[Statement]:
    """Index notation: the sum stands outside the whole line, so inner sums become lines of their own."""
    name = definition.tensor.name
    pooled = pooling(definition)
    if pooled is not None:
        return [Statement(name, name, pooled, False, definition)]
    definition = spelling.spelt(replaced_body(definition, guarded(replace(definition.body, counted))))
    made: list[Statement] = []
    seen: dict[str, Tensor] = {}  # the helpers by their text: the same sum over other indices is the same
    terms = terms_of(definition.body)

    def hoist(node: Expr) -> Expr | None:
        if not isinstance(node, Sum):
            return None
        node, place = unshifted(node)
        indices = tuple(sorted(free(node), key=lambda index: index.name))
        line = matrix_line(Definition(Tensor("_", tuple(i.extent for i in indices)), indices, node))
        tensor = None if line is None else seen.get(line.text)
        if tensor is None:
            tensor = Tensor(spelling.helper(name), tuple(i.extent for i in indices))
            made.extend(statements(Definition(tensor, indices, node), line, spelling))
            if line is not None:
                seen[line.text] = tensor
        return Access(tensor, tuple(place.get(index, index) for index in indices))

    number, core = _leading(terms[0])
    body: Expr
    if len(terms) == 1 and isinstance(core, Sum):
        outside, inside = _flat(replace(number, hoist)), _flat(replace(core.body, hoist))
        repeated = {factor for factor in outside if isinstance(factor, Bracket)}  # as a guard inside
        inner = mul(*outside, *(factor for factor in inside if factor not in repeated))
        body, text = Sum(core.indices, inner), _text(inner)
    else:
        body = add(*(replace(term, hoist) for term in terms))
        text = _text(body)
    slots = ",".join(index.name for index in definition.indices)
    target = f"{name}[{slots}]" if slots else name
    meaning = replaced_body(definition, body)
    return [*made, Statement(name, target, text, False, meaning)]


def pooling(definition: Definition) -> str | None:
    """`max_pool2d(X, size, stride)` where the definition is the largest entry of each window, else None."""
    match definition.body:
        case Element("max", (), (taps,), (Access(tensor, (b, c, *places)),), _) if len(taps) == 2:
            sample, channel, *out = definition.indices
            steps = [
                divided(add(place, neg(tap)), o) for place, tap, o in zip(places, taps, out, strict=True)
            ]
            if (b, c) != (sample, channel) or None in steps or any(free(tap.extent) for tap in taps):
                return None
            sizes = [[code(tap.extent) for tap in taps], [code(step) for step in steps if step is not None]]
            texts = [pair[0] if len(set(pair)) == 1 else f"[{', '.join(pair)}]" for pair in sizes]
            return f"max_pool2d({tensor}, {', '.join(dict.fromkeys(texts))})"
    return None


def divided(e: Expr, index: Index) -> Expr | None:
    """s where the expression is s times the index."""
    factor = polynomial(e)
    rest = {tuple(a for a in monomial if a is not index): n for monomial, n in factor.items()}
    whole = all(monomial.count(index) == 1 for monomial in factor)
    return expression(rest) if whole and len(factor) == 1 else None


def _text(e: Expr) -> str:
    """The expression in the language; an operator that only code has is shown as mathematics."""
    return show(e) if any(isinstance(node, Element) for node in walk(e)) else code(e)


def replaced_body(definition: Definition, body: Expr) -> Definition:
    return Definition(definition.tensor, definition.indices, body)


def unshifted(e: Expr) -> tuple[Expr, dict[Index, Expr]]:
    """The sum over places of its own, f(i) for f(r - k), and what each of those places stands for.

    As a line of its own the sum then reads no entry outside a tensor, and has fewer indices.
    """
    place: dict[Index, Expr] = {}
    for access in accesses(e):
        for slot, size in zip(access.slots, access.tensor.shape, strict=True):
            outer = [index for index in free(slot) if index in free(e)]
            if len(outer) < 2 or len(outer) < len(free(slot)) or not isinstance(slot, Add):
                continue
            taken = {index.name for index in walk(e) if isinstance(index, Index)}
            new = fresh(Index("i", size), taken)
            for index in outer:
                value = solve(slot, new, index)
                moved = None if value is None else _moved(e, index, value)
                if moved is not None and not free(moved) & set(outer):
                    inner, further = unshifted(moved)
                    return inner, {new: slot} | further
    return e, place


def _moved(e: Expr, index: Index, value: Expr) -> Expr:
    """`e` with another value for an index, its slots simplified."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access):
            return Access(node.tensor, tuple(expression(polynomial(slot)) for slot in node.slots))
        return None

    return replace(substitute(e, {index: value}), change)


def counted(e: Expr) -> Expr | None:
    """Σ_k c as K c: in a line of the language a sum shows only where its index stands."""
    if not isinstance(e, Sum):
        return None
    idle = [index for index in e.indices if index not in free(e.body)]
    rest = total((index for index in e.indices if index not in idle), e.body)
    return mul(*(index.extent for index in idle), rest) if idle else None


def guarded(e: Expr, guards: tuple[Expr, ...] = ()) -> Expr:
    """The same with brackets repeated inside sums that read outside a tensor where a bracket is 0.

    Such a sum becomes a line of its own, and there every read must stay inside or be guarded.
    """
    match e:
        case Mul(factors):
            own = (*guards, *(factor for factor in factors if isinstance(factor, Bracket)))
            return mul(*(guarded(factor, own) for factor in factors))
        case Add(terms):
            return add(*(guarded(term, guards) for term in terms))
        case Sum(indices, body):
            reads = [access for access in accesses(body) if not _stays_inside(access)]
            wanted = {index for access in reads for index in free(access)}
            missing = [guard for guard in guards if not free(guard).isdisjoint(wanted)]
            factors = body.factors if isinstance(body, Mul) else (body,)
            return total(indices, guarded(mul(*(g for g in missing if g not in factors), body)))
    return e


def _stays_inside(access: Access) -> bool:
    return all(within(slot, size) for slot, size in zip(access.slots, access.tensor.shape, strict=True))


def _leading(term: Expr) -> tuple[Expr, Expr]:
    """The outer factors of a product that holds one sum, and that sum."""
    if isinstance(term, Mul):
        sums = [factor for factor in term.factors if isinstance(factor, Sum)]
        rest = [factor for factor in term.factors if factor not in sums]
        bound = {index.name for s in sums for index in s.indices}
        clash = any(index.name in bound for factor in rest for index in free(factor))
        if len(sums) == 1 and not clash:
            return mul(*rest), sums[0]
    return ONE, term


def _flat(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
