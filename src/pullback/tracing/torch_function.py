"""A `torch.autograd.Function`: run as it is, and traced to ATen operations that run on numbers of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pullback.errors import PullbackError
from pullback.tracing import torch_strides
from pullback.tracing.arrays import Numbers, numbers
from pullback.tracing.aten_graph import interpreted, numpy_of, operations, seeded
from pullback.tracing.numbers import Untraceable, World, inside
from pullback.tracing.numpy_pair import CODE_ERRORS
from pullback.tracing.passes import CodeProblem, ExactRun, Fault, FloatRun, Pass, Upstream, literal, stripped
from pullback.tracing.torch_context import Context, traceable, undivided
from pullback.tracing.wholes import floats_of

STRETCH = 1.03125  # away from the point of a trace, and still symmetric, definite, …


@dataclass
class TorchFunction(Pass):
    function: Any = None
    frozen: bool = False
    graphs: dict[Any, Any] = field(default_factory=dict)

    # ---- calling the code

    def _call(self, args: Sequence[Any]) -> tuple[Context, Any]:
        import torch

        with torch.no_grad():
            return self._called(args)

    def _called(self, args: Sequence[Any]) -> tuple[Context, Any]:
        """The forward, in either of its two forms."""
        import torch

        context = Context(tuple(p in self.wrt for p in range(len(args))))
        default = torch.autograd.function._SingleLevelFunction.setup_context
        if self.function.setup_context is default:
            return context, self.function.forward(context, *args)
        out = self.function.forward(*args)
        self.function.setup_context(context, tuple(args), out)
        return context, out

    def _back(self, context: Context, gradients: Sequence[Any]) -> tuple[Any, ...]:
        import torch

        with torch.no_grad():
            return _tuple(self.function.backward(context, *gradients))

    def _tensor(self, x: Any) -> Any:
        import torch

        return torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x

    def _gradients(self, found: Sequence[Any]) -> tuple[list[Any], list[Fault]]:
        count = len(self.names)
        if len(found) < count or any(g is not None for g in found[count:]):
            said = f"the backward returns {len(found)}, the forward has {count} arguments ({', '.join(self.names)})"
            return [], [Fault("count", f"number of gradients: {said}")]
        return [found[p] for p in self.wrt], []

    def gradients(self, args: Sequence[Any], upstream: Sequence[Any]) -> Sequence[Any]:
        import torch

        with undivided():
            context, out = self._called(_own(args))
        demand: Any = torch._check
        for given, own in zip(upstream, _differentiable(context, out), strict=True):
            for a, b in zip(given.shape, own.shape, strict=True):
                demand(a == b)  # the two have one size also where sizes are free
        backward = traceable(self.function.backward)
        with undivided():
            return self._gradients(_tuple(backward(context, *_upstream(context, out, upstream))))[0]

    def results(self, args: Sequence[Any]) -> list[Any]:
        """The outputs that have a gradient, as tensors that may be recorded."""
        with undivided():
            return _differentiable(*self._called(_own(args)))

    def upstream_places(self, args: Sequence[Any]) -> list[int]:
        """Which of the gradients that the backward is given are not always zero."""
        context, out = self._call([self._tensor(a) for a in args])
        return [k for k, o in enumerate(_tuple(out)) if _is_differentiable(context, o)]

    def outputs(self, args: Sequence[Any]) -> tuple[Any, ...]:

        seeded()
        try:
            context, out = self._call([self._tensor(a) for a in args])
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error
        return tuple(numpy_of(o) for o in _differentiable(context, out))

    def run(self, args: Sequence[Any], upstream: Upstream, light: bool = False) -> FloatRun:
        import torch

        seeded()
        tensors = [self._tensor(a) for a in args]
        faults: list[Fault] = []
        try:
            context, out = self._call(tensors)
        except CODE_ERRORS as error:
            raise CodeProblem("forward", error) from error
        dirty = [id(t) for t in context.dirty]
        faults += self._changed(args, tensors, "forward", dirty)
        real = _differentiable(context, out)
        given = upstream([tuple(o.shape) for o in real])
        saved = [t.clone() if isinstance(t, torch.Tensor) else t for t in context.saved_tensors]
        douts = _upstream(
            context,
            out,
            [torch.from_numpy(np.array(g)).to(o.dtype) for g, o in zip(given, real, strict=True)],
        )
        before = [d.clone() if isinstance(d, torch.Tensor) else d for d in douts]
        found = self._safely(context, douts)
        faults += self._changed(args, tensors, "backward", dirty)
        if not all(_equal(a, b) for a, b in zip(before, douts, strict=True)):
            faults.append(Fault("in place", "the backward changes the upstream gradient in place"))
        if not all(_equal(a, b) for a, b in zip(saved, context.saved_tensors, strict=True)):
            faults.append(Fault("saved", "the backward overwrites a tensor that the forward saved"))
        first = [g.clone() if isinstance(g, torch.Tensor) else g for g in found]
        grads, counted = self._gradients(first)
        faults += counted
        if not faults:
            faults += self._again(context, before, grads)
        if not faults and not light:
            faults += self._relaid(context, tensors, before, (real, grads))
        if not context.materialize_grads and len(real) > 1 and not faults:
            self._one_by_one(context, out, douts)
        return FloatRun(tuple(numpy_of(o) for o in real), tuple(numpy_of(g) for g in grads), tuple(faults))

    def _again(self, context: Context, douts: Sequence[Any], grads: Sequence[Any]) -> list[Fault]:
        """Once more on the very same objects: the same answer, or it is not determined by them."""
        found = self._safely(context, [d.clone() if d is not None else d for d in douts])
        again, _ = self._gradients(found)
        return [
            Fault("nondeterminism", "the backward gives another value when it is called again", p)
            for p, a, b in zip(self.wrt, grads, again, strict=True)
            if not _equal(a, b)
        ]

    def _relaid(self, context: Context, tensors: Any, douts: Any, run: tuple[Any, Any]) -> list[Fault]:
        """The same values laid out otherwise in memory."""

        def whole(args: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
            try:
                again, out = self._call(args)
            except CODE_ERRORS as error:
                raise CodeProblem("forward", error) from error
            return _differentiable(again, out), self._gradients(self._safely(again, copies()))[0]

        def copies() -> list[Any]:
            return [d if d is None else d.clone() for d in douts]

        def back(given: Sequence[Any]) -> Sequence[Any]:
            return self._gradients(self._safely(context, given))[0]

        wrong, notes = torch_strides.told_apart(back, whole, (tensors, copies()), run)
        self.notes += [note for note in notes if note not in self.notes]
        return torch_strides.faults(self.names, self.wrt, wrong)

    def _one_by_one(self, context: Context, out: Any, douts: Sequence[Any]) -> None:
        """A Function that asks for no zeros gets None for each output that is not used."""
        for k, used in enumerate(_is_differentiable(context, o) for o in _tuple(out)):
            if used:
                self._safely(context, [d if j == k else None for j, d in enumerate(douts)])

    def _safely(self, context: Context, douts: Sequence[Any]) -> tuple[Any, ...]:
        try:
            return self._back(context, douts)
        except CODE_ERRORS as error:
            raise CodeProblem("backward", error) from error

    def _changed(
        self, before: Sequence[Any], after: Sequence[Any], stage: str, dirty: Sequence[int]
    ) -> list[Fault]:
        return [
            Fault(
                "in place",
                f"the {stage} changes its input {self.names[p]} in place",
                p if p in self.wrt else None,
            )
            for p, (a, b) in enumerate(zip(before, after, strict=True))
            if isinstance(a, np.ndarray)
            and id(b) not in dirty
            and not np.array_equal(a, numpy_of(b), equal_nan=a.dtype.kind == "f")
        ]

    # ---- the traced code

    def _graph(self, args: Sequence[Any], values: Sequence[Any]) -> Any:
        """The ATen operations of forward and backward together, at these shapes."""
        if self._key(args) not in self.graphs:
            try:
                self.graphs[self._key(args)] = self._traced(values)
            except Untraceable:
                if self.frozen or not any(_is_whole(a) for a in args):
                    raise
                self.frozen = True  # the path of the code depends on whole numbers: those stay as they are
                self.graphs[self._key(args)] = self._traced(values)
        return self.graphs[self._key(args)]

    def _key(self, args: Sequence[Any]) -> tuple[Any, ...]:
        def part(a: Any) -> Any:
            if not isinstance(a, np.ndarray):
                return repr(a)
            return (np.shape(a), a.tobytes() if self.frozen and _is_whole(a) else a.dtype.kind)

        return tuple(part(a) for a in args)

    def _traced(self, args: Sequence[Any]) -> Any:
        import torch

        places = [
            p for p, a in enumerate(args) if isinstance(a, np.ndarray) and not (self.frozen and _is_whole(a))
        ]
        try:
            shapes = [o.shape for o in self.outputs(args)]
        except CodeProblem as problem:
            raise Untraceable(str(problem)) from problem
        held = [None if p in places else self._tensor(a) for p, a in enumerate(args)]
        layout: list[tuple[int, list[bool]]] = []

        def joint(*tensors: Any) -> Any:
            given = [x.clone() for x in tensors[: len(places)]]
            whole = [given[places.index(p)] if p in places else held[p] for p in range(len(args))]
            context, out = self._call(whole)
            real = _differentiable(context, out)
            found = self._back(context, _upstream(context, out, [t.clone() for t in tensors[len(places) :]]))
            grads, faults = self._gradients(found)
            if faults:
                raise Untraceable(faults[0].message)
            layout.append((len(real), [g is not None for g in grads]))
            return (*real, *(g for g in grads if g is not None))

        samples = [torch.from_numpy(np.array(args[p])) for p in places]
        samples += [torch.ones(s, dtype=torch.float64) for s in shapes]
        graph = operations(joint, samples)
        self._faithful(graph, args, samples, places)
        return graph, places, layout[-1], shapes

    def _faithful(
        self, graph: Any, args: Sequence[Any], samples: Sequence[Any], places: Sequence[int]
    ) -> None:
        """Values that the trace froze, such as those of a NumPy call inside, show at another point."""

        moved = [x * STRETCH if x.is_floating_point() else x.clone() for x in samples]
        whole = [
            moved[places.index(p)].clone() if p in places else self._tensor(a) for p, a in enumerate(args)
        ]
        try:
            seeded()
            context, out = self._call(whole)
            found = self._back(context, _upstream(context, out, moved[len(places) :]))
            seeded()
            traced = graph(*moved)
        except CODE_ERRORS as error:
            raise Untraceable(
                f"the traced operations do not run elsewhere ({type(error).__name__})"
            ) from error
        grads, _ = self._gradients(found)
        own = [*_differentiable(context, out), *(g for g in grads if g is not None)]
        if not all(_near(a, b) for a, b in zip(own, traced, strict=True)):
            raise Untraceable("it works outside PyTorch's operations on values that a trace would freeze")

    def exact(self, args: Sequence[Any], upstream: Upstream, dual: World, plain: World) -> ExactRun:
        values = [_sample(a) for a in args]
        graph, places, (count, present), shapes = self._graph(args, values)
        given = [args[p] for p in places]
        try:
            with inside(dual), np.errstate(all="ignore"):
                douts = upstream(shapes)
                outs = interpreted(graph, [*given, *douts], range(count))
            with inside(plain), np.errstate(all="ignore"):
                bare = [stripped(g, plain) if isinstance(g, Numbers) else g for g in given]
                grads = interpreted(graph, [*bare, *douts], range(count, count + sum(present)))
        except PullbackError:
            raise
        except CODE_ERRORS as error:
            raise Untraceable(
                f"it cannot be run on exact numbers ({type(error).__name__}: {error})"
            ) from error
        rest = iter(grads)
        return ExactRun(
            tuple(numbers(o) for o in outs), tuple(numbers(next(rest)) if p else None for p in present)
        )

    # ---- as code

    def paste(self, args: Sequence[Any], upstream: Sequence[Any]) -> str:
        def tensor(x: Any) -> str:
            return f"torch.from_numpy({literal(x)})"

        lines = ["import numpy as np, torch"]
        for position, (name, x) in enumerate(zip(self.names, args, strict=True)):
            wanted = ".requires_grad_()" if position in self.wrt else ""
            lines.append(f"{name} = {tensor(x)}{wanted}" if isinstance(x, np.ndarray) else f"{name} = {x!r}")
        context, out = self._call([self._tensor(a) for a in args])
        own = [
            f"{name}.clone()" if context.dirty and p in self.wrt else name
            for p, name in enumerate(self.names)
        ]
        lines.append(f"out = {self.label}.apply({', '.join(own)})")
        used = [k for k, o in enumerate(_tuple(out)) if _is_differentiable(context, o)]
        outs = "out" if len(used) == len(_tuple(out)) else f"[{', '.join(f'out[{k}]' for k in used)}]"
        inputs = ", ".join(self.names[p] for p in self.wrt)
        douts = ", ".join(tensor(u) for u in upstream)
        return "\n".join([*lines, f"print(torch.autograd.grad({outs}, [{inputs}], [{douts}]))"])


def _sample(x: Any) -> Any:
    """Floats in the place of numbers, for tracing: the path of the code may not depend on them."""
    return floats_of(x) if isinstance(x, Numbers) else x


def _own(args: Sequence[Any]) -> list[Any]:
    """Tensors that the code may change in place, also where a gradient with respect to them is asked for."""
    return [x.clone() if getattr(x, "requires_grad", False) and x.is_leaf else x for x in args]


def _is_whole(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "iub"


def _near(a: Any, b: Any) -> bool:
    if tuple(a.shape) != tuple(b.shape):
        return False
    return bool(np.allclose(numpy_of(a), numpy_of(b), rtol=1e-4, atol=1e-7, equal_nan=True))


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _differentiable(context: Context, out: Any) -> list[Any]:
    """The outputs that have a gradient: of floats, and not marked as without one."""
    return [o for o in _tuple(out) if _is_differentiable(context, o)]


def _is_differentiable(context: Context, x: Any) -> bool:
    return _is_real(x) and not any(x is marked for marked in context.not_differentiable)


def _upstream(context: Context, out: Any, given: Sequence[Any]) -> list[Any]:
    """One gradient an output: zeros for those that have none, as PyTorch hands them over."""
    import torch

    rest = iter(given)
    return [
        next(rest)
        if _is_differentiable(context, o)
        else (torch.zeros_like(o) if isinstance(o, torch.Tensor) else None)
        for o in _tuple(out)
    ]


def _is_real(x: Any) -> bool:
    return hasattr(x, "is_floating_point") and bool(x.is_floating_point())


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None or not hasattr(a, "shape"):
        return a is b or a == b
    return bool(np.array_equal(numpy_of(a), numpy_of(b), equal_nan=True))
