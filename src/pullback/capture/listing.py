"""From recorded arrays to the writer's lines: one phrase of the language an operation."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.arrays import Array, generic
from pullback.capture.captured import Captured
from pullback.capture.subscripts import Span
from pullback.capture.writing import Kind, Style, Value, Writer, shape_list
from pullback.expression import (
    NEGATED,
    ONE,
    ZERO,
    Access,
    Bracket,
    Expr,
    Index,
    Mul,
    Num,
    Size,
    bracket,
    mul,
    walk,
)
from pullback.expression import replace as rewrite
from pullback.functions import FUNCTIONS
from pullback.notation import code
from pullback.sizes import same_size, size_text
from pullback.tracing.numbers import Untraceable

KINDS: Final[dict[str, Kind]] = {"real": "float", "integer": "int", "truth": "bool"}
TEMPLATES: Final[dict[str, str]] = {
    **{op: f"{{0}} {op} {{1}}" for op in ("+", "-", "*", "/", "**", *NEGATED)},
    **{
        name: f"{name}({', '.join(f'{{{k}}}' for k in range(row.arity))})"
        for name, row in FUNCTIONS.items()
        if name not in ("floordiv", "mod")
    },
    "sqrt": "sqrt({0})", "neg": "-{0}", "and": "{0} * {1}", "or": "maximum({0}, {1})", "not": "1 - {0}",
}  # fmt: skip
REDUCTIONS: Final = ("sum", "mean", "max", "min", "prod", "norm", "logsumexp")
ALONG: Final = ("softmax", "log_softmax", "cumsum")
OPERATORS: Final = ("inv", "det", "logdet", "solve", "cholesky")
WHOLE: Final = ("trace", "diag", "outer", "kron", *OPERATORS)
CONVOLUTIONS: Final = ("conv1d", "conv2d", "max_pool2d", "avg_pool2d")
INDEX_NAMES: Final = "ijklpqrstuvwabcdefgmnoxyz"


class Listing:
    """Writes what an output needs, in the order in which the code computed it."""

    def __init__(self, sizes: Mapping[str, int], taken: Sequence[str]) -> None:
        self.writer = Writer()
        self.writer.sizes = dict(sizes)
        self.taken = {*taken, *sizes}
        self.found: dict[Array, Value] = {}
        self.written: dict[
            tuple[Any, ...], Value
        ] = {}  # known arrays by their entries, costly ones by what they read

    def captured(self, inputs: Sequence[Array], output: Array, name: str = "") -> Captured:
        """The program of `output`; `inputs` in the order in which they are to be declared."""
        needed = _needed(output)
        for x in (*inputs, *sorted((x for x in needed if x.op == "constant"), key=lambda x: x.serial)):
            self._input(x)
        for x in sorted(needed, key=lambda x: x.serial):
            self.value(x)
        return self.writer.finish(self.value(output), name)

    def _input(self, x: Array) -> None:
        if x in self.found:
            return
        if x.op == "constant":
            self.found[x] = self.writer.constant(x.options["values"], x.hint or "c")
            return
        extent = x.options.get("extent")
        kind = KINDS[x.kind]
        self.found[x] = self.writer.input(
            x.hint,
            x.shape,
            kind=kind,
            values=x.options.get("values"),
            extent=extent,
            parameter=bool(x.options.get("parameter")),
            constant=bool(x.options.get("constant")),
        )

    def value(self, x: Array) -> Value:
        """The writer's value for an array."""
        if x not in self.found:
            self.writer.place = x.place
            made = (
                self._known(x)
                if x.op == "known"
                else self._entries(x)
                if x.op == "moved"
                else self._phrase(x)
            )
            if x.hint and made.tree is not None and x.op != "input":
                made.hint = made.hint or x.hint
                made.named = made.named or x.op not in ("known",)
            self.found[x] = made
        return self.found[x]

    # ---- entry by entry

    def _known(self, x: Array) -> Value:
        e = x.constant()
        if e is not None:
            if isinstance(e, Num) and x.rank:
                return self.writer.filled(_plain_number(e), x.shape, "float")
            text = code(e) if not x.rank else f"{code(e)} * ones({shape_list(x.shape)})"
            made = Value(x.shape, "float", ast.parse(text, mode="eval").body)
            made.number = _plain_number(e) if isinstance(e, Num) else None
            return made
        key = (x.shape, x.at(generic(x.shape)))
        if key not in self.written:
            self.written[key] = self._special(x) or self._entries(x)
        return self.written[key]

    def _special(self, x: Array) -> Value | None:
        """eye and onehot, where the entries are those."""
        at = generic(x.shape)
        match x.at(at):
            case Bracket("==", a, b) if x.rank == 2 and {a, b} == set(at) and same_size(*x.shape):
                text = f"eye({size_text(x.shape[0])})"
                return self.writer.define(text, shape=x.shape, kind="float", style="view", hint=x.hint)
            case Mul((Num() as factor, Bracket("==", a, b))) if x.rank == 2 and {a, b} == set(at):
                if same_size(*x.shape):
                    text = f"{code(factor)} * eye({size_text(x.shape[0])})"
                    return self.writer.define(text, shape=x.shape, kind="float", hint=x.hint)
            case Bracket("==", a, b) if x.rank:
                for one, other in ((a, b), (b, a)):
                    if other is at[-1] and isinstance(one, Access) and one.slots == at[:-1]:
                        return self._onehot(x, one)
        return None

    def _onehot(self, x: Array, read: Access) -> Value | None:
        source = next((s for s in x.args if s.tensor is read.tensor), None)
        if source is None or source.op != "input":
            return None
        extent = source.options.setdefault("extent", x.shape[-1])
        if not same_size(extent, x.shape[-1]):
            return None
        self.writer.ranges_over(self.found[source], extent)
        template = f"onehot({{0}}, {size_text(x.shape[-1])})"
        return self.writer.define(template, self.found[source], shape=x.shape, style="view", hint=x.hint)

    def _entries(self, x: Array) -> Value:
        """A line in index notation."""
        if not x.rank:
            return self._entry(x)
        taken = self.taken | {source.hint for source in x.args}
        letters = [c for c in INDEX_NAMES if c not in taken]
        names = tuple(letters[: x.rank])
        at = tuple(Index(name, size) for name, size in zip(names, x.shape, strict=True))
        e = x.at(at)
        picked = self._picked(x, at, e)
        if picked is not None:
            return picked
        operands, template = self._template(x, e)
        made = self.writer.define(
            template, *operands, shape=x.shape, indices=names, hint=x.hint or self._wish(x, e), named=True
        )
        made.declared = not _shown(e, at)
        return made

    def _picked(self, x: Array, at: tuple[Index, ...], e: Expr) -> Value | None:
        """`E[t]`, rows by an array of integers, and `P[arange(N), t]`, one entry of each row."""
        if not isinstance(e, Access):
            return None
        reads = [slot for slot in e.slots if isinstance(slot, Access)]
        source, index = (
            next((s for s in x.args if s.tensor is tensor), None)
            for tensor in (e.tensor, reads[0].tensor if len(reads) == 1 else None)
        )
        if source is None or index is None or index.op != "input":
            return None
        k = e.slots.index(reads[0])
        extent = index.options.setdefault("extent", source.shape[k])
        if not same_size(extent, source.shape[k]):
            return None
        if k == 0 and (*reads[0].slots, *e.slots[1:]) == at:
            template = "{0}[{1}]"
        elif e.slots == (*at, reads[0]) and reads[0].slots == at and same_size(source.shape[0], x.shape[0]):
            template = f"{{0}}[arange({size_text(x.shape[0])}), {{1}}]"
        else:
            return None
        operands = self.value(source), self.value(index)
        self.writer.ranges_over(operands[1], extent)
        return self.writer.define(template, *operands, shape=x.shape, style="view", hint=x.hint)

    def _entry(self, x: Array) -> Value:
        """A single entry: a line of index notation without indices is one of matrix notation."""
        e = x.at(())
        operands, template = self._template(x, e)
        if any(
            not isinstance(slot, Num | Size)
            for part in walk(e)
            if isinstance(part, Access)
            for slot in part.slots
        ):
            one = self.writer.define(
                template, *operands, shape=(ONE,), indices=("i",), hint=x.hint, named=True
            )
            one.declared = True
            return self.writer.define("{0}[0]", one, shape=(), style="view")
        return self.writer.define(template, *operands, shape=(), hint=x.hint, style="view")

    def _template(self, x: Array, e: Expr) -> tuple[list[Value], str]:
        e = rewrite(e, _unaligned)
        read = [source for source in x.args if any(_accesses(e, source))]
        operands = [self.value(source) for source in read]
        for operand in operands:
            operand.named = True
        places = {str(source.serial): k for k, source in enumerate(read)}
        text = re.sub(r"(?<![A-Za-z0-9_])_(\d+)\b", lambda m: f"{{{places[m[1]]}}}", code(e))
        return operands, text

    @staticmethod
    def _wish(x: Array, e: Expr) -> str:
        if x.kind == "truth" or isinstance(e, Bracket):
            return "mask"
        if x.op == "known":
            return "c"
        sources = [s for s in x.args if s.kind == "real" and s.hint]
        return f"{sources[0].hint}_at" if len(sources) == 1 else ""

    # ---- operations

    def _phrase(self, x: Array) -> Value:
        operands = [self.value(a) for a in x.args]
        if x.op in REDUCTIONS or x.op in ALONG or x.op == "@":
            return self._once(x, operands)
        if x.op in TEMPLATES:
            kind: Kind = "bool" if x.kind == "truth" else "float"
            if len(operands) > 1:
                return self.writer.elementwise(TEMPLATES[x.op], *operands, kind=kind)
            return self.writer.define(TEMPLATES[x.op], *operands, shape=x.shape, kind=kind)
        if x.op in WHOLE:
            return self._whole(x, operands)
        if x.op in CONVOLUTIONS:
            return self._convolution(x, operands)
        row = _ROWS.get(x.op)
        if row is None:
            raise Untraceable(f"{x.op} has no meaning in the language")
        made: Value = row(self, x, operands)
        return made

    def _once(self, x: Array, operands: Sequence[Value]) -> Value:
        """What costs a pass over its operands is computed once: `x.var()` reads the `x.mean()` that has a name."""
        key = (x.op, *map(id, operands), *sorted(x.options.items()))
        if key not in self.written:
            if x.op in REDUCTIONS:
                made = phrases.reduce(
                    self.writer, x.op, operands[0], x.options["axes"], x.options["keepdims"]
                )
            elif x.op in ALONG:
                made = phrases.along(self.writer, x.op, operands[0], x.options["axes"])
            else:
                made = phrases.matmul(self.writer, operands[0], operands[1])
            self.written[key] = made
        return self.written[key]

    def _whole(self, x: Array, operands: Sequence[Value]) -> Value:
        places = ", ".join(f"{{{k}}}" for k in range(len(operands)))
        style: Style = "operator" if x.op in OPERATORS else "view"
        if x.op in ("det", "logdet", "inv", "cholesky", "solve"):
            for operand in operands[:1]:
                operand.hint = operand.hint or "S"
                if x.op == "cholesky":
                    operand.named = True
                    self.writer.assume[operand] = "spd"
        return self.writer.define(f"{x.op}({places})", *operands, shape=x.shape, style=style)

    def _convolution(self, x: Array, operands: Sequence[Value]) -> Value:
        places = ", ".join(f"{{{k}}}" for k in range(len(operands)))
        options = "".join(
            f", {name}={_option(v)}" for name, v in x.options.items() if name in _CONVOLUTION_OPTIONS
        )
        style: Style = "operator" if x.op == "max_pool2d" else "contraction"
        return self.writer.define(f"{x.op}({places}{options})", *operands, shape=x.shape, style=style)

    def _subscript(self, x: Array, operands: Sequence[Value]) -> Value:
        source = x.args[0]
        slots = [_slot(span, size) for span, size in zip(x.options["spans"], source.shape, strict=True)]
        while len(slots) > 1 and slots[-1] == ":":
            slots.pop()
        return self.writer.define(f"{{0}}[{', '.join(slots)}]", *operands, shape=x.shape, style="view")

    def _broadcast(self, x: Array, operands: Sequence[Value]) -> Value:
        return self.writer.define(f"{{0}} * ones({shape_list(x.shape)})", *operands, shape=x.shape)

    def _scatter(self, x: Array, operands: Sequence[Value]) -> Value:
        """Y[v,j] = Σ_n (t[n] == v) * X[n,j]"""
        index, value = x.options["index"], x.args[0]
        taken = self.taken | {source.hint for source in x.args}
        letters = iter(c for c in INDEX_NAMES if c not in taken)
        sizes = (*index.shape, *x.shape)
        rows = [Index(next(letters), size) for size in sizes]
        inner = rows[index.rank + 1 :]
        target = rows[index.rank]
        here = bracket("==", index.at(tuple(rows[: index.rank])), target)
        entries, template = self._template(x, mul(here, value.at((*rows[: index.rank], *inner))))
        names = tuple(i.name for i in (target, *inner))
        made = self.writer.define(template, *entries, shape=x.shape, indices=names, named=True)
        made.declared = True
        return made

    def _triangle(self, x: Array, operands: Sequence[Value]) -> Value:
        k: Expr = x.options["k"]
        text = f"{x.op}({{0}})" if k is ZERO else f"{x.op}({{0}}, {size_text(k)})"
        return self.writer.define(text, *operands, shape=x.shape)


