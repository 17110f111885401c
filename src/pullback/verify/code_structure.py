"""What can be wrong beside the formula: number, shapes and types of gradients, changed inputs, chance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pullback.tracing.passes import CodeProblem, Fault, is_float_array, is_real
from pullback.verify.code_compare import upstreams
from pullback.verify.code_state import Check, pasted, shape_witness
from pullback.verify.points import Args, Sizes

WHAT: Final = {
    "count": "number of gradients",
    "in place": "in place",
    "saved": "saved tensor",
    "nondeterminism": "nondeterminism",
    "dtype": "dtype",
    "strides": "strides",
}


def structure(check: Check, args: Args, sizes: Sizes) -> None:
    """Faults of one run in floats: number, shapes and types of gradients, what changed, what is not determined."""
    rng = np.random.default_rng(2)
    try:
        light = dict(sizes) != check.made.sizes
        run = check.code.run(args, lambda shapes: upstreams(shapes, rng), light)
    except CodeProblem as problem:
        if problem.stage == "backward" and dict(sizes) != check.made.sizes:
            said = f"with {', '.join(f'{k} = {n}' for k, n in sizes.items())} {problem}"
            for position in check.open:
                check.found.note(position, said)
            if dict(sizes) in check.sizes:
                check.sizes.remove(dict(sizes))
        elif problem.stage == "backward":
            for position in check.open:
                check.verdict(
                    position, "error", f"error: {problem}", shape_witness(check, position, sizes, None)
                )
        return
    for fault in run.faults:
        _fault(check, fault, args)
    if len(run.grads) == len(check.code.wrt):
        for position, gradient in zip(check.code.wrt, run.grads, strict=True):
            _fits(check, position, gradient, args[position], sizes, args)


def _fault(check: Check, fault: Fault, args: Args) -> None:
    for position in check.open if fault.position is None else [fault.position]:
        if position in check.open:
            title = WHAT.get(fault.kind, fault.kind)
            reason = fault.message if fault.message.startswith(title) else f"{title}: {fault.message}"
            check.verdict(position, fault.kind, reason, None, pasted(check, args, None))


def _fits(check: Check, position: int, gradient: Any, value: Any, sizes: Sizes, args: Args) -> None:
    if gradient is None:
        check.found.missing.add(position)
        return
    given = np.asarray(gradient)
    if not is_real(given.dtype):
        said = f"dtype: d{check.name(position)} is {given.dtype}, the input {value.dtype}"
        check.verdict(position, "dtype", said, None, pasted(check, args, None))
    elif given.shape != value.shape and _by_accident(check, given, value, sizes):
        # The forward may run there by accident, such as by a view(-1, …) that mixes axes.
        told = ", ".join(f"{k} = {n}" for k, n in sizes.items())
        check.found.note(position, f"with {told} its shape is {given.shape}: those sizes were left out")
        if dict(sizes) in check.sizes:
            check.sizes.remove(dict(sizes))
    elif given.shape != value.shape:
        said = f"shape: d{check.name(position)} has the shape {given.shape}, the input {value.shape}"
        witness = shape_witness(check, position, sizes, given.shape)
        check.verdict(position, "shape", said, witness, pasted(check, args, None))
    elif given.dtype.itemsize < value.dtype.itemsize and _own_type(check, position) in (None, value.dtype):
        said = f"dtype: d{check.name(position)} is {given.dtype}, the input {value.dtype}: digits are lost"
        check.verdict(position, "dtype", said, None, pasted(check, args, None))


def _own_type(check: Check, position: int) -> Any:
    return check.dtypes.get(position)


def own_types(check: Check) -> None:
    """The example once in its own types: a gradient of fewer digits than its input is a fault."""
    args = [
        x.astype(check.dtypes[p]) if is_float_array(x) and check.dtypes.get(p) is not None else x
        for p, x in enumerate(check.made.args)
    ]
    if any(isinstance(x, np.ndarray) and is_real(x.dtype) and x.dtype != np.float64 for x in args):
        structure(check, args, check.made.sizes)


def _by_accident(check: Check, given: Any, value: Any, sizes: Sizes) -> bool:
    """Whether the forward may not be meant for these sizes: another number of axes at size 1 is a fault anywhere."""
    if dict(sizes) == check.made.sizes:
        return False
    far = any(n not in (1, check.made.sizes.get(name)) for name, n in sizes.items())
    return far or given.ndim == value.ndim
