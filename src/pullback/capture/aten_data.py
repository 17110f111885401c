"""ATen's operations with parts that have no gradient: what cuts it, orders values, rounds, or finds positions.

Such a part is data: an input of the program that the code computes. What is read at the positions keeps its gradient.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pullback.capture import phrases
from pullback.capture.aten import Row, value
from pullback.capture.torch_places import called_as
from pullback.capture.writing import Shape, Value, Writer, broadcast
from pullback.errors import DomainProblem
from pullback.expression import ONE, Num
from pullback.sizes import product_size, same_size


def ungraded(node: Any) -> Row | None:
    """A row for an operation without one whose results are whole numbers, or that runs under `no_grad`."""
    values = node.meta["val"]
    if "set_grad_enabled" in str(node.target) and node.args[0] is False:
        names = _results_of(node)
        return lambda w, *_, **__: tuple(w.computed(name, which=k) for k, name in enumerate(names))
    if isinstance(values, list | tuple) or values.is_floating_point() or values.is_complex():
        return None
    return lambda w, *_, **__: w.computed(w.hint or node.name)


def _results_of(node: Any) -> list[str]:
    """How the code calls what a region without gradients gives."""
    inner = getattr(node.graph.owning_module, node.args[1].target).graph
    (results,) = next(n for n in inner.nodes if n.op == "output").args
    return [called_as(result) or "held" for result in results]


def _detached(w: Writer, x: Value) -> Value:
    """The same numbers, through which no gradient flows."""
    if x.constant or x.number is not None or x.kind != "float":
        return x
    return _data(w, f"{x.hint or w.hint or 'h'}_held")


def _data(w: Writer, hint: str, *args: Any, **kwargs: Any) -> Value:
    found: Value = w.computed(hint, *args, **kwargs)
    return found


def _rounded(w: Writer, x: Value, *_: Any, **__: Any) -> Value:
    """Constant between its steps, so that its derivative is 0."""
    return _data(w, "whole")


def _remainder(w: Writer, x: Any, y: Any) -> Value:
    """x - y * n, where the whole number n is data."""
    import torch

    def count(_: Any, args: tuple[Any, ...]) -> Any:
        return torch.floor(torch.as_tensor(args[0], dtype=torch.float64) / args[1]).numpy()

    a, b = value(w, x), value(w, y)
    n = _data(w, "n", count, broadcast(a, b))
    return w.elementwise("{0} - {1} * {2}", a, b, n)


# ---- in order


def _sort(w: Writer, x: Value, *args: Any, **kwargs: Any) -> tuple[Value, Value]:
    """Sorted values are the values at the positions that sorting gives."""
    stable = args[0] if args and isinstance(args[0], bool) and len(args) > 2 else None
    dim = kwargs.get("dim", args[1] if stable is not None else args[0] if args else -1)
    order = _data(w, "order", which=1)
    return phrases.take_along(w, x, order, dim), order


def _topk(w: Writer, x: Value, k: int, dim: int = -1, *_: Any, **__: Any) -> tuple[Value, Value]:
    order = _data(w, "top", which=1)
    return phrases.take_along(w, x, order, dim), order


def _argsort(w: Writer, *_: Any, **__: Any) -> Value:
    return _data(w, "order")


def _one_along(w: Writer, x: Value, dim: Any, keepdim: bool) -> tuple[Value, None]:
    """One entry along an axis, at a position that is data."""
    dim %= x.rank

    def pick(result: Any, _: Any) -> Any:
        return (result[1] if keepdim else result[1].unsqueeze(dim)).numpy()

    shape = (*x.shape[:dim], ONE, *x.shape[dim + 1 :])
    found = phrases.take_along(w, x, _data(w, "at", pick, shape), dim)
    return (found if keepdim else phrases.squeeze(w, found, dim)), None


def _median(w: Writer, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is not None:
        return _one_along(w, x, dim, keepdim)

    def pick(result: Any, args: tuple[Any, ...]) -> Any:
        return (args[0].reshape(-1) == result).nonzero()[:1, 0].numpy()

    flat = phrases.reshape(w, x, [-1])
    return phrases.reshape(w, phrases.take(w, flat, _data(w, "at", pick, (ONE,))), [])


def _kth(w: Writer, x: Value, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return _one_along(w, x, dim, keepdim)


def _running(w: Writer, x: Value, dim: int) -> tuple[Value, Value]:
    """The largest or smallest value so far, at the position where it stands."""
    at = _data(w, "at", which=1)
    return phrases.take_along(w, x, at, dim), at


def _quantile(
    w: Writer,
    x: Value,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Value:
    """Between the two sorted values beside the place q (n - 1)."""
    if not isinstance(q, float | int) or interpolation != "linear":
        raise DomainProblem(
            "quantile of several numbers, or not linear between values", hint="x.quantile(0.5)"
        )
    x, axis = (phrases.reshape(w, x, [-1]), 0) if dim is None else (x, dim % x.rank)

    def pick(_: Any, args: tuple[Any, ...]) -> Any:
        given = args[0].reshape(-1) if dim is None else args[0]
        return given.sort(dim=axis).indices.numpy()

    ordered = phrases.take_along(w, x, _data(w, "order", pick, x.shape), axis)
    n = x.shape[axis]
    if not isinstance(n, Num):
        raise DomainProblem("a quantile along an axis whose size is free")
    place = q * (int(n.value) - 1)
    low = int(place)
    found = phrases.entry(w, ordered, axis, low)
    if place != low:
        found = w.elementwise(
            "{0} + {2} * ({1} - {0})", found, phrases.entry(w, ordered, axis, low + 1), value(w, place - low)
        )
    return phrases.new_axis(w, found, axis) if keepdim and dim is not None else found


# ---- at places that an array names


def _masked(w: Writer, x: Value, mask: Value, at: int = 1) -> Value:
    """`x[mask]`: the entries where the mask holds, one after the other."""
    rank = mask.rank

    def pick(_: Any, args: tuple[Any, ...]) -> Any:
        found = args[at]
        found = next(t for t in found if t is not None) if isinstance(found, list | tuple) else found
        return found.reshape(-1).nonzero()[:, 0].numpy()

    kept = _data(w, "kept", pick, length=True)
    flat = phrases.reshape(w, x, [-1, *x.shape[rank:]]) if rank > 1 else x
    return phrases.take(w, flat, kept)


def _masked_select(w: Writer, x: Value, mask: Value) -> Value:
    shape = broadcast(x, mask)
    if not phrases.same_shape(mask.shape, shape):
        raise DomainProblem("masked_select with a mask that is smaller", hint="mask.expand_as(x)")
    return _masked(w, phrases.expand(w, x, shape), mask)


def at_places(w: Writer, x: Value, indices: Sequence[Value | None]) -> Value:
    """`x[i, j]` with whole numbers for the leading axes: Y[n, …] = x[i[n], j[n], …]."""
    named = [t for t in indices if t is not None]
    lead = next((k for k, t in enumerate(indices) if t is not None), 0)
    if any(t is None for t in indices[lead : lead + len(named)]) or any(t.kind != "int" for t in named):
        raise DomainProblem("indexing by several tensors with an axis between them", hint="movedim")
    shape = broadcast(*named)
    letters = string.ascii_lowercase
    inner = [letters[lead + k] for k in range(len(shape))]
    rest = [letters[lead + len(shape) + k] for k in range(x.rank - lead - len(named))]
    slots = list(letters[:lead])
    for k, t in enumerate(named):
        w.ranges_over(t, x.shape[lead + k])
        own = inner[len(shape) - t.rank :]
        places = ["0" if size is ONE else i for size, i in zip(t.shape, own, strict=True)]
        slots.append(f"{{{k + 1}}}[{', '.join(places)}]" if t.rank else f"{{{k + 1}}}")
    left = [*letters[:lead], *inner, *rest]
    sizes = (*x.shape[:lead], *shape, *x.shape[lead + len(named) :])
    made = w.define(f"{{0}}[{', '.join([*slots, *rest])}]", x, *named, shape=sizes, indices=left, kind=x.kind)
    made.declared = any(size is ONE for t in named for size in t.shape)
    return made


def _is_mask(x: Value) -> bool:
    """A condition; one that is part of the code is held as numbers."""
    return x.kind == "bool" or (x.constant and x.data is not None and x.data.dtype.kind == "b")


def index(w: Writer, x: Value, indices: Sequence[Value | None], fallback: Row) -> Value:
    named = [t for t in indices if t is not None]
    if len(named) == 1 and _is_mask(named[0]):
        if indices[0] is None:
            raise DomainProblem("a mask along an axis that is not the first", hint="x.transpose(0, 1)[mask]")
        return _masked(w, x, named[0])
    if len(named) > 1 and not (len(indices) == 2 and x.rank >= 2 and phrases.counts(named[0])):
        return at_places(w, x, indices)
    found: Value = fallback(w, x, indices)
    return found


def _scattered(w: Writer, places: Value, given: Value, dim: int, size: Any, whole: bool) -> Value:
    """Σ_n (places[n] == v) * given[.., n, ..]: what is added up at each place v of an axis.

    whole: the places have an entry for each one of `given`, not for each of its slices.
    """
    letters = phrases.LETTERS[: given.rank]
    left = [("v" if k == dim else i) for k, i in enumerate(letters)]
    inner = ", ".join(letters) if whole else letters[dim]
    w.ranges_over(places, size)
    shape = [size if k == dim else n for k, n in enumerate(given.shape)]
    if given.number is not None:
        made = w.define(f"({{0}}[{inner}] == v) * {given.number}", places, shape=shape, indices=left)
    else:
        template = f"({{1}}[{inner}] == v) * {{0}}[{', '.join(letters)}]"
        made = w.define(template, given, places, shape=shape, indices=left)
    made.declared = True
    return made


def _index_add(w: Writer, x: Value, dim: int, places: Value, given: Value, *, alpha: Any = 1) -> Value:
    dim %= x.rank
    added = _scattered(w, places, given, dim, x.shape[dim], whole=False)
    return phrases.add_(w, x, phrases.times(w, value(w, alpha), added))


def _scatter_add(w: Writer, x: Value, dim: int, places: Value, given: Value) -> Value:
    """Where each slice has the same places, they are one vector."""
    dim %= x.rank
    for k in range(x.rank):
        given = phrases.part(w, given, k, 0, places.shape[k])
        if k != dim and not same_size(places.shape[k], x.shape[k]):
            raise DomainProblem("scatter_add of fewer slices than the result has")
    return phrases.add_(w, x, _scattered(w, places, given, dim, x.shape[dim], whole=True))


def _scatter_reduce(
    w: Writer, x: Value, dim: int, places: Value, given: Value, how: str, *_: Any, **options: Any
) -> Value:
    if how not in ("sum", "add") or options.get("include_self") is False:
        raise DomainProblem(f"scatter_reduce with {how}", hint="scatter_add, divided by the counts")
    return _scatter_add(w, x, dim, places, given)


def _hit(w: Writer, shape: Shape, write: Any) -> Value:
    """1 where something is written, else 0."""
    import torch

    def pick(result: Any, args: tuple[Any, ...]) -> Any:
        return write(torch.zeros(result.shape[: len(shape)], dtype=torch.int64), args, 1).numpy() == 1

    return _data(w, "hit", pick, shape)


def _scatter(w: Writer, x: Value, dim: int, places: Value, given: Any, **options: Any) -> Value:
    """What stood there goes; a number or an entry of `given` stands in its place."""
    import torch

    if options:
        raise DomainProblem("scatter with reduce", hint="scatter_add")
    hit = _hit(w, x.shape, lambda zeros, args, one: zeros.scatter(args[1], args[2], one))
    if not isinstance(given, Value) or not given.rank:
        return phrases.where(w, hit, value(w, given), x)

    def source(result: Any, args: tuple[Any, ...]) -> Any:
        count = torch.arange(args[2].shape[dim]).reshape(
            [-1 if k == dim % x.rank else 1 for k in range(x.rank)]
        )
        return (
            torch.zeros(result.shape, dtype=torch.int64)
            .scatter(dim, args[2], count.expand(args[2].shape))
            .numpy()
        )

    return phrases.where(w, hit, phrases.take_along(w, given, _data(w, "source", source, x.shape), dim), x)


def _index_put(w: Writer, x: Value, indices: Sequence[Any], given: Value, accumulate: bool = False) -> Value:
    """`x[i] = v`, or `x[i] += v` of one index."""
    named = [t for t in indices if t is not None]
    if accumulate:
        if len(indices) != 1 or named[0].kind == "bool":
            raise DomainProblem("index_put that adds up at several indices", hint="index_add, scatter_add")
        (places,) = named
        shape = (*places.shape, *x.shape[1:])
        return _index_add(w, x, 0, places, phrases.expand(w, given, shape))
    if len(named) != len(indices):
        raise DomainProblem("an assignment by an index behind a slice", hint="torch.where(mask, a, b)")
    lead = named[0].rank if named[0].kind == "bool" else len(named)
    if given.rank == 0 and named[0].kind == "bool":
        return phrases.where(w, _widened(w, named[0], x.rank), given, x)
    hit = _hit(
        w, x.shape[:lead], lambda zeros, args, one: zeros.index_put(tuple(args[1]), zeros.new_tensor(one))
    )
    wide = _widened(w, hit, x.rank)
    if given.rank == 0:
        return phrases.where(w, wide, given, x)
    if named[0].kind == "bool" or given.rank != named[0].rank + x.rank - lead:
        raise DomainProblem("an assignment of values that are not one for each place", hint="torch.where")
    return phrases.where(w, wide, _written(w, x, given, lead, named[0].rank), x)


def _widened(w: Writer, x: Value, rank: int) -> Value:
    while x.rank < rank:
        x = phrases.new_axis(w, x, x.rank)
    return x


def _written(w: Writer, x: Value, given: Value, lead: int, rank: int) -> Value:
    """For every place the entry of `given` that is written there last."""
    import torch

    def source(result: Any, args: tuple[Any, ...]) -> Any:
        zeros = torch.zeros(result.shape[:lead], dtype=torch.int64)
        shape = np.broadcast_shapes(*(tuple(t.shape) for t in args[1]))
        return zeros.index_put(tuple(args[1]), torch.arange(int(np.prod(shape))).reshape(shape)).numpy()

    flat = phrases.reshape(w, given, [product_size(given.shape[:rank]), *given.shape[rank:]])
    return phrases.take(w, flat, _data(w, "source", source, x.shape[:lead]))


def _one_hot(w: Writer, t: Value, classes: int = -1) -> Value:
    if isinstance(classes, int) and classes < 0:
        raise DomainProblem("one_hot without a number of classes", hint="F.one_hot(t, C)")
    steps = w.constant(list(range(classes)), "steps") if isinstance(classes, int) else None
    if steps is None:
        raise DomainProblem("one_hot of a size that is not a number")
    return w.elementwise("{0} == {1}", phrases.new_axis(w, t, t.rank), steps, kind="bool")


TABLE: Final[dict[str, Row]] = {
    "detach": _detached,
    **dict.fromkeys(("floor", "ceil", "round", "trunc"), _rounded),
    "remainder": _remainder,
    "sort": _sort,
    "topk": _topk,
    "argsort": _argsort,
    "median": _median,
    "nanmedian": _median,
    "kthvalue": _kth,
    "mode": lambda w, x, dim=-1, keepdim=False: _one_along(w, x, dim, keepdim),
    "cummax": _running,
    "cummin": _running,
    "quantile": _quantile,
    "masked_select": _masked_select,
    "index_add": _index_add,
    "scatter_add": _scatter_add,
    "scatter_reduce": _scatter_reduce,
    "scatter": _scatter,
    "index_put": _index_put,
    "one_hot": _one_hot,
    "take_along_dim": lambda w, x, index, dim: phrases.take_along(w, x, index, dim),
}
