"""A pair (forward, backward) of NumPy-style functions: run as it is, on floats or on numbers of a domain."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.errors import PullbackError
from pullback.tracing import linalg as linalg  # these two add rows to the functions of NumPy
from pullback.tracing import special as special
from pullback.tracing.arrays import numbers
from pullback.tracing.creation import retargeted
from pullback.tracing.numbers import Number, Untraceable, World, inside
from pullback.tracing.passes import (
    CodeProblem,
    ExactRun,
    Fault,
    FloatRun,
    Pass,
    Upstream,
    called,
    changed,
    literal,
    snapshot,
    stripped,
)

# What code of others raises when it is fed numbers that it was not written for.
CODE_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SystemError,  # NumPy's loops over objects, where a comparison fails
    TypeError,
    ValueError,
    np.linalg.LinAlgError,
)


@dataclass
class NumpyPair(Pass):
    forward: Callable[..., Any] = lambda *_: None
    backward: Callable[..., Any] = lambda *_: None

    # ---- how the two fit together

    def split(self, result: Any, count: int) -> tuple[Any, bool, Any]:
        """(out, has a cache, cache) of what the forward returned."""
        pair = isinstance(result, tuple) and len(result) == 2
        if not pair:
            return result, False, None
        try:
            parameters = list(inspect.signature(self.backward).parameters.values())
        except (TypeError, ValueError):
            return result[0], True, result[1]
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [p for p in positional if p.default is p.empty]
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        if starred:
            return result[0], True, result[1]
        takes_two = len(needed) <= 2 <= len(positional)
        if takes_two:
            return result[0], True, result[1]
        return result, False, None

    @property
    def written(self) -> Callable[..., Any]:
        """The backward as its author wrote it: where its lines and the names of its parameters are."""
        return self.backward

    def rest(self, cached: bool, cache: Any, args: Sequence[Any]) -> tuple[Any, ...]:
        """What the backward takes after the upstream gradient: the cache, the arguments, or nothing."""
        if cached:
            return (cache,)
        try:
            parameters = list(inspect.signature(self.backward).parameters.values())
        except (TypeError, ValueError):
            return tuple(args)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        return () if len(positional) == 1 and not starred else tuple(args)

    def _gradients(self, result: Any) -> tuple[list[Any], list[Fault]]:
        """One gradient for each input of `wrt`."""
        wanted = len(self.wrt)
        if isinstance(result, dict):
            keys = [self.names[p] for p in self.wrt]
            spelt = [next((k for k in (n, f"d{n}", f"grad_{n}") if k in result), None) for n in keys]
            return [None if k is None else result[k] for k in spelt], []
        if not isinstance(result, tuple | list):
            result = [result]
        found = list(result)
        if len(found) == len(self.names) != wanted:
            return [found[p] for p in self.wrt], []
        if len(found) == wanted:
            return found, []
        said = (
            f"the backward returns {_counted(len(found))} for {_counted(wanted, 'input')} ({self._listed()})"
        )
        return [], [Fault("count", f"number of gradients: {said}; `wrt` says which inputs are meant")]

    def _listed(self) -> str:
        return ", ".join(self.names[p] for p in self.wrt)

    def gradients(self, args: Sequence[Any], upstream: Sequence[Any]) -> Sequence[Any]:
        args = [copied(a) for a in args]
        out, cached, cache = self.split(self.forward(*args), len(args))
        given = _shaped(out, list(upstream))
        return self._gradients(self.backward(given, *self.rest(cached, cache, args)))[0]

    def exchanged(self, copied: Callable[[Any], Any]) -> Pass:
        return replace(self, forward=copied(self.forward), backward=copied(self.backward))

    def results(self, args: Sequence[Any]) -> list[Any]:
        return list(_tuple(self.split(self.forward(*map(copied, args)), len(args))[0]))

    # ---- in floats

    def outputs(self, args: Sequence[Any]) -> tuple[Any, ...]:
        copies = [copied(a) for a in args]
        np.random.seed(0)
        try:
            with np.errstate(all="ignore"):
                out, _, _ = self.split(self.forward(*copies), len(args))
                _demand_arrays(out)
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error
        return _tuple(out)

    def run(self, args: Sequence[Any], upstream: Upstream, light: bool = False) -> FloatRun:
        copies = [copied(a) for a in args]
        faults: list[Fault] = []
        np.random.seed(0)
        try:
            with np.errstate(all="ignore"):
                out, cached, cache = self.split(self.forward(*copies), len(args))
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error
        faults += self._changed(args, copies, "forward")
        outs = [np.array(o, copy=True) for o in _tuple(out)]
        gradient = _shaped(out, upstream([o.shape for o in outs]))
        given, saved = snapshot(_tuple(gradient)), snapshot(_tuple(cache)) if cached else None
        rest = self.rest(cached, cache, copies)
        first = self._backward(gradient, rest)
        faults += self._changed(args, copies, "backward")
        if changed(given, _tuple(gradient)):
            faults.append(Fault("in place", "the backward changes the upstream gradient in place"))
        if saved is not None and changed(saved, _tuple(cache)):
            faults.append(
                Fault("saved", "the backward overwrites what the forward saved: a second run differs")
            )
        grads, counted = self._gradients(first)
        faults += counted
        if not faults:
            # Once more on the very same objects: the same answer, or it is not determined by them.
            again, _ = self._gradients(
                self._backward(_shaped(out, [g.copy() for g in _tuple(gradient)]), rest)
            )
            faults += [
                Fault("nondeterminism", "the backward gives another value when it is called again", p)
                for p, a, b in zip(self.wrt, grads, again, strict=True)
                if not _same(a, b)
            ]
        return FloatRun(tuple(outs), tuple(grads), tuple(faults))

    def _backward(self, gradient: Any, rest: tuple[Any, ...]) -> Any:
        try:
            with np.errstate(all="ignore"):
                result = self.backward(gradient, *rest)
        except CODE_ERRORS as error:
            raise CodeProblem("backward", error) from error
        return tuple(copied(r) for r in result) if isinstance(result, tuple | list) else copied(result)

    def _changed(self, before: Sequence[Any], after: Sequence[Any], stage: str) -> list[Fault]:
        return [
            Fault(
                "in place",
                f"the {stage} changes its input {self.names[p]} in place",
                p if p in self.wrt else None,
            )
            for p, (a, b) in enumerate(zip(before, after, strict=True))
            if isinstance(a, np.ndarray) and changed(a, b)
        ]

    # ---- in a domain

    def on_numbers(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The two functions as they can be run on numbers of a domain."""
        return retargeted(self.forward), retargeted(self.backward)

    def exact(self, args: Sequence[Any], upstream: Upstream, dual: World, plain: World) -> ExactRun:
        forward, backward = self.on_numbers()
        np.random.seed(0)
        try:
            with inside(dual), np.errstate(all="ignore"):
                out, cached, cache = self.split(forward(*[copied(a) for a in args]), len(args))
            with inside(plain), np.errstate(all="ignore"):
                outs = [numbers(o) for o in _tuple(out)]
                gradient = _shaped(out, upstream([o.shape for o in outs]))
                bare = [] if cached else [stripped(copied(a), plain) for a in args]
                rest = self.rest(cached, stripped(cache, plain), bare)
                grads, faults = self._gradients(backward(gradient, *rest))
        except PullbackError:
            raise
        except CODE_ERRORS as error:
            raise Untraceable(
                f"it cannot be run on exact numbers ({type(error).__name__}: {error})"
            ) from error
        if faults:
            raise Untraceable(faults[0].message)
        return ExactRun(tuple(outs), tuple(None if g is None else numbers(g) for g in grads))

    # ---- as code

    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        lines = ["import numpy as np"]
        lines += [f"{name} = {literal(a)}" for name, a in zip(self.names, args, strict=True)]
        ran = f"{called(self.forward, 'forward')}({', '.join(self.names)})"
        back = called(self.backward, "backward")
        _, cached, _ = self.split(self.forward(*[copied(a) for a in args]), len(args))
        douts = [literal(u) if u.shape else repr(float(u)) for u in upstream]
        dout = douts[0] if len(douts) == 1 else f"({', '.join(douts)})"
        if cached:
            lines += [f"out, cache = {ran}", f"print({back}({dout}, cache))"]
        else:
            given = ", ".join([dout, *(self.names if self.rest(False, None, args) else ())])
            lines.append(f"print({back}({given}))")
        return "\n".join(lines)


def _demand_arrays(out: Any) -> None:
    """Raises `TypeError` where an output is no array of numbers."""
    for part in _tuple(out):
        if not isinstance(part, np.ndarray | np.generic | Number | int | float):
            raise TypeError(f"it returns {type(part).__name__} where an array is expected: (out, cache) is read as "
                            "output and cache where the backward takes two arguments")  # fmt: skip


def _counted(n: int, what: str = "gradient") -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def copied(x: Any) -> Any:
    """A copy of arrays, also inside containers: code may write to a dictionary that it is given."""
    if isinstance(x, np.ndarray):
        return x.copy()
    if type(x) in (list, tuple):
        return type(x)(copied(part) for part in x)
    return {key: copied(part) for key, part in x.items()} if type(x) is dict else x


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _shaped(out: Any, upstream: list[Any]) -> Any:
    """The upstream gradient in the structure of the output."""
    if isinstance(out, tuple | list):
        return type(out)(upstream)
    return upstream[0]


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind in "fc"))
