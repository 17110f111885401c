"""The law of accumulation: is the gradient of a batch a weighted sum of the gradients of its parts?

The loss is evaluated on a batch and on parts of it, at sizes that differ and with random values of the exact
domain: equal there means equal. Rules of combining are "mean" (1/K each), "sum", "size" (the part's share of the
batch) and any scalar expression of the language (the part's share of that count).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np

from pullback.errors import DomainProblem, NameProblem, PullbackError, ShapeProblem, nearest
from pullback.evaluator import (
    Float64,
    HighPrecision,
    Interpreter,
    PrimeField,
    Rational,
    random_inputs,
    small_integers,
)
from pullback.evaluator.derivatives import gradient_in
from pullback.evaluator.domain import Domain, Unrepresentable
from pullback.evaluator.sizes import assignments, extents_in, literals_in
from pullback.expression import Definition, Size, Tensor, sizes_in, tensors
from pullback.program import Program
from pullback.reading import read_lines
from pullback.reading.syntax import parse
from pullback.verify.tree import additive_terms

RULES: Final = ("mean", "sum", "size")
UNEQUAL: Final = ((2, 3), (1, 3), (1, 2, 2))
EQUAL: Final = ((2, 2), (3, 3), (2, 2, 2))
SMALL: Final = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3))
TRIALS: Final = 16
DRAWS: Final = 24  # of small integers, at each split, in search of a counterexample
MOST_COUNTS: Final = 6  # denominators of the program that are tried as weights
TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Parted:
    """A counterexample: a batch, its parts, and one number of each."""

    sizes: Mapping[str, int]
    parts: tuple[int, ...]
    inputs: Mapping[str, Any]
    entry: str  # `L`, or `dw[0]`
    whole: Any
    each: tuple[Any, ...]
    weights: tuple[Any, ...]
    combined: Any


@dataclass(slots=True)
class Law:
    """A program with a scalar loss, and the size that is split."""

    program: Program
    batch: str
    axes: dict[str, int] = field(default_factory=dict)  # batch input -> the axis that is split
    counts: dict[str, tuple[Definition, ...]] = field(default_factory=dict)
    _counted: set[str] | None = None

    def __post_init__(self) -> None:
        if self.program.output.rank:
            raise ShapeProblem(f"{self.program.output} is no scalar", hint="a loss: L = mean(…)")
        if self.batch not in self.program.sizes:
            close = nearest(self.batch, self.program.sizes)
            hint = f"did you mean {close}?" if close else f"the sizes are {', '.join(self.program.sizes)}"
            raise NameProblem(f"{self.batch} is not a size of the program", hint=hint)
        for tensor in self.program.inputs:
            held = [k for k, extent in enumerate(tensor.shape) if self.batch in sizes_in(extent)]
            if len(held) > 1 or any(tensor.shape[k] is not Size(self.batch) for k in held):
                what = f"{tensor} cannot be split along {self.batch}: its shape holds it twice, or inside an expression"
                raise DomainProblem(what, hint="split along a size that is one axis")
            if held:
                self.axes[tensor.name] = held[0]
        if not self.axes:
            raise DomainProblem(f"no input has an axis {self.batch}", hint=f"X: [{self.batch}, D]")

    # ---- weights

    def count(self, text: str) -> tuple[Definition, ...]:
        """The lines of a scalar expression by whose share a part is weighted."""
        if text not in self.counts:
            program = self.program
            hidden = {d.tensor.name for d in program.definitions if not d.source}
            known = {word: t for word, t in program.by_name.items() if word not in hidden}
            target = {"weight_of_part": Tensor("weight_of_part", ())}
            self.counts[text] = read_lines(
                text, known, sizes=program.sizes, ranges=program.ranges, targets=target, reserved=hidden
            )
        return self.counts[text]

    def denominators(self) -> list[str]:
        """Scalar expressions by which the program divides, innermost names first."""
        _, statements = parse(self.program.source)
        found: dict[str, None] = {}
        for node in (n for s in statements for n in ast.walk(s)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                found[ast.unparse(node.right)] = None
        usable = []
        for text in found:
            try:
                lines = self.count(text)
            except PullbackError:
                continue
            if self.batch in self._read(lines) or any(name in self._read(lines) for name in self.axes):
                usable.append(text)
        return usable[:MOST_COUNTS]

    def shared(self) -> tuple[list[str], str]:
        """The terms of the loss that no batch input reaches, and the program without them."""
        _, statements = parse(self.program.source)
        last = statements[-1]
        if not isinstance(last, ast.Assign) or not isinstance(last.targets[0], ast.Name):
            return [], ""
        terms = additive_terms(last.value)
        kept: list[str] = []
        alone: list[str] = []
        for sign, term in terms:
            text = ast.unparse(term)
            try:
                read = self._read(self.count(text))
            except PullbackError:
                return [], ""
            free = self.batch not in read and not any(name in read for name in self.axes)
            (alone if free else kept).append(text if sign > 0 else f"-({text})")
        above = "\n".join(ast.unparse(statement) for statement in statements[:-1])
        return (alone, f"{above}\n{last.targets[0].id} = {' + '.join(kept)}") if kept else ([], "")

    def _read(self, lines: Sequence[Definition]) -> set[str]:
        """Everything that the lines depend on: tensors and sizes, by name."""
        by_name = {d.tensor.name: d for d in (*self.program.definitions, *lines)}
        found: set[str] = set()
        wanted = [lines[-1].tensor.name]
        while wanted:
            name = wanted.pop()
            if name in found:
                continue
            found.add(name)
            if name in by_name:
                body = by_name[name].body
                found |= sizes_in(body)
                from_body = {t.name for t in tensors(body)}
                wanted += [n for n in from_body if n not in found]
        return found

    # ---- evaluation

    def sizes(self) -> dict[str, int]:
        """Distinct small sizes at which the program is legal; the batch is set by the parts."""
        extents = extents_in(self.program.definitions, self.program.inputs, ())
        found = next(iter(assignments(extents, literals_in(d.body for d in self.program.definitions))), None)
        if found is None:
            raise ShapeProblem("no small sizes were found at which the definitions can be evaluated")
        return dict(found)

    def part(
        self, values: Mapping[str, Any], parts: Sequence[int], k: int, domain: Domain[Any]
    ) -> dict[str, Any]:
        """The inputs of one part: its share of every batch input, and the rest as it is."""
        start = sum(parts[:k])
        chosen = dict(values)
        for tensor in self.program.inputs:
            if tensor.name in self.axes:
                cut = _cut(start, start + parts[k], self.axes[tensor.name] - tensor.rank)
                value = values[tensor.name]
                chosen[tensor.name] = cut(value) if tensor.is_integer else domain.restructure(value, cut)
        return chosen

    def real(self) -> list[Tensor]:
        """The inputs whose gradients are compared, those without a batch axis first."""
        counted = self.counted()
        used = self._read(self.program.definitions[-1:])
        found = [t for t in self.program.inputs if not t.is_integer and t.name in used]
        found = [
            t for t in found if (t.name not in self.axes or t.name not in counted) and not self.is_weight(t)
        ]
        return sorted(found, key=lambda t: t.name in self.axes)

    def counted(self) -> set[str]:
        """What the denominators read: masks and weights are data, whose gradients nobody asks for."""
        if self._counted is None:
            self.denominators()
            self._counted = set().union(*(self._read(lines) for lines in self.counts.values()))
        return self._counted

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether a denominator is a weighted count: twice as much of the tensor is twice the count."""
        if tensor.name not in self.counted():
            return False
        domain, sizes = Float64(TOLERANCE), {**self.sizes(), self.batch: UNEQUAL[0][1]}
        values = random_inputs(self.program.inputs, sizes, domain, np.random.default_rng(5), positive=True)
        doubled = {**values, tensor.name: 2 * values[tensor.name]}
        for lines in self.counts.values():
            if tensor.name in self._read(lines):
                counts = [
                    Interpreter(
                        domain, sizes, {}, lines, self.world(sizes, sizes[self.batch], v, domain).tensor
                    )
                    for v in (values, doubled)
                ]
                once, twice = (np.asarray(c.tensor(lines[-1].tensor.name), dtype=float) for c in counts)
                if not np.allclose(twice, 2 * once):
                    return False
        return True

    def compared(
        self,
        rule: str,
        parts: Sequence[int],
        sizes: Mapping[str, int],
        values: Mapping[str, Any],
        domain: Domain[Any],
    ) -> Iterator[tuple[str, Any, list[Any], list[Any], Any]]:
        """(name, of the batch, of each part, weights, combined) for the loss and each gradient."""
        output = self.program.output
        whole = self.world(sizes, sum(parts), values, domain)
        pieces = [
            self.world(sizes, b, self.part(values, parts, k, domain), domain) for k, b in enumerate(parts)
        ]
        weights = self.weights(rule, parts, pieces, domain)
        for tensor in (None, *self.real()):
            if tensor is None:
                total, each = whole.tensor(output.name), [piece.tensor(output.name) for piece in pieces]
                yield output.name, total, each, weights, _combined(domain, weights, each, 0)
                continue
            total = self.gradient(whole, tensor, domain)
            each = [self.gradient(piece, tensor, domain) for piece in pieces]
            if tensor.name not in self.axes:
                yield f"d{tensor.name}", total, each, weights, _combined(domain, weights, each, tensor.rank)
                continue
            axis = self.axes[tensor.name] - tensor.rank
            for k, (weight, own) in enumerate(zip(weights, each, strict=True)):
                start = sum(parts[:k])
                share = domain.restructure(total, _cut(start, start + parts[k], axis))
                found = _combined(domain, [weight], [own], tensor.rank)
                yield f"d{tensor.name}", share, [own], [weight], found

    def world(
        self, sizes: Mapping[str, int], batch: int, values: Mapping[str, Any], domain: Domain[Any]
    ) -> Interpreter[Any]:
        return Interpreter(domain, {**sizes, self.batch: batch}, values, self.program.definitions)

    def gradient(self, world: Interpreter[Any], tensor: Tensor, domain: Domain[Any]) -> Any:
        found = gradient_in(world, tensor, self.program.output, None)
        shape = tuple(world.size(extent) for extent in tensor.shape)
        return domain.restructure(found, lambda x: np.broadcast_to(x, np.broadcast_shapes(x.shape, shape)))

    def weights(
        self, rule: str, parts: Sequence[int], pieces: Sequence[Interpreter[Any]], domain: Domain[Any]
    ) -> list[Any]:
        match rule:
            case "sum":
                return [domain.number(Fraction(1)) for _ in parts]
            case "mean":
                return [domain.number(Fraction(1, len(parts))) for _ in parts]
            case "size":
                return [domain.number(Fraction(b, sum(parts))) for b in parts]
        lines = self.count(rule)
        counts = [
            Interpreter(domain, piece.sizes, {}, lines, piece.tensor).tensor(lines[-1].tensor.name)
            for piece in pieces
        ]
        total = counts[0]
        for count in counts[1:]:
            total = domain.add(total, count)
        inverse = domain.reciprocal(total)
        return [domain.mul(count, inverse) for count in counts]

    # ---- verdicts

    def holds(self, rule: str, splits: Sequence[tuple[int, ...]]) -> tuple[bool | None, bool]:
        """(whether the rule is right at these splits, whether that is exact)."""
        domains: tuple[Domain[Any], ...] = (PrimeField(TRIALS, key=23), Float64(TOLERANCE, TRIALS))
        found = [self._agrees(rule, splits, domain) for domain in domains]
        if found[0] is True and found[1] is not False:
            return True, True
        return (found[1], False) if found[0] is None or found[1] is True else (found[1], found[1] is False)

    def _agrees(self, rule: str, splits: Sequence[tuple[int, ...]], domain: Domain[Any]) -> bool | None:
        seen = False
        for parts in splits:
            sizes = {**self.sizes(), self.batch: sum(parts)}
            values = random_inputs(self.program.inputs, sizes, domain, np.random.default_rng(3))
            try:
                with np.errstate(all="ignore"):
                    for _, whole, _, _, combined in self.compared(rule, parts, sizes, values, domain):
                        differs, known = domain.difference(whole, combined)
                        if differs.any():
                            return False
                        seen = seen or bool(known.any())
            except (Unrepresentable, np.linalg.LinAlgError):
                return None
        return True if seen else None

    def is_coupled(self) -> bool:
        """Whether no weights at all make the gradients of parts into that of the batch."""
        domain, parts = Float64(TOLERANCE), UNEQUAL[0]
        sizes = {**self.sizes(), self.batch: sum(parts)}
        values = random_inputs(self.program.inputs, sizes, domain, np.random.default_rng(4))
        rows: list[Any] = []
        wanted: list[Any] = []
        with np.errstate(all="ignore"):
            for name, whole, each, _, _ in self.compared("sum", parts, sizes, values, domain):
                if name != self.program.output.name and len(each) == len(parts):
                    rows.append(np.stack([np.asarray(own, dtype=float).ravel() for own in each], axis=1))
                    wanted.append(np.asarray(whole, dtype=float).ravel())
        if not rows:
            return False
        a, b = np.concatenate(rows), np.concatenate(wanted)
        if not (np.isfinite(a).all() and np.isfinite(b).all()) or len(b) <= len(parts):
            return False
        solution = np.linalg.lstsq(a, b, rcond=None)[0]
        return bool(np.abs(a @ solution - b).max() > 1e-6 * max(1.0, float(np.abs(b).max())))

    def witness(self, rule: str) -> Parted | None:
        """The smallest split, sizes and integers at which the rule fails."""
        rng = np.random.default_rng(2)
        base = self.sizes()
        for parts in SMALL:
            for rest in (dict.fromkeys(base, 1), base):
                sizes = {**rest, self.batch: sum(parts)}
                for k in range(DRAWS):
                    found = self._witness_at(rule, parts, sizes, self._drawn(sizes, rng, 2 * k < DRAWS))
                    if found is not None:
                        return found
        return None

    def _drawn(self, sizes: Mapping[str, int], rng: np.random.Generator, dense: bool) -> dict[str, Any]:
        """Small integers. A zero hides what it touches; those of a mask are its meaning."""
        raw = small_integers(self.program.inputs, sizes, rng, None, 2)
        for tensor in self.program.inputs if dense else ():
            if not tensor.is_integer and not tensor.facts and tensor.name not in self.counted():
                raw[tensor.name] = np.where(raw[tensor.name] == 0, 1, raw[tensor.name])
        return raw

    def _witness_at(
        self, rule: str, parts: tuple[int, ...], sizes: Mapping[str, int], raw: Mapping[str, Any]
    ) -> Parted | None:
        for domain in (Rational(), HighPrecision()):
            values = {
                t.name: raw[t.name] if t.is_integer else domain.integers(raw[t.name])
                for t in self.program.inputs
            }
            try:
                for name, whole, each, weights, combined in self.compared(rule, parts, sizes, values, domain):
                    differs, _ = domain.difference(whole, combined)
                    if not differs.any() or len(each) < len(parts):
                        continue
                    at = tuple(int(i) for i in np.argwhere(differs)[0])
                    entry = f"{name}[{','.join(map(str, at))}]" if at else name
                    numbers = [np.broadcast_to(x, np.shape(whole))[at] for x in (whole, *each, combined)]
                    used = self._read(self.program.definitions[-1:])
                    shown = {key: np.asarray(value).tolist() for key, value in raw.items() if key in used}
                    scales = tuple(np.asarray(w).item() for w in weights)
                    each_number = tuple(numbers[1:-1])
                    return Parted(
                        dict(sizes), parts, shown, entry, numbers[0], each_number, scales, numbers[-1]
                    )
            except (Unrepresentable, ZeroDivisionError, OverflowError, PullbackError):
                continue
            return None
        return None


def _cut(start: int, end: int, axis: int) -> Any:
    def cut(x: Any) -> Any:
        return np.take(x, range(start, end), axis=x.ndim + axis)

    return cut


def _combined(domain: Domain[Any], weights: Sequence[Any], each: Sequence[Any], rank: int) -> Any:
    def widened(x: Any) -> Any:
        return x.reshape(x.shape + (1,) * rank)

    total = None
    for weight, own in zip(weights, each, strict=True):
        term = domain.mul(domain.restructure(weight, widened), own)
        total = term if total is None else domain.add(total, term)
    return total
