"""Terms in index notation that are a convolution, or one of its two gradients: recognised, and written as one call.

The call is in neutral words: `conv(x, kernel, strides, paddings, dilations, groups)`, `conv_input(g, kernel, sizes, …)`
for what reaches the input and `conv_kernel(x, g, sizes, …)` for what reaches the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from pullback.affine import same
from pullback.emit.windows import Axis, Guards, joined, parts_of, place
from pullback.expression import ONE, Access, Expr, Index, Tensor, add, call, free, mul
from pullback.notation import code
from pullback.sizes import exact_quotient, normal_size

INPUT, KERNEL, OUTPUT = range(3)
# The groups of axes of each tensor, in the order of the libraries, as the tensors that share them; then space.
SAMPLES, GROUPS, CHANNELS, OUTPUTS = (
    frozenset(roles)
    for roles in ((INPUT, OUTPUT), (INPUT, KERNEL, OUTPUT), (INPUT, KERNEL), (KERNEL, OUTPUT))
)
LAYOUT: Final = (
    ((SAMPLES,), (GROUPS, CHANNELS)),
    ((GROUPS, OUTPUTS), (CHANNELS,)),
    ((SAMPLES,), (GROUPS, OUTPUTS)),
)
WORDS: Final = ("conv_input", "conv_kernel", "conv")


@dataclass(frozen=True, slots=True)
class Convolution:
    """input, kernel and output of a convolution, `left` of them on the left side of the line."""

    triple: tuple[Access, ...]
    left: int
    axes: tuple[Axis, ...]
    groups: Expr
    labels: dict[frozenset[int], tuple[Index, ...]] | None  # None: the axes lie as the libraries want them
    numbers: tuple[Expr, ...]

    def text(self) -> str:
        """The call, with its result over the left side's indices."""
        operands = [self._laid(k) for k in (INPUT, KERNEL, OUTPUT) if k != self.left]
        if self.left == INPUT:
            operands.reverse()  # the gradient first, then the kernel
        sizes = [] if self.left == OUTPUT else [_listed(self._shape(self.left))]
        options = [
            _listed([getattr(axis, what) for axis in self.axes]) for what in ("stride", "padding", "dilation")
        ]
        value = f"{WORDS[self.left]}({', '.join([*operands, *sizes, *options, code(self.groups)])})"
        return self._restored(value)

    def _parts(self, role: int) -> list[list[Index]]:
        assert self.labels is not None
        return [[i for roles in part for i in self.labels.get(roles, ())] for part in LAYOUT[role]]

    def _space(self, role: int) -> list[Expr]:
        return [slot for slot in self.triple[role].slots if slot not in self._flat(role)]

    def _flat(self, role: int) -> list[Index]:
        return [index for part in self._parts(role) for index in part]

    def _shape(self, role: int) -> list[Expr]:
        """The sizes in the libraries' order."""
        if self.labels is None:
            return list(self.triple[role].tensor.shape)
        space = [axis.sizes[role] for axis in self.axes]
        return [*(normal_size(mul(ONE, *(i.extent for i in part))) for part in self._parts(role)), *space]

    def _order(self, role: int) -> list[int]:
        """The places of the tensor's axes in the libraries' order."""
        slots = list(self.triple[role].slots)
        return [slots.index(slot) for slot in (*self._flat(role), *self._space(role))]

    def _plainly(self, role: int) -> bool:
        return all(len(part) == 1 for part in self._parts(role))

    def _laid(self, role: int) -> str:
        text = self.triple[role].tensor.name
        if self.labels is None:
            return text
        order = self._order(role)
        if order != sorted(order):
            text = f"transpose({text}, {order})"
        return text if self._plainly(role) else f"reshape({text}, {_listed(self._shape(role))})"

    def _restored(self, text: str) -> str:
        if self.labels is None:
            return text
        order = self._order(self.left)
        if not self._plainly(self.left):
            space = [axis.sizes[self.left] for axis in self.axes]
            text = f"reshape({text}, {_listed([*(i.extent for i in self._flat(self.left)), *space])})"
        if order != sorted(order):
            text = f"transpose({text}, {[order.index(k) for k in range(len(order))]})"
        return text


def _listed(sizes: Sequence[Expr]) -> str:
    return f"[{', '.join(code(size) for size in sizes)}]"


