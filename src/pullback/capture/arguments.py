"""The arguments of captured code: trees of arrays, their shapes read from text, annotations or an example."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.errors import DomainProblem, NameProblem, PullbackError, SyntaxProblem, nearest
from pullback.expression import Expr, Size, num, sizes_in
from pullback.expression import replace as rewrite
from pullback.reading.naming import size_names
from pullback.reading.shapes import by_name, parse_integers, parse_shape, parse_size
from pullback.sizes import evaluate_size, normal_size

Shape = tuple[Expr, ...]
_ANNOTATED: Final = re.compile(r"""(?:\w+\.)?([A-Z]\w*)\[[^,\]]*,\s*["']([^"']*)["']\s*\]""")
_WHOLE: Final = ("Int", "UInt", "Integer")
_TRIED: Final = ((5, 3, 4, 7, 2, 6), (6, 4, 8, 10, 12, 14), (12, 24, 36, 48, 60, 72), (4, 4, 4, 4, 4, 4))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array among the arguments. `extent` is the range of whole numbers, `example` its value where one is given."""

    name: str
    shape: Shape
    whole: bool = False
    extent: Expr | None = None
    example: Any = None
    facts: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """An argument that is no array: it is handed on as it is."""

    value: Any


@dataclass(frozen=True, slots=True)
class Arguments:
    """A tree for every parameter, by name, in the order of the signature."""

    trees: Mapping[str, Any]
    positional: frozenset[str] = frozenset()

    def leaves(self) -> list[Leaf]:
        return [leaf for tree in self.trees.values() for leaf in _leaves(tree)]

    def mapped(self, f: Callable[[Leaf], Leaf]) -> Arguments:
        return replace(self, trees={name: filled(tree, f) for name, tree in self.trees.items()})

    def call(self, f: Callable[..., Any], give: Callable[[Leaf], Any]) -> Any:
        """The code, called with a value for every leaf."""
        made = {name: filled(tree, give) for name, tree in self.trees.items()}
        first = [made.pop(name) for name in list(made) if name in self.positional]
        return f(*first, **made)

    def sizes(self) -> list[str]:
        found: dict[str, None] = {}
        for leaf in self.leaves():
            for e in (*leaf.shape, *((leaf.extent,) if leaf.extent is not None else ())):
                found.update(dict.fromkeys(sorted(sizes_in(e))))
        return list(found)

    def with_sizes(self, known: Mapping[str, Expr]) -> Arguments:
        """Some sizes replaced by others."""
        swap: dict[Expr, Expr] = {Size(name): e for name, e in known.items()}

        def of(e: Expr) -> Expr:
            return normal_size(rewrite(e, lambda part: swap.get(part, part)))

        return self.mapped(
            lambda leaf: replace(
                leaf,
                shape=tuple(map(of, leaf.shape)),
                extent=None if leaf.extent is None else of(leaf.extent),
            )
        )

    def with_whole(self, name: str) -> Arguments:
        return self.mapped(lambda leaf: replace(leaf, whole=True) if leaf.name == name else leaf)


def _leaves(tree: Any) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from _leaves(part)
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _leaves(part)


def filled(tree: Any, give: Callable[[Leaf], Any]) -> Any:
    """The tree with something in the place of every leaf."""
    if isinstance(tree, Leaf):
        return give(tree)
    if isinstance(tree, Fixed):
        return tree.value if not _keeps(give) else tree
    if isinstance(tree, Mapping):
        return type(tree)({key: filled(part, give) for key, part in tree.items()})  # type: ignore[call-arg]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(filled(part, give) for part in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(filled(part, give) for part in tree)
    return tree


def _keeps(give: Callable[[Leaf], Any]) -> bool:
    """Whether leaves stay leaves, so that what is fixed stays marked."""
    return isinstance(give(Leaf("x", ())), Leaf)


# ---- where the shapes come from -------------------------------------------------------------