_CONVOLUTION_OPTIONS: Final = ("size", "stride", "padding", "dilation", "groups")
_ROWS: Final[Mapping[str, Any]] = {
    "einsum": lambda self, x, o: phrases.einsum(self.writer, x.options["spec"], o),
    "reshape": lambda self, x, o: phrases.reshape(self.writer, o[0], x.shape),
    "transpose": lambda self, x, o: phrases.transpose(self.writer, o[0], x.options["order"]),
    "concatenate": lambda self, x, o: phrases.concatenate(self.writer, o, x.options["axis"]),
    "flip": lambda self, x, o: phrases.flip(self.writer, o[0], x.options["axes"]),
    "as real": lambda self, x, o: o[0],
    "subscript": Listing._subscript,
    "broadcast": Listing._broadcast,
    "scatter": Listing._scatter,
    "tril": Listing._triangle,
    "triu": Listing._triangle,
}


def _needed(output: Array) -> set[Array]:
    found = {output}
    waiting = [output]
    while waiting:
        x = waiting.pop()
        for a in x.args:
            if a not in found:
                found.add(a)
                waiting.append(a)
    return found


def _unaligned(e: Expr) -> Expr | None:
    """An index that runs further than the axis it reads does not stand alone in the slot, which would be its range."""
    if not isinstance(e, Access):
        return None
    pairs = list(zip(e.slots, e.tensor.shape, strict=True))
    if all(not isinstance(i, Index) or same_size(i.extent, n) for i, n in pairs):
        return None
    slots = (
        Index(f"{i.name} + 0", i.extent) if isinstance(i, Index) and not same_size(i.extent, n) else i
        for i, n in pairs
    )
    return Access(e.tensor, tuple(slots))


def _plain_number(e: Num) -> float | int:
    whole = e.value.denominator == 1 and abs(e.value) < 10**15
    return int(e.value) if whole else float(e.value)


def _accesses(e: Expr, source: Array) -> list[Access]:
    tensor = source.tensor
    return [part for part in walk(e) if isinstance(part, Access) and part.tensor is tensor]


def _shown(e: Expr, at: Sequence[Index]) -> bool:
    """Whether every index stands alone in a slot of its own size, so that its range is seen."""
    seen = set()
    for part in walk(e):
        if isinstance(part, Access):
            for slot, size in zip(part.slots, part.tensor.shape, strict=True):
                if isinstance(slot, Index) and same_size(slot.extent, size):
                    seen.add(slot)
    return set(at) <= seen


def _slot(span: Span, size: Expr) -> str:
    if span.single:
        return size_text(span.start)
    if span.covers(size):
        return ":"
    first = "" if span.start is ZERO else size_text(span.start)
    last = "" if same_size(span.stop, size) else size_text(span.stop)
    return f"{first}:{last}" + (f":{span.step}" if span.step != 1 else "")


def _option(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(_option(v) for v in value)})"
    return size_text(value) if isinstance(value, Expr) else str(value)
