"""Where code is checked: legal sizes found by trying them, and values of several kinds, ties among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, Final

import numpy as np

from pullback.errors import ShapeProblem
from pullback.reading.shapes import by_name
from pullback.tracing.passes import CodeProblem, Pass, is_float_array
from pullback.verify import values

TRIED: Final = (1, 2, 3, 4, 5, 6, 8)  # sizes of one axis
MOST_SHAPES: Final = 7
ENTRIES: Final = 400  # in all float arrays of one point that is checked in a domain

Sizes = Mapping[str, int]
Args = list[Any]


@dataclass(frozen=True, slots=True)
class Template:
    """The arguments with the size of each axis as a symbol, or as a number where it stays."""

    args: tuple[Any, ...]
    axes: tuple[tuple[str | int, ...] | None, ...]
    sizes: dict[str, int]  # of the example
    characters: tuple[str, ...] = ()
    repeats: Mapping[int, str] = field(default_factory=dict)  # of data whose last axis repeats itself

    def shape(self, position: int, sizes: Sizes) -> tuple[int, ...]:
        axes = self.axes[position] or ()
        return tuple(a if isinstance(a, int) else sizes[a] for a in axes)


BATCH: Final = "batch"
LETTERS: Final = "NDMKHCSTBPQR"


def template(
    names: Sequence[str], args: Sequence[Any], shapes: Mapping[str, str | Sequence[str | int]] | str | None
) -> Template:
    """Equal sizes are one symbol, unless `shapes` names the axes; an axis of size 1 stays one.

    Raises `ShapeProblem` where `shapes` does not fit the example.
    """
    given = {name: _entries(entry) for name, entry in by_name(shapes, "shapes", '{"x": "N D"}').items()}
    sizes: dict[str, int] = {}
    symbols: dict[int, str] = {}
    axes: list[tuple[str | int, ...] | None] = []
    for name, value in zip(names, args, strict=True):
        if not isinstance(value, np.ndarray):
            axes.append(None)
        elif name in given:
            axes.append(_declared(name, value, given[name], sizes))
        else:
            axes.append(tuple(_symbol(n, symbols, sizes) for n in value.shape))
    _vary_batch_of_one(axes, sizes)
    unknown = set(given) - set(names)
    if unknown:
        raise ShapeProblem(f"{min(unknown)} is no argument of the forward", hint=", ".join(names))
    return Template(tuple(args), tuple(axes), sizes, tuple(values.character(a) for a in args))


def _vary_batch_of_one(axes: list[tuple[str | int, ...] | None], sizes: dict[str, int]) -> None:
    """An axis of size 1 that one array alone has, in front, may be a batch of one: it becomes a symbol."""
    with_one = [k for k, axis in enumerate(axes) if axis is not None and 1 in axis]
    if len(with_one) != 1:
        return
    (position,) = with_one
    axis = axes[position] or ()
    if len(axis) > 1 and axis[0] == 1 and axis.count(1) == 1 and BATCH not in sizes:
        axes[position] = (BATCH, *axis[1:])
        sizes[BATCH] = 1


def _broadcasts(made: Template, sizes: Sizes) -> bool:
    """Whether a batch that was one in the example could be mistaken for an axis that is stretched."""
    batch = sizes.get(BATCH, 1)
    others = [n for name, n in sizes.items() if name != BATCH]
    return made.sizes.get(BATCH) == 1 and batch > 1 and (1 in others or batch in others)


def repeating(made: Template, wrt: Sequence[int]) -> Template:
    """The template in which data keep how their last axis repeats itself in the example."""
    found = {p: values.repetition(x) for p, x in enumerate(made.args) if p not in wrt}
    return replace(made, repeats={p: how for p, how in found.items() if how})


def _entries(entry: str | Sequence[str | int]) -> list[str | int]:
    parts = entry.replace(",", " ").split() if isinstance(entry, str) else list(entry)
    return [int(p) if str(p).isdigit() else p for p in parts]


def _declared(
    name: str, value: Any, entries: Sequence[str | int], sizes: dict[str, int]
) -> tuple[str | int, ...]:
    if len(entries) != value.ndim:
        raise ShapeProblem(f"{name} has {value.ndim} axes, and {len(entries)} are named")
    for entry, size in zip(entries, value.shape, strict=True):
        if isinstance(entry, str) and sizes.setdefault(entry, size) != size:
            raise ShapeProblem(f"{entry} is {sizes[entry]} and {size} in the example")
    return tuple(entries)


def _symbol(size: int, symbols: dict[int, str], sizes: dict[str, int]) -> str | int:
    if size <= 1:
        return size
    if size not in symbols:
        free = [letter for letter in LETTERS if letter not in sizes]
        symbols[size] = free[0] if free else f"n{size}"
        sizes[symbols[size]] = size
    return symbols[size]


# ---- sizes ----------------------------------------------------------------------------------


def legal_sizes(code: Pass, made: Template) -> list[dict[str, int]]:
    """Sizes at which the forward runs: all different, in two orders; the example's; each once 1; all 1."""
    names = list(made.sizes)
    tried = {name: sorted({*TRIED, made.sizes[name]}) for name in names}
    values = {name: [n for n in tried[name] if runs(code, made, {**made.sizes, name: n})] for name in names}
    wanted: list[dict[str, int]] = []
    for order in (names, names[::-1]):
        wanted += _different(order, values)
    base = wanted[0] if wanted else dict(made.sizes)
    wanted.append(dict(made.sizes))
    wanted += [{**base, name: n} for name in names for n in _second(values[name], base[name])]
    wanted += [{**base, name: 1} for name in names if 1 in values[name]]
    wanted.append({name: min(values[name], default=made.sizes[name]) for name in names})
    for order_of_values in permutations((2, 3, 4, 5, 6), min(len(names), 3)):
        if len(names) <= 3:
            wanted.append(dict(zip(names, order_of_values, strict=False)))
        if len(wanted) > 24:
            break
    found: list[dict[str, int]] = []
    special = 4 + len(names)
    for sizes in wanted:
        if sizes not in found and small(made, sizes) and runs(code, made, sizes):
            found.append(sizes)
        if len(found) >= max(MOST_SHAPES, special):
            break
    return found or [dict(made.sizes)]


