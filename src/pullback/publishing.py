"""From a correct backward pass to the one a person would publish.

Intermediate gradients are written into the lines that read them where that makes the whole cheaper;
dead terms go, found by the exact zero test; what the forward pass has computed is read, not computed
again; common factors come out. Every candidate is an equation, and the cheapest one is taken: fewer
operations first, then fewer tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from fractions import Fraction

from pullback.cost import Cost, Costs
from pullback.dead_terms import DeadTerms
from pullback.expression import (
    ONE,
    Access,
    Add,
    Bracket,
    Call,
    Definition,
    Element,
    Equation,
    Expr,
    Num,
    Sum,
    Tensor,
    add,
    bracket,
    mul,
    num,
    replace,
    substitute,
    tensors,
    terms_of,
    walk,
)
from pullback.matrix.blocks import in_one_piece
from pullback.notation import left_side
from pullback.program import Program
from pullback.rewriting import Step
from pullback.rulebooks.algebra import canonical, tidy
from pullback.rulebooks.alternatives import compared, completed, gathered, positive, summed, variants
from pullback.rulebooks.chainrule import settled
from pullback.rulebooks.contracting import contracts, is_number, is_product, is_whole
from pullback.rulebooks.denominators import cleared
from pullback.rulebooks.factoring import factored, merged, parts_of
from pullback.rulebooks.facts import masks_in, without_masks
from pullback.rulebooks.inverses import Systems, solutions
from pullback.rulebooks.normal import (
    Opaque,
    Term,
    TooManyTerms,
    collapsed,
    expand,
    has_quotient,
    multiplied_out,
    new_names,
    shortest,
    sum_of,
)
from pullback.rulebooks.reuse import Pattern, Shelf, names_of, patterns, reused, sums_read
from pullback.rulebooks.signs import rectified, signs_of, unsigned_by

LIGHT = 16  # operations an entry, up to which a line may be written into its readers
DEEP = Fraction(-3, 2)  # the power of a root that was differentiated again
SIGNED = ("sign", "relu")  # functions of which a law about signs may hold
MAX_INLINED = 6
MAX_LINKED = 3
MAX_LEFT = 4  # up to so many each is also tried with a line of its own
MAX_SLICES = 8  # of an axis that is written slice by slice
MAX_NODES = 150  # of a line with other lines written into it


@dataclass(frozen=True)
class Candidate:
    """One way to write a definition: its body, the gradients it still reads, and how it came about."""

    body: Expr
    inlined: tuple[str, ...]
    stages: tuple[tuple[str, Expr, str], ...]  # rule, right side after it, note


class Publisher:
    """Publishes the gradients of one program, in the order in which they are computed."""

    def __init__(
        self,
        program: Program,
        upstream: Tensor | None,
        raw: Sequence[Definition],
        wanted: Sequence[str],
        laws: Sequence[Pattern] = (),
    ) -> None:
        self.program = program
        self.raw = {definition.tensor.name: definition for definition in raw}
        self.gradients = set(self.raw) | ({upstream.name} if upstream is not None else set())
        self.systems = Systems(program.definitions, raw)
        given = patterns([d for d in program.definitions if d.source])
        self.shelf = Shelf(
            [*laws, *signs_of(program.definitions), *given, *solutions([*program.definitions, *raw])]
        )
        self.written = {
            canonical(node) for d in program.definitions for node in walk(d.body) if isinstance(node, Add)
        }
        self.hidden = {d.tensor: d for d in program.definitions if not d.source}
        self.nonnegative = rectified(program.definitions)
        self.masked = masks_in(program.definitions)
        self.known: dict[str, Definition] = {}
        self.steps: dict[str, list[Step]] = {}
        self.dead_terms = DeadTerms(program, raw)
        self._costs = Costs()
        self.roots = self._roots(frozenset(wanted))
        self.readers: dict[str, set[str]] = {}
        for reader in raw:
            for tensor in tensors(reader.body):
                self.readers.setdefault(tensor.name, set()).add(reader.tensor.name)
        self._considered: set[str] = set()  # what the candidates at hand differ in

    def publish(self, definition: Definition) -> Definition:
        """The definition in its best form; the steps that lead there are kept in `steps`."""
        name = definition.tensor.name
        body = self.systems.renewed(definition.body)
        definition = self.raw[name] = Definition(definition.tensor, definition.indices, body)
        if isinstance(definition.body, Element):
            self.known[name] = definition
            return definition
        candidates = self._candidates(definition)
        best = candidates[0]
        if len(candidates) > 1:
            read = {tensor.name for candidate in candidates for tensor in tensors(candidate.body)}
            self._considered |= {other for other in read if other in self.known}
            best = min(candidates, key=lambda c: self._score(definition, c))
        steps = []
        left, before = left_side(definition), definition.body
        for rule, after, note in best.stages:
            if after is not before:
                steps.append(Step(rule, Equation(left, before), Equation(left, after), note))
                before = after
        published = self.systems.published(Definition(definition.tensor, definition.indices, best.body))
        if self.systems.inverses & names_of(best.body):
            self.shelf.add(patterns([published]))  # an adjoint system is solved once
            self.systems.adjoints.add(name)
        self.steps[name] = steps
        self.known[name] = published
        return published

    # ---- candidates

    def _candidates(self, definition: Definition) -> list[Candidate]:
        whole = positive(summed(definition.body))
        stages = (("factor", whole, ""),) if whole is not definition.body else ()
        plain = Candidate(whole, (), stages)
        if self._is_plain(definition.body):
            return [plain]
        light = self._light(definition.body)
        heavy = [t.name for t in tensors(definition.body) if t.name in self.known and t.name not in light]
        heavy = [name for name in heavy if self._is_reduced(self.known[name], definition)][:3]
        linked = self._linked(definition, light)
        self._considered = {*light, *heavy, *linked, *self.systems.inverses, *self.systems.adjoints}
        # Of many, one with a single reader that is written out itself is hardly worth a line of its own.
        direct = {tensor.name for tensor in tensors(definition.body)}
        many = len(light) > MAX_LEFT
        left = [name for name in light if not many or name in direct or len(self.readers[name]) > 1]
        numbers = [name for name in light if is_number(self.known[name])]  # no array to multiply by
        choices = [light, *([n for n in light if n != kept] for kept in left if kept not in numbers), numbers]
        choices += [[*light, name] for name in heavy]
        choices += [[*light, *linked], linked] if linked else []
        found = {plain.body: plain}
        seen: set[Expr] = set()
        expanded: set[object] = set()
        for chosen in choices:
            # As it came out, a gradient still shows what it shares with others; published, it is short.
            for source in (self.raw, self.known):
                written = self._written(definition.body, chosen, source)
                if written in seen or sum(1 for _ in walk(written)) > MAX_NODES:
                    continue
                seen.add(written)
                for form in dict.fromkeys((written, completed(written))):
                    for candidate in self._forms(form, tuple(chosen), expanded):
                        found.setdefault(candidate.body, candidate)
        if any(isinstance(j.extent, Num) and j.extent is not ONE for j in definition.indices):
            ranked = sorted(found.values(), key=lambda c: self._score(definition, c))
            for candidate in ranked[:3]:
                sliced = self._by_slices(definition, candidate)
                if sliced is not None:
                    found.setdefault(sliced.body, sliced)
        return list(found.values())

    def _by_slices(self, definition: Definition, candidate: Candidate) -> Candidate | None:
        """f(j) = Σ_c [j = c] f(c), for an index j of few values that brackets tell apart."""
        for j in definition.indices:
            told = [n for n in walk(candidate.body) if isinstance(n, Bracket) and {n.left, n.right} & {j}]
            if not told or not isinstance(j.extent, Num) or j.extent.value > MAX_SLICES:
                continue
            slices = []
            for c in range(int(j.extent.value)):
                inner = tidy(settled(substitute(candidate.body, {j: num(c)})))
                try:
                    parts = parts_of(expand(inner, self._is_forward))
                except TooManyTerms:
                    return None
                slices.append(mul(bracket("==", j, num(c)), factored(parts)))
            body = add(*slices)
            stage = ("factor", body, f"slice by slice along {j.name}")
            return Candidate(body, candidate.inlined, (*candidate.stages, stage))
        return None

    def _is_plain(self, body: Expr) -> bool:
        """One product under a sum, of which nothing can be written out, merged or read elsewhere."""
        nodes = list(walk(body))
        if any(isinstance(n, Add) or (isinstance(n, Call) and n.function in SIGNED) for n in nodes):
            return False
        if sum(isinstance(node, Sum) for node in nodes) > 1:
            return False
        return not (self.shelf.near(names_of(body)) or any(name in self.known for name in names_of(body)))

    def _light(self, body: Expr) -> list[str]:
        """Gradients that the body reads, directly or through each other, and that are cheap to repeat."""
        found: list[str] = []
        stack = [body]
        while stack and len(found) < MAX_INLINED:
            for tensor in tensors(stack.pop()):
                made = self.known.get(tensor.name)
                if made is None or tensor.name in found or in_one_piece(made):
                    continue
                if contracts(body, tensor) and is_whole(made.body) and not is_number(made):
                    continue
                if len(found) < MAX_INLINED and self._is_light(made):
                    found.append(tensor.name)
                    stack += [made.body, self.raw[tensor.name].body]
        return found

    @staticmethod
    def _is_reduced(made: Definition, reader: Definition) -> bool:
        """Whether a costly gradient is read by one of lower rank, which may need a part of it only."""
        return made.tensor.rank > reader.tensor.rank and not in_one_piece(made)

    def _linked(self, reader: Definition, light: Collection[str]) -> list[str]:
        """The costly products that meet, in what reads them, factors that something known may stand for."""
        found: list[str] = []
        mine, waiting = names_of(reader.body), [t.name for t in tensors(reader.body)]
        while waiting and len(found) < MAX_LINKED:
            name = waiting.pop(0)
            made = self.known.get(name)
            if made is None or isinstance(made.body, Element) or not (name in light or is_product(made.body)):
                continue
            other = names_of(made.body)
            reads = self.shelf.reads(mine | other)
            if name not in light:
                if not any(
                    names & other and not names <= other and (found or not names <= mine) for names in reads
                ):
                    continue
                found.append(name)
            mine |= other
            waiting += [t.name for t in tensors(made.body) if t.name not in found]
        return found

    def _is_light(self, made: Definition) -> bool:
        volume = max((self._costs.volume(t) for t in (*tensors(made.body), made.tensor)), default=1)
        return self._costs.of(made)[0] <= LIGHT * volume

    def _written(self, body: Expr, names: Sequence[str], source: Mapping[str, Definition]) -> Expr:
        """The body with the named gradients written out, as `source` has them."""

        def change(node: Expr) -> Expr | None:
            if isinstance(node, Access) and node.tensor.name in names:
                made = source[node.tensor.name]
                inner = substitute(made.body, dict(zip(made.indices, node.slots, strict=True)))
                return replace(inner, change)
            return None

        return replace(body, change) if names else body

    def _forms(self, written: Expr, inlined: tuple[str, ...], seen: set[object]) -> list[Candidate]:
        """The ways to write what is written out; `seen` are sums of terms tried before."""
        e = summed(tidy(settled(written)))
        start = ("write out", e, f"with {', '.join(inlined)} written out" if inlined else "")
        found = [Candidate(e, inlined, (start,))]
        # A product that comes through whole keeps its name.
        products = Shelf(patterns(self.raw[name] for name in inlined if is_product(self.raw[name].body)))
        for opaque in (self._is_written, self._is_forward, self._is_whole, lambda _: False):
            try:
                whole = [t for part in terms_of(e) for t in expand(part, opaque)]
                terms = [shortest(t) for term in whole for t in collapsed(term, opaque)]
            except TooManyTerms:
                continue
            alive, notes = self.dead_terms.without(terms)
            dead = (
                ("dead terms", sum_of(alive), "; ".join(dict.fromkeys(notes))) if notes else ("expand", e, "")
            )
            for left in (alive, multiplied_out(alive)):
                known = tuple((term.coefficient, frozenset(term.powers.items()), term.bound) for term in left)
                if known not in seen:
                    seen.add(known)
                    found += self._factored(left, opaque, products, Candidate(e, inlined, (start, dead)))
        return found

    def _factored(
        self, alive: Sequence[Term], opaque: Opaque, products: Shelf, so_far: Candidate
    ) -> list[Candidate]:
        """The ways to take common factors out of a sum of terms."""
        found: list[Candidate] = []
        again = [reused(part, products) for term in alive for part in self._reused(term, opaque)]
        names = new_names(alive, again)
        read = f"; {', '.join(names)} from the forward pass" if names else ""
        note = f"common factors come out{read}"
        parts = parts_of(again)
        written = [sums_read(factored(chosen), self.shelf) for chosen in (merged(parts), parts)]
        if any(n == DEEP for term in alive for n in term.powers.values()):
            written.append(cleared(factored(parts_of(alive))))  # 1 - y² may be 1 / (1 + x²) as well
        for form in dict.fromkeys([*written, *(cleared(form) for form in written)]):
            body = compared(positive(summed(gathered(form))))
            stages = (*so_far.stages, ("factor", body, note))
            found.append(Candidate(body, so_far.inlined, stages))
            for other, why in variants(body):
                found.append(Candidate(other, so_far.inlined, (*stages, ("factor", other, why))))
        return found

    def _reused(self, term: Term, opaque: Opaque) -> list[Term]:
        """The term with what is known read instead of computed again, and the deltas that leaves collapsed."""
        new = reused(self._unmasked(term), self.shelf)
        if new.powers == term.powers:
            return [term]
        # What collapses may meet what is known again; each time there are fewer factors.
        new = self._unmasked(new)
        return [part for left in collapsed(new, opaque) for part in self._reused(left, opaque)]

    def _unmasked(self, term: Term) -> Term:
        powers = unsigned_by(without_masks(term.powers, self.masked), self.nonnegative)
        return replaced(term, powers=powers) if len(powers) < len(term.powers) else term

    def _is_written(self, e: Add) -> bool:
        """Whether the forward pass itself writes the sum in brackets."""
        return canonical(e) in self.written

    def _is_forward(self, e: Add) -> bool:
        return not any(tensor.name in self.gradients for tensor in tensors(e))

    def _is_whole(self, e: Add) -> bool:
        return self._is_forward(e) and not has_quotient(e)

    def _roots(self, wanted: Collection[str]) -> dict[str, set[str]]:
        """For each gradient the wanted or costly ones that read it; two are enough to know that it is shared."""
        found: dict[str, set[str]] = {}
        for name, definition in reversed(self.raw.items()):
            own = {name} if name in wanted or not self._is_light(definition) else found.get(name, set())
            for tensor in tensors(definition.body):
                if tensor.name in self.raw:
                    known = found.setdefault(tensor.name, set())
                    if len(known) < 2:
                        known.update(own)
        return found

    # ---- costs

    def _score(self, definition: Definition, candidate: Candidate) -> Cost:
        """Operations and tokens of the definition together with what it still reads.

        What several wanted gradients share is computed anyway, so that writing it out saves less.
        """
        own = Definition(definition.tensor, definition.indices, candidate.body)
        flops, length = self._costs.of(own)
        seen: set[str] = set()
        stack = list(tensors(candidate.body))
        while stack:
            tensor = stack.pop()
            made = self.known.get(tensor.name)
            if tensor in self.hidden and tensor.name not in seen:  # has no name of the user's to be read by
                seen.add(tensor.name)
                flops += self._costs.of(self.hidden[tensor])[0]
                stack += tensors(self.hidden[tensor].body)
                continue
            if made is None or tensor.name in seen or tensor.name not in self._considered:
                continue
            seen.add(tensor.name)
            cost = self._costs.of(made)
            flops += cost[0]
            length += (cost[1] + 3) // (2 if self._is_shared(tensor.name, own, candidate) else 1)
            stack += tensors(made.body)
        for name in self._considered - seen:
            if name in self.readers and name in self.known and self._is_shared(name, own, candidate):
                flops += self._costs.of(self.known[name])[0] // 2
        return flops, length

    def _is_shared(self, name: str, reader: Definition, candidate: Candidate) -> bool:
        """Whether several wanted gradients read it, and by other ways than through this one."""
        if len(self.roots.get(name, ())) < 2:
            return False
        others = self.readers.get(name, set()) - {reader.tensor.name, *candidate.inlined}
        # Where all of these are published with it written out, it is not computed any more.
        if any(n not in self.known or name in names_of(self.known[n].body) for n in others):
            return True
        # What a shared line only arranges anew is computed for that line.
        views = (n for n in candidate.inlined if isinstance(self.known[n].body, Access))
        return any(n in self.readers[name] and self._is_shared(n, reader, candidate) for n in views)
