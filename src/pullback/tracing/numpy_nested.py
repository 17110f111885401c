"""A pair of functions that takes arrays in dictionaries or lists: each array is an argument of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.tracing.creation import retargeted
from pullback.tracing.numpy_pair import CODE_ERRORS, NumpyPair
from pullback.tracing.passes import Pass, called, literal

Path = tuple[str | int, ...]
ABSENT: Final = object()  # the backward says nothing of this array


@dataclass(frozen=True, slots=True)
class Leaf:
    """An array among the arguments: of which argument, and where in it (nowhere for one that is an array)."""

    argument: int
    path: Path


def _walk(x: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if type(x) is dict:
        for key, part in x.items():
            yield from _walk(part, (*path, key))
    elif type(x) in (list, tuple):
        for key, part in enumerate(x):
            yield from _walk(part, (*path, key))
    elif isinstance(x, np.ndarray) or not path:
        yield path, x


def _filled(x: Any, path: Path, given: Mapping[Path, Any]) -> Any:
    """The container with other arrays in its places."""
    if path in given:
        return given[path]
    if type(x) is dict:
        return {key: _filled(part, (*path, key), given) for key, part in x.items()}
    if type(x) in (list, tuple):
        return type(x)(_filled(part, (*path, key), given) for key, part in enumerate(x))
    return x


def _entry(found: Any, path: Path) -> Any:
    """What stands in a container of gradients where the argument has its array; None where nothing does."""
    for key in path:
        if isinstance(found, Mapping):
            found = next((found[k] for k in (key, f"d{key}", f"grad_{key}") if k in found), None)
        elif isinstance(found, list | tuple) and isinstance(key, int) and key < len(found):
            found = found[key]
        else:
            return None
    return found


@dataclass(frozen=True, slots=True)
class Nested:
    """The arguments as they were given, by name, and the arrays in them."""

    names: tuple[str, ...]
    given: tuple[Any, ...]

    @property
    def leaves(self) -> list[Leaf]:
        return [Leaf(k, path) for k, x in enumerate(self.given) for path, _ in _walk(x)]

    def labels(self) -> tuple[str, ...]:
        return tuple("_".join(map(str, (self.names[leaf.argument], *leaf.path))) for leaf in self.leaves)

    def values(self) -> list[Any]:
        return [x for given in self.given for _, x in _walk(given)]

    def packed(self, values: Sequence[Any]) -> list[Any]:
        """The arguments as the functions take them."""
        by_argument: dict[int, dict[Path, Any]] = {}
        for leaf, value in zip(self.leaves, values, strict=True):
            by_argument.setdefault(leaf.argument, {})[leaf.path] = value
        return [_filled(x, (), by_argument.get(k, {})) for k, x in enumerate(self.given)]

    def positions(self, argument: int) -> list[int]:
        return [p for p, leaf in enumerate(self.leaves) if leaf.argument == argument]

    def _with_reals(self) -> list[int]:
        """Arguments that hold arrays of floats."""
        return [k for k, x in enumerate(self.given) if any(_is_real(part) for _, part in _walk(x))]

    def aligned(self, found: Any) -> list[Any] | None:
        """One entry a leaf: its gradient, None, or `ABSENT`. None where the gradients fit in no way."""
        reals = self._with_reals()
        plain = [k for k in reals if isinstance(self.given[k], np.ndarray)]
        nested = [k for k in reals if k not in plain]
        if isinstance(found, Mapping):
            return self._of_mapping(found, nested)
        entries = list(found) if isinstance(found, list | tuple) else [found]
        for chosen in (reals, list(range(len(self.given))), plain):
            if len(entries) == len(chosen):
                by_argument = dict(zip(chosen, entries, strict=True))
                if all(_is_container(by_argument.get(k)) for k in nested if k in by_argument):
                    return self._spread(by_argument)
        if len(nested) == 1 and entries and isinstance(found, list):
            return self._spread({nested[0]: entries})
        return None

    def _of_mapping(self, found: Mapping[Any, Any], nested: Sequence[int]) -> list[Any]:
        """A dictionary of gradients by the names of arguments, by those in a container of them, or both."""
        by_argument: dict[int, Any] = {}
        for k, name in enumerate(self.names):
            entry = _entry(found, (name,))
            if entry is not None:
                by_argument[k] = entry
        for k in nested:
            if k not in by_argument and any(
                _entry(found, leaf.path) is not None for leaf in self.leaves if leaf.argument == k
            ):
                by_argument[k] = found
        return self._spread(by_argument)

    def _spread(self, by_argument: Mapping[int, Any]) -> list[Any]:
        return [
            _entry(by_argument[leaf.argument], leaf.path) if leaf.argument in by_argument else ABSENT
            for leaf in self.leaves
        ]


def _is_real(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _is_container(x: Any) -> bool:
    return x is None or isinstance(x, Mapping | list | tuple)


@dataclass
class NestedPair(NumpyPair):
    """The pair as functions of the arrays."""

    own: tuple[Callable[..., Any], Callable[..., Any]] = (lambda *_: None, lambda *_: None)
    nested: Nested = Nested((), ())

    @property
    def written(self) -> Callable[..., Any]:
        return self.own[1]

    def exchanged(self, copied: Callable[[Any], Any]) -> Pass:
        forward, backward = _functions(copied(self.own[0]), copied(self.own[1]), self.nested)
        return replace(self, forward=forward, backward=backward)

    def on_numbers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return _functions(retargeted(self.own[0]), retargeted(self.own[1]), self.nested)

    def covered(self) -> tuple[int, ...]:
        """The arrays of floats whose gradients the backward gives, by one run on the example."""
        values = self.nested.values()
        reals = [p for p, x in enumerate(values) if _is_real(x)]
        try:
            with np.errstate(all="ignore"):
                out, rest = self.forward(*values)
                ones = [np.ones(np.shape(o)) for o in (out if isinstance(out, tuple) else (out,))]
                found = self.own[1](tuple(ones) if isinstance(out, tuple) else ones[0], *rest)
        except CODE_ERRORS:
            return tuple(reals)
        entries = self.nested.aligned(found)
        if entries is None:
            return tuple(reals)
        return tuple(p for p in reals if entries[p] is not ABSENT)

    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        lines = ["import numpy as np"]
        for name, x in zip(self.nested.names, self.nested.packed(args), strict=True):
            lines.append(f"{name} = {_source(x)}")
        given = ", ".join(self.nested.names)
        inner = NumpyPair("", (), (), [], *self.own)
        douts = [literal(u) if u.shape else repr(float(u)) for u in upstream]
        dout = douts[0] if len(douts) == 1 else f"({', '.join(douts)})"
        _, cached, _ = inner.split(self.own[0](*self.nested.packed(args)), len(args))
        lines.append(f"{'out, cache' if cached else 'out'} = {called(self.own[0], 'forward')}({given})")
        last = "cache" if cached else given
        return "\n".join([*lines, f"print({called(self.own[1], 'backward')}({dout}, {last}))"])


def _source(x: Any) -> str:
    if type(x) is dict:
        return "{" + ", ".join(f"{key!r}: {_source(part)}" for key, part in x.items()) + "}"
    if type(x) in (list, tuple):
        inner = ", ".join(_source(part) for part in x)
        return f"[{inner}]" if type(x) is list else f"({inner},)"
    return literal(x)


def _functions(
    forward: Callable[..., Any], backward: Callable[..., Any], nested: Nested
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """forward(*arrays) -> (out, rest), backward(dout, rest) -> one gradient an array."""
    inner = NumpyPair("", (), (), [], forward, backward)

    def flat_forward(*values: Any) -> Any:
        args = nested.packed(values)
        out, cached, cache = inner.split(forward(*args), len(args))
        return out, inner.rest(cached, cache, args)

    def flat_backward(dout: Any, rest: Any) -> Any:
        found = backward(dout, *rest)
        entries = nested.aligned(found)
        if entries is None:
            return found
        return tuple(None if entry is ABSENT else entry for entry in entries)

    return flat_forward, flat_backward


def nested_pair(forward: Any, backward: Any, names: Sequence[str], given: Sequence[Any]) -> NestedPair:
    """The pair as functions of the arrays in its arguments; `wrt` is what the backward gives gradients for."""
    nested = Nested(tuple(names), tuple(given))
    label = getattr(forward, "__name__", "forward")
    own = (forward, backward)
    made = NestedPair(label, nested.labels(), (), [], *_functions(*own, nested), own=own, nested=nested)
    made.wrt = made.covered()
    return made


def holds_arrays(x: Any) -> bool:
    """Whether an argument is a container with arrays in it."""
    return not isinstance(x, np.ndarray) and any(isinstance(part, np.ndarray) for _, part in _walk(x))