def convolution(term: Expr, over: Sequence[Index]) -> Convolution | None:
    """The term as a convolution of two tensors, or as a gradient of one, over these indices; else None."""
    parts = parts_of(term)
    if parts is None or len(parts.entries) != 2 or not over:
        return None
    left = Access(Tensor("", tuple(index.extent for index in over)), tuple(over))
    guards = Guards(parts.brackets)
    found: list[Convolution] = []
    for triple in permutations((left, *parts.entries)):
        read = _grouped(triple, guards) or _labelled(triple, guards)
        if read is not None:
            labels, groups, axes = read
            found.append(Convolution(triple, triple.index(left), axes, groups, labels, parts.numbers))
    # The kernel may as well be an input: the reading that needs the fewest axes laid otherwise is meant.
    return min(found, key=lambda each: (each.text().count("["), -each.left), default=None)


Triple = tuple[Access, ...]
Found = tuple[dict[frozenset[int], tuple[Index, ...]] | None, Expr, tuple[Axis, ...]]


def _labelled(triple: Triple, guards: Guards) -> Found | None:
    """Channels and samples that are indices of their own."""
    labels = _labels(triple, guards)
    space = [[k for k, slot in enumerate(each.slots) if slot not in labels] for each in triple]
    axes = _space(triple, space, guards)
    if axes is None:
        return None
    shared: dict[frozenset[int], tuple[Index, ...]] = {}
    for index, roles in labels.items():
        shared[roles] = (*shared.get(roles, ()), index)
    groups = normal_size(mul(ONE, *(index.extent for index in shared.get(GROUPS, ()))))
    return shared, groups, axes


def _labels(triple: Triple, guards: Guards) -> dict[Index, frozenset[int]]:
    """The indices that only stand alone, in the slots of two or three tensors, over whole axes."""
    count = Counter(index for each in triple for slot in each.slots for index in free(slot))
    count.update(index for index in guards.indices)
    roles: dict[Index, set[int]] = {}
    for role, each in enumerate(triple):
        for slot, size in zip(each.slots, each.tensor.shape, strict=True):
            if isinstance(slot, Index) and same(slot.extent, size):
                roles.setdefault(slot, set()).add(role)
    return {i: frozenset(found) for i, found in roles.items() if len(found) == count[i] > 1}


def _grouped(triple: Triple, guards: Guards) -> Found | None:
    """Channels in groups, on one axis: input N C …, kernel O C/groups …, output N O …."""
    x, kernel, out = triple
    if min(each.tensor.rank for each in triple) < 3 or len({each.tensor.rank for each in triple}) > 1:
        return None
    width = kernel.tensor.shape[1]
    groups = exact_quotient(x.tensor.shape[1], width)
    per_group = None if groups is None else exact_quotient(kernel.tensor.shape[0], groups)
    if groups is None or per_group is None or not same(kernel.tensor.shape[0], out.tensor.shape[1]):
        return None
    (n, c, *_), (o, k, *_), (m, p, *_) = x.slots, kernel.slots, out.slots
    if not (isinstance(n, Index) and n is m and same(x.tensor.shape[0], n.extent)):
        return None
    forward = add(mul(width, call("floordiv", o, per_group)), k)
    if isinstance(c, Index) and place(k) == place(call("mod", c, width)):
        rest = [i for i in free(o) if i is not c and same(i.extent, per_group)]
        within = mul(per_group, call("floordiv", c, width))
        channels = place(o) == place(p) == place(add(within, *rest)) and len(rest) <= 1
    else:
        whole = all(not free(i) or isinstance(i, Index) for i in (o, k))
        channels = whole and place(o) == place(p) and place(c) == place(forward)
    taps = [list(range(2, each.tensor.rank)) for each in triple]
    axes = _space(triple, taps, guards) if channels else None
    return None if axes is None else (None, groups, axes)


def _space(triple: Triple, places: Sequence[Sequence[int]], guards: Guards) -> tuple[Axis, ...] | None:
    """The axes of space, each on the same place among those of the three tensors."""
    if len({len(each) for each in places}) > 1 or not 1 <= len(places[0]) <= 3:
        return None
    axes, read, used = [], [], 0
    for at in zip(*places, strict=True):
        slots = [each.slots[k] for each, k in zip(triple, at, strict=True)]
        sizes = [each.tensor.shape[k] for each, k in zip(triple, at, strict=True)]
        if any(
            isinstance(s, Index) and not same(s.extent, size) for s, size in zip(slots, sizes, strict=True)
        ):
            return None
        found = joined(
            (place(slots[0]), place(slots[1]), place(slots[2])), (sizes[0], sizes[1], sizes[2]), guards
        )
        if found is None:
            return None
        axes.append(found[0])
        used += found[1]
        read += [(place(slot), size) for slot, size in zip(slots, sizes, strict=True)]
        read += [(p, sizes[INPUT]) for p in guards.other_sides(slots[INPUT])]
    return tuple(axes) if guards.only_bound(read, used) else None