def arguments_of(
    f: Any, given: Any, integers: Mapping[str, Any] | None, assume: Mapping[str, Any] | None
) -> Arguments:
    """The arguments of a function, from `given`, from annotations, and from defaults."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        raise DomainProblem(
            "the parameters of this function cannot be seen", hint="wrap it: lambda x: f(x)"
        ) from None
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    given = by_name(given, "shapes", "") if isinstance(given, str) else given
    entries = _by_name(given, named, parameters)
    known = [p.name for p in named] if not _takes_more(parameters) else [*[p.name for p in named], *entries]
    for name in (*entries, *(integers or {})):
        if name not in known and name.split(".")[0] not in known:
            near = nearest(name, known)
            raise NameProblem(f"{name} is no parameter of the function", hint=near or ", ".join(known))
    by_example = not isinstance(given, Mapping) or _holds_arrays(given)
    trees: dict[str, Any] = {}
    reader = _Reader(by_example, integers or {}, assume or {})
    for p in named:
        entry = entries.get(p.name, (integers or {}).get(p.name))
        if entry is not None or p.name in entries:
            trees[p.name] = reader.tree(p.name, entry)
        elif (shape := annotated(p.annotation)) is not None:
            trees[p.name] = shape_leaf(p.name, *shape)
        elif p.default is p.empty:
            shapes = ", ".join(f'"{q.name}": "…"' for q in named if q.default is q.empty)
            raise SyntaxProblem(f"the shape of {p.name} is not given", hint=f"shapes={{{shapes}}}")
    trees |= {name: reader.tree(name, entry) for name, entry in entries.items() if name not in trees}
    first = frozenset(p.name for p in named if p.kind is p.POSITIONAL_ONLY)
    return Arguments(trees, first)


def _takes_more(parameters: Sequence[inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _by_name(given: Any, named: Sequence[inspect.Parameter], parameters: Sequence[Any]) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and (set(given) <= {p.name for p in named} or _takes_more(parameters)):
        return dict(given)
    if isinstance(given, Mapping) and (len(named) != 1 or not _holds_arrays(given)):
        return dict(given)
    values = list(given) if isinstance(given, tuple | list) else [given]
    if len(values) > len(named):
        raise SyntaxProblem(f"{len(values)} arguments for a function of {len(named)}")
    return dict(zip((p.name for p in named), values, strict=False))


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _holds_arrays(x: Any) -> bool:
    if isinstance(x, Mapping):
        return any(map(_holds_arrays, x.values()))
    if isinstance(x, tuple | list):
        return any(map(_holds_arrays, x))
    return _is_array(x)


class _Reader:
    """Reads entries of `given`; equal sizes of an example share one symbol."""

    def __init__(self, by_example: bool, integers: Mapping[str, Any], assume: Mapping[str, Any]) -> None:
        self.by_example, self.integers, self.assume = by_example, integers, assume
        self.symbols: dict[int, Expr] = {0: num(0), 1: num(1)}
        self.names = size_names(())

    def tree(self, name: str, entry: Any) -> Any:
        """The leaves of one argument."""
        if name in self.integers:
            shape, extent = parse_integers(self.integers[name])
            return Leaf(name, shape, True, extent, np.asarray(entry) if _is_array(entry) else None)
        if _is_array(entry):
            return self._example(name, np.asarray(entry))
        if isinstance(entry, Mapping):
            parts = {key: self.tree(f"{name}.{key}", part) for key, part in entry.items()}
            return type(entry)(parts) if type(entry) is not dict else parts  # type: ignore[call-arg]
        if isinstance(entry, str) and not self.by_example:
            return self._shape(name, entry)
        if isinstance(entry, tuple) and not self.by_example and _is_shape(entry):
            return replace(shape_leaf(name, parse_shape(entry)), facts=self._facts(name))
        if isinstance(entry, tuple | list) and (_holds_arrays(entry) or not self.by_example):
            parts_ = [self.tree(f"{name}.{k}", part) for k, part in enumerate(entry)]
            return type(entry)(*parts_) if hasattr(entry, "_fields") else type(entry)(parts_)
        if isinstance(entry, float) and self.by_example:
            return self._example(name, np.asarray(entry))
        return Fixed(entry)

    def _facts(self, name: str) -> str:
        return " ".join(str(f) for f in _texts(self.assume.get(name, "")))

    def _shape(self, name: str, entry: str) -> Leaf:
        text, inside, extent = entry.partition(" in ")
        whole = bool(inside)
        return Leaf(
            name,
            parse_shape(text),
            whole,
            parse_size(extent.strip()) if whole else None,
            facts=self._facts(name),
        )

    def _example(self, name: str, x: Any) -> Leaf:
        shape = tuple(self._symbol(n) for n in x.shape)
        whole = x.dtype.kind in "iub" and bool(x.size == 0 or x.min() >= 0)
        extent = num(2) if x.dtype.kind == "b" else None
        return Leaf(name, shape, whole, extent, example=x, facts=self._facts(name))

    def _symbol(self, n: int) -> Expr:
        if n not in self.symbols:
            self.symbols[n] = Size(next(self.names))
        return self.symbols[n]

    def values(self) -> dict[str, int]:
        return {str(e.name): n for n, e in self.symbols.items() if isinstance(e, Size)}


def _texts(entry: Any) -> list[Any]:
    return entry.replace(",", " ").split() if isinstance(entry, str) else list(entry)


def _is_shape(entry: tuple[Any, ...]) -> bool:
    return all(
        isinstance(part, int) or (isinstance(part, str) and " " not in part.strip() and part)
        for part in entry
    )


def shape_leaf(name: str, shape: Shape, whole: bool = False) -> Leaf:
    return Leaf(name, shape, whole)


def annotated(annotation: Any) -> tuple[Shape, bool] | None:
    """Shape and kind of a jaxtyping annotation, `Float[Array, "N D"]`, as an object or as text."""
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        match = _ANNOTATED.fullmatch(annotation.strip())
        if match is None:
            return None
        kind, text = match[1], match[2]
    elif isinstance(getattr(annotation, "dim_str", None), str):
        kind, text = type(annotation).__name__, annotation.dim_str
        kind = getattr(annotation, "__name__", kind).split("[")[0]
    else:
        return None
    axes = [axis.split("=")[-1] for axis in text.split()]
    if any(axis[:1] in ("*", "_", "#", "?", ".") for axis in axes):
        return None
    try:
        return parse_shape(tuple(int(a) if a.isdigit() else a for a in axes)), kind.startswith(_WHOLE)
    except PullbackError:
        return None


# ---- examples -------------------------------------------------------------------------------


def trial_sizes(arguments: Arguments) -> list[dict[str, int]]:
    """Values of the sizes to try: those of the example, else different ones, then ones with many divisors."""
    fitted = _fitted(arguments)
    if fitted is not None:
        return [fitted]
    names = arguments.sizes()
    return [{name: row[k % len(row)] for k, name in enumerate(names)} for row in _TRIED]


def _fitted(arguments: Arguments) -> dict[str, int] | None:
    found: dict[str, int] = {}
    for leaf in arguments.leaves():
        if leaf.example is not None:
            for e, n in zip(leaf.shape, leaf.example.shape, strict=True):
                if isinstance(e, Size):
                    found[e.name] = n
    missing = [name for name in arguments.sizes() if name not in found]
    if any(leaf.example is None for leaf in arguments.leaves()) and missing:
        return None
    return found


def value_of(
    leaf: Leaf, sizes: Mapping[str, int], rng: np.random.Generator, extent: int, signed: bool
) -> Any:
    """An array for a leaf: its example where the sizes are those, else random."""
    shape = tuple(evaluate_size(e, sizes) for e in leaf.shape)
    if leaf.example is not None and leaf.example.shape == shape and not signed:
        return leaf.example
    if leaf.whole:
        top = extent if leaf.extent is None else evaluate_size(leaf.extent, sizes)
        return rng.integers(0, max(top, 1), shape)
    if "spd" in leaf.facts and len(shape) == 2:
        root = rng.normal(size=shape)
        return root @ root.T + np.eye(shape[0]) * shape[0]
    if "lower_triangular" in leaf.facts and len(shape) == 2:
        return np.tril(rng.uniform(0.5, 1.5, shape))
    if signed and "positive" not in leaf.facts and "nonnegative" not in leaf.facts:
        return rng.uniform(-1.5, 1.5, shape)
    return rng.uniform(0.1, 0.9, shape)
