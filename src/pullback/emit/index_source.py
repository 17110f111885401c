"""Index notation in array words: every factor gathered over its own indices, one einsum for a term."""

from __future__ import annotations

from collections.abc import Sequence

from pullback.affine import is_plain, within
from pullback.emit.convolutions import convolution
from pullback.emit.operator_source import operator_text
from pullback.errors import PullbackError
from pullback.expression import (
    MINUS_ONE,
    Access,
    Add,
    Bracket,
    Call,
    Const,
    Definition,
    Element,
    Expr,
    Index,
    Mul,
    Num,
    Pow,
    Size,
    Sum,
    add,
    free,
    tensors,
    terms_of,
)
from pullback.notation import code, decimal, left_side, show

Assignment = tuple[str, str]  # a name, and an expression in neutral words


class IndexWriter:
    """Writes one definition in index notation as assignments in the words that a `Speller` reads."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.grids: dict[str, Index] = {}
        self.is_call = True  # whether every term is one call that a person knows by name

    @property
    def comment(self) -> str:
        """The line as mathematics."""
        return f"{show(left_side(self.definition))} = {show(self.definition.body)}"

    def lines(self) -> list[Assignment]:
        """The ranges of the indices that stand as values, then the line itself."""
        left = self.definition.indices
        body = self.definition.body
        terms = terms_of(body)
        texts = [self._term(term, left) for term in terms]
        value = " + ".join(texts)
        name = self.definition.tensor.name
        grids = [(_grid(i), f"arange({_size(i.extent)})") for i in self.grids.values()]
        missing = set(left) - free(body)
        if missing:
            value = f"broadcast({value}, [{', '.join(_size(i.extent) for i in left)}])"
        return [*grids, (name, value)]

    def _term(self, term: Expr, over: Sequence[Index]) -> str:
        """A term as an array over the left side's indices, a size of 1 where it does not depend on one."""
        found = convolution(term, over)
        if found is not None:
            return " * ".join([found.text(), *(self._value(number, ()) for number in found.numbers)])
        self.is_call = False
        factors = list(term.factors) if isinstance(term, Mul) else [term]
        sums = [factor for factor in factors if isinstance(factor, Sum)]
        if sums:
            inner = sums[0].body
            rest = [factor for factor in factors if factor is not sums[0]]
            factors = [*rest, *(inner.factors if isinstance(inner, Mul) else (inner,))]
        numbers = [factor for factor in factors if not free(factor) and not tensors(factor)]
        others = [factor for factor in factors if factor not in numbers]
        kept = [index for index in over if any(index in free(factor) for factor in others)]
        text = self._einsum(others, kept) if sums or len(others) > 1 else self._plain(others, kept)
        places = ", ".join(":" if index in kept else "None" for index in over)
        if len(kept) < len(over) and kept:
            text = f"{text}[{places}]"
        for number in numbers:
            text = f"{text} * {self._value(number, ())}"
        return text

    def _plain(self, factors: list[Expr], kept: list[Index]) -> str:
        return self._value(factors[0], tuple(kept)) if factors else "1.0"

    def _einsum(self, factors: list[Expr], kept: list[Index]) -> str:
        letters: dict[Index, str] = {}
        alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        inputs, arrays = [], []
        for factor in factors:
            indices = tuple(sorted(free(factor), key=lambda index: index.name))
            if isinstance(factor, Access):
                if is_plain(factor):
                    indices = tuple(s for s in factor.slots if isinstance(s, Index))
            for index in indices:
                if index not in letters:
                    wanted = [index.name[0], *alphabet]
                    letters[index] = next(c for c in wanted if c not in letters.values())
            inputs.append("".join(letters[index] for index in indices))
            arrays.append(self._value(factor, indices))
        spec = f"{','.join(inputs)}->{''.join(letters[index] for index in kept)}"
        return f'einsum("{spec}", {", ".join(arrays)})'

    # -- values as arrays over given indices ----------------------------------------------------

    def _value(self, e: Expr, over: tuple[Index, ...]) -> str:
        """An expression without sums as an array with one axis for each index of `over`."""
        match e:
            case Num(value):
                text = decimal(value) or f"({value.numerator} / {value.denominator})"
                return f"({text})" if value < 0 else text
            case Const("pi"):
                return "pi"
            case Size(name):
                return name
            case Index():
                return self._index(e, over)
            case Access():
                return self._access(e, over)
            case Add(terms):
                return "(" + " + ".join(self._value(t, over) for t in terms) + ")"
            case Mul(factors):
                return "(" + " * ".join(self._value(f, over) for f in factors) + ")"
            case Pow(base, exponent):
                return self._power(base, exponent, over)
            case Bracket(relation, left, right):
                return f"({self._value(left, over)} {relation} {self._value(right, over)})"
            case Element():
                return self._operator(e, over)
            case Call("floordiv", (a, b)):
                return f"({self._value(a, over)} // {self._value(b, over)})"
            case Call("mod", (a, b)):
                return f"({self._value(a, over)} % {self._value(b, over)})"
            case Call(name, arguments):
                return f"{name}({', '.join(self._value(a, over) for a in arguments)})"
        raise PullbackError(f"{show(e)} has no code in index notation")

    def _operator(self, e: Element, over: tuple[Index, ...]) -> str:
        return operator_text(e, over, self._value)

    def _power(self, base: Expr, exponent: Expr, over: tuple[Index, ...]) -> str:
        inner = self._value(base, over)
        match exponent:
            case Num(n) if n == -1:
                return f"(1 / {inner})"
            case Num(n) if n.denominator == 2 and n.numerator == 1:
                return f"sqrt({inner})"
            case Num(n) if n < 0:
                return f"(1 / {self._power(base, Num(-n), over)})"
        return f"{inner} ** {self._value(exponent, over)}"

    def _index(self, index: Index, over: tuple[Index, ...]) -> str:
        self.grids[index.name] = index
        place = over.index(index) if index in over else 0
        after = len(over) - place - 1
        return _grid(index) + (f"[:{', None' * after}]" if after else "")

    def _access(self, e: Access, over: tuple[Index, ...]) -> str:
        if not e.slots:
            return e.tensor.name
        if is_plain(e):
            return self._laid(e, over)
        slots = []
        for slot, size in zip(e.slots, e.tensor.shape, strict=True):
            text = self._value(slot, over)
            if not within(slot, size):
                text = f"clip({text}, {_size(add(size, MINUS_ONE))})"
            slots.append(text)
        return f"{e.tensor.name}[{', '.join(slots)}]"

    def _laid(self, e: Access, over: tuple[Index, ...]) -> str:
        slots = [s for s in e.slots if isinstance(s, Index)]
        wanted = [index for index in over if index in slots]
        text = e.tensor.name
        if wanted != slots:
            order = ", ".join(str(slots.index(index)) for index in wanted)
            text = f"{text}.T" if len(slots) == 2 else f"transpose({text}, [{order}])"
        if tuple(wanted) == over:
            return text
        first = next((k for k, index in enumerate(over) if index in slots), 0)
        places = [":" if index in slots else "None" for index in over[first:]]
        return text if "None" not in places else f"{text}[{', '.join(places)}]"


def _grid(index: Index) -> str:
    return f"{index.name}_"


def _size(e: Expr) -> str:
    return code(e)