def _second(legal: Sequence[int], first: int) -> list[int]:
    """Of a size that the code divides, another multiple: a quotient of 1 hides where it is forgotten."""
    divided = 1 not in legal or 2 not in legal or 3 not in legal
    return [n for n in legal if n > first][:1] if divided else []


def small(made: Template, sizes: Sizes) -> bool:
    """Whether a point of these sizes is small enough for a domain."""
    counts = [np.prod(made.shape(p, sizes)) for p, a in enumerate(made.args) if is_float_array(a)]
    return bool(sum(int(c) for c in counts) <= ENTRIES)


def _different(names: Sequence[str], values: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Sizes of at least 2, each another where that is possible, the first names the smallest."""
    found: dict[str, int] = {}
    for name in names:
        free = [n for n in values[name] if n > 1 and n not in found.values()]
        allowed = free or [n for n in values[name] if n > 1] or list(values[name])
        if not allowed:
            return []
        found[name] = allowed[0]
    return [found]


def runs(code: Pass, made: Template, sizes: Sizes) -> bool:
    """Whether the forward runs at these sizes."""
    if _broadcasts(made, sizes):
        return False
    try:
        code.outputs(draw(made, sizes, "generic", np.random.default_rng(0)))
    except CodeProblem:
        return False
    return True


def other_numbers(code: Pass, made: Template) -> Template | None:
    """The template with other numbers as arguments: 1 hides a factor, 0 a term. None where there are none."""
    args = list(made.args)
    for position, x in enumerate(made.args):
        if isinstance(x, float) and values.another_number(x) != x:
            args[position] = values.another_number(x)
            if not runs(code, replace(made, args=tuple(args)), made.sizes):
                args[position] = x
    changed = any(x is not y for x, y in zip(args, made.args, strict=True))
    return replace(made, args=tuple(args)) if changed else None


def of_both_signs(made: Template) -> Iterator[tuple[int, Template]]:
    """For each array whose entries are only known to be positive, the template in which they have both signs."""
    for position, kind_of in enumerate(made.characters):
        if kind_of in values.POSITIVE and is_float_array(made.args[position]):
            characters = (*made.characters[:position], "", *made.characters[position + 1 :])
            yield position, replace(made, characters=characters)


def ordered(made: Template, found: Sequence[dict[str, int]]) -> list[dict[str, int]]:
    """The sizes with the fewest entries first."""

    def weight(sizes: Sizes) -> tuple[int, int]:
        entries = sum(
            int(np.prod(made.shape(p, sizes))) for p, axes in enumerate(made.axes) if axes is not None
        )
        return entries, max(sizes.values(), default=0)

    return sorted(found, key=weight)


# ---- values ---------------------------------------------------------------------------------

KINDS: Final = ("generic", "large", "tiny")
TIES: Final = ("ones", "zeros", "binary", "signs", "equal", "twos")


def draw(
    made: Template,
    sizes: Sizes,
    kind: str,
    rng: np.random.Generator,
    thresholds: Sequence[float] = (),
) -> Args:
    """Arguments of these sizes. They keep the character of the example: positive, one-hot, symmetric, …

    The kind "example" is the example itself.
    """
    if kind == "example":
        return [x.copy() if isinstance(x, np.ndarray) else x for x in made.args]
    bound = min(_lengths(made, sizes), default=1)
    drawn: Args = []
    own = kind == "generic" and dict(sizes) == made.sizes
    for position, (example, kind_of) in enumerate(zip(made.args, made.characters, strict=True)):
        if not isinstance(example, np.ndarray):
            drawn.append(example)
            continue
        shape = made.shape(position, sizes)
        if own and example.dtype.kind in "biu":
            drawn.append(example.copy())  # such as a label outside the range that is drawn
        elif example.dtype.kind == "b":
            drawn.append(values.booleans(example, kind_of, shape, rng))
        elif example.dtype.kind in "iu":
            total = _total(made, sizes, example) if kind_of == "boundaries" else bound
            drawn.append(np.asarray(values.integers(example, kind_of, shape, rng, bound, total)))
        elif example.dtype.kind == "f":
            found = np.asarray(values.floats(example, kind_of, shape, kind, rng, thresholds))
            drawn.append(_repeated(found, made.repeats.get(position, "")))
        else:
            drawn.append(example)
    if kind == "equal":
        values.equalise(drawn, made.characters)
    return drawn


def _repeated(x: Any, how: str) -> Any:
    """Raises `CodeProblem` for an odd size, at which no half repeats another: no size for this code."""
    if how and x.shape[-1] % 2:
        raise CodeProblem("forward", ValueError("the last axis of an argument has no two halves"))
    return values.repeated(x, how) if how else x


def _lengths(made: Template, sizes: Sizes) -> Iterator[int]:
    """The axes of float arrays that an integer could index; one that is always 1 is none."""
    for position, example in enumerate(made.args):
        if is_float_array(example):
            shape = made.shape(position, sizes)
            axes = made.axes[position] or ()
            yield from (n for n, axis in zip(shape, axes, strict=True) if axis != 1)


def _total(made: Template, sizes: Sizes, boundaries: Any) -> int:
    """The size of the axis that boundaries divide: the one whose size in the example is the last of them."""
    last = int(boundaries.max(initial=0))
    names = [name for name, size in made.sizes.items() if size == last]
    return sizes[names[0]] if names else last
