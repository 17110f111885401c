"""`check`: is a hand-written backward right? The code is run on exact numbers and compared with its forward."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.capture.watching import within
from pullback.claiming import Verdict
from pullback.code_edits import CodeEdit, mends_in_code
from pullback.code_lines import line_of
from pullback.errors import DomainProblem, SyntaxProblem
from pullback.libraries import kind_of_backward, rule_of
from pullback.reading.shapes import by_name, parse_shape
from pullback.right_formula import read_forward, right_formulas
from pullback.tracing.jax_arguments import Arguments, flattened
from pullback.tracing.jax_function import JaxFunction
from pullback.tracing.numpy_layer import held_parameters, layer_pair
from pullback.tracing.numpy_nested import Nested, holds_arrays, nested_pair
from pullback.tracing.numpy_pair import NumpyPair
from pullback.tracing.passes import Pass, is_real
from pullback.tracing.torch_context import one_thread
from pullback.tracing.torch_function import TorchFunction
from pullback.verify.code import judge_code
from pullback.verify.code_data import leave_data_out
from pullback.verify.code_verdict import CodeVerdict, explained, to_json

LOCATED = ("formula", "ties", "none", "shape", "dtype", "count")  # faults of what is returned
METHODS = ("forward", "backward")
READING_SECONDS: Final = 3.0  # of recording the forward, or the backward, of wrong code

Shapes = Mapping[str, str | Sequence[str | int]] | str


@dataclass(frozen=True, slots=True, repr=False)
class CheckVerdict(Verdict):
    """The answer to `check`: one verdict an input, in words, as data, and as code to paste."""

    verdicts: tuple[CodeVerdict, ...]

    def explain(self) -> str:
        """The verdict in words: why, the smallest counterexample, and code that shows it."""
        return "\n".join(explained(verdict) for verdict in self.verdicts)

    def json(self) -> str:
        """The verdict as JSON text."""
        return to_json(self.ok, self.verdicts)


def check(
    obj: Any,
    inputs: Any = None,
    *,
    shapes: Shapes | None = None,
    wrt: Sequence[int | str] | None = None,
) -> Verdict:
    """Whether a hand-written backward is the derivative of its forward.

    obj: a pair (forward, backward) of NumPy-style functions, an object with two such methods, a
    `torch.autograd.Function`, or a `jax.custom_vjp` function. inputs: one example of the arguments of the forward, a
    sequence or a dictionary by name; sizes and values are varied from there: equal sizes count as one symbol, unless
    `shapes` names the axes ({"x": "N D"}).
    wrt: positions or names of the inputs to differentiate by; default: every array of floats (of PyTorch, those
    that require gradients, where any does).
    Raises `PullbackError` for an object of another kind, and where the forward does not run on the example.

    >>> def forward(x):
    ...     return np.tanh(x)
    >>> def backward(dout, x):
    ...     return dout * (1 - np.tanh(x) ** 2)
    >>> bool(check((forward, backward), [np.array([0.5, -1.0, 2.0])]))
    True
    """
    code, args, dtypes = _read(rule_of(obj), inputs, wrt)
    with one_thread():
        found = _with_formulas(code, args, judge_code(code, args, dtypes, shapes), shapes)
        return CheckVerdict(tuple(_with_line(code, v) for v in found))


def _with_line(code: Pass, verdict: CodeVerdict) -> CodeVerdict:
    """Where no edit names a line, the one in which the gradient is made."""
    if verdict.ok is not False or verdict.line or verdict.kind not in LOCATED:
        return verdict
    return replace(verdict, line=line_of(code, verdict.wrt))


def _with_formulas(
    code: Pass, args: list[Any], found: tuple[CodeVerdict, ...], shapes: Shapes | None
) -> tuple[CodeVerdict, ...]:
    """Wrong formulas with the right ones beside them, where the forward can be derived."""
    wrong = [v.wrt for v in found if v.ok is False and v.kind in ("formula", "ties", "none")]
    with within(READING_SECONDS):
        forward = read_forward(code, args) if wrong else None
    if forward is None:
        return found
    named = by_name(shapes, "shapes", '{"x": "N D"}')
    forward = forward.with_sizes({name: parse_shape(entry) for name, entry in named.items()})
    right = right_formulas(forward, wrong)
    with within(READING_SECONDS):
        formulas = [v.wrt for v in found if v.ok is False and v.kind == "formula"]
        mends = mends_in_code(code, args, forward, formulas)
    return tuple(_with_mend(replace(v, right=right.get(v.wrt, ())), mends.get(v.wrt)) for v in found)


def _with_mend(verdict: CodeVerdict, found: CodeEdit | None) -> CodeVerdict:
    """The edit in the code's own line before the factor or transpose of the whole gradient."""
    if found is None:
        return verdict
    return replace(verdict, mend=found.edit, line=f"{found.place[0]}:{found.place[1]}")


def _read(obj: Any, inputs: Any, wrt: Sequence[int | str] | None) -> tuple[Pass, list[Any], dict[int, Any]]:
    match kind_of_backward(obj):
        case "pair":
            layer = getattr(obj[0], "__self__", None)
            if (
                layer is not None
                and getattr(obj[1], "__self__", None) is layer
                and not isinstance(layer, type)
            ):
                return _layer(layer, (obj[0].__name__, obj[1].__name__), inputs, wrt)
            return _numpy_pair(obj[0], obj[1], inputs, wrt)
        case "function":
            return _torch_function(obj, inputs, wrt)
        case "rule":
            return _jax_function(obj, inputs, wrt)
        case "layer":
            return _of_class(obj, inputs, wrt) if isinstance(obj, type) else _layer(obj, METHODS, inputs, wrt)


def _numpy_pair(
    forward: Any, backward: Any, inputs: Any, wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    names, given = named_arguments(forward, inputs)
    if any(holds_arrays(x) for x in given):
        return _nested_pair(forward, backward, names, given, wrt)
    args = [plain_argument(x) for x in given]
    dtypes = {p: x.dtype for p, x in enumerate(given) if isinstance(x, np.ndarray)}
    positions = wanted(names, args, wrt)
    label = getattr(forward, "__name__", "forward")
    return NumpyPair(label, names, positions, [], forward, backward), args, dtypes


def _nested_pair(
    forward: Any, backward: Any, names: Sequence[str], given: Sequence[Any], wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    """A pair that takes arrays in containers."""
    made = nested_pair(forward, backward, names, given)
    values = made.nested.values()
    args = [plain_argument(x) for x in values]
    dtypes = {p: x.dtype for p, x in enumerate(values) if isinstance(x, np.ndarray)}
    asked = wrt if wrt is None else _leaves(made.nested, made.names, wrt)
    made.wrt = wanted(made.names, args, made.wrt or None if asked is None else asked)
    return made, args, dtypes


def _of_class(
    kind: type, inputs: Any, wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    """A class whose methods need no object is a pair of functions; another one is a layer, if it needs no arguments."""
    found = [inspect.getattr_static(kind, name) for name in METHODS]
    if all(isinstance(f, staticmethod | classmethod) for f in found):
        forward, backward = (getattr(kind, name) for name in METHODS)
        return _numpy_pair(forward, backward, inputs, wrt)
    try:
        layer = kind()
    except TypeError as error:
        raise DomainProblem(
            f"{kind.__name__} is a class that needs arguments",
            hint=f"an object: check({kind.__name__}(…), inputs)",
        ) from error
    return _layer(layer, METHODS, inputs, wrt)


def _layer(
    layer: Any, methods: tuple[str, str], inputs: Any, wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    """A layer object; the parameters whose gradients it keeps are checked as well."""
    names, given = named_arguments(getattr(layer, methods[0]), inputs)
    held = held_parameters(layer, methods, given, names)
    given = [*given, *(h.value(layer) for h in held)]
    names = (*names, *(h.name for h in held))
    args = [plain_argument(x) for x in given]
    dtypes = {p: x.dtype for p, x in enumerate(given) if isinstance(x, np.ndarray)}
    return layer_pair(layer, methods, names, held, wanted(names, args, wrt)), args, dtypes


def _torch_function(
    function: Any, inputs: Any, wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    import torch

    separate = function.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
    names, given = named_arguments(function.forward, inputs, 0 if separate else 1)
    tensors = {p: x for p, x in enumerate(given) if isinstance(x, torch.Tensor)}
    known = {
        "torch.float64": np.float64,
        "torch.float32": np.float32,
        "torch.float16": np.float16,
        "torch.bfloat16": np.float16,  # of as few digits as NumPy has
    }
    dtypes = {p: np.dtype(known.get(str(x.dtype), np.float64)) for p, x in tensors.items()}
    args = [_from_torch(x) if p in tensors else x for p, x in enumerate(given)]
    marked = [p for p, x in tensors.items() if x.requires_grad]
    positions = wanted(names, args, wrt if wrt is not None else marked or None)
    code = TorchFunction(function.__name__, names, positions, [], function)
    if wrt is None and not marked:
        leave_data_out(code, args)
    return code, args, dtypes


def _jax_function(
    function: Any, inputs: Any, wrt: Sequence[int | str] | None
) -> tuple[Pass, list[Any], dict[int, Any]]:
    import jax

    if getattr(function, "fwd", None) is None or getattr(function, "bwd", None) is None:
        raise DomainProblem("this custom_vjp function has no rules yet", hint="f.defvjp(fwd, bwd)")
    arguments, names, given = flattened(*named_arguments(function.fun, inputs))
    args = [plain_argument(np.asarray(x) if isinstance(x, jax.Array | np.ndarray) else x) for x in given]
    dtypes = {p: np.dtype(x.dtype) for p, x in enumerate(map(_plain, given)) if is_real(x.dtype)}
    made = JaxFunction(getattr(function, "__name__", "f"), names, (), [], function, arguments)
    handed_on = {p for k in made.fixed for p in arguments.positions(k)}
    fixed = [None if p in handed_on else x for p, x in enumerate(args)]
    asked = wrt if wrt is None else _leaves(arguments, names, wrt)
    made.wrt = wanted(names, fixed, asked)
    return made, args, dtypes


def _plain(x: Any) -> Any:
    return x if hasattr(x, "dtype") else np.zeros(0, dtype=bool)


def _leaves(arguments: Arguments | Nested, names: Sequence[str], wrt: Sequence[int | str]) -> list[int | str]:
    """An argument that is a container stands for those of its leaves that can be differentiated by."""
    found: list[int | str] = []
    for entry in [wrt] if isinstance(wrt, int | str) else wrt:
        if isinstance(entry, str) and entry not in arguments.names:
            found.append(entry)
            continue
        argument = arguments.names.index(entry) if isinstance(entry, str) else entry
        if not 0 <= argument < len(arguments.names):
            raise DomainProblem(f"there is no argument {argument}", hint=", ".join(arguments.names))
        found += [names[p] for p in arguments.positions(argument)]
    return found


def _from_torch(x: Any) -> Any:
    plain = x.detach().cpu()
    return (plain.double() if plain.is_floating_point() else plain).numpy().copy()


def named_arguments(forward: Any, inputs: Any, skip: int = 0) -> tuple[tuple[str, ...], list[Any]]:
    """Names and values of the arguments; `skip` parameters stand before them (`ctx`)."""
    if inputs is None:
        raise SyntaxProblem("an example of the inputs is needed", hint="pullback.check(obj, [x, w])")
    try:
        parameters = list(inspect.signature(forward).parameters.values())[skip:]
    except (TypeError, ValueError):
        parameters = []
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if isinstance(inputs, Mapping):
        unknown = [str(key) for key in inputs if key not in known]
        if unknown:
            raise SyntaxProblem(f"{unknown[0]} is no argument of the forward", hint=", ".join(known))
        defaults = {p.name: p.default for p in parameters}
        missing = [n for n in known if n not in inputs and defaults[n] is inspect.Parameter.empty]
        if missing:
            hint = f"one among the inputs; --set {missing[0]}=… on the command line"
            raise SyntaxProblem(f"no value is given for {missing[0]}", hint=hint)
        used = [n for n in known if n in inputs or defaults[n] is not inspect.Parameter.empty]
        return tuple(used), [inputs.get(n, defaults[n]) for n in used]
    given = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
    names = known[: len(given)] + [f"x{k}" for k in range(len(known), len(given))]
    return tuple(names), given


def plain_argument(x: Any) -> Any:
    """Float arrays as float64, NumPy scalars as arrays."""
    if isinstance(x, np.generic):
        x = np.asarray(x)
    if isinstance(x, np.ndarray) and is_real(x.dtype):
        return x.astype(np.float64)
    return x


def wanted(names: Sequence[str], args: Sequence[Any], wrt: Sequence[int | str] | None) -> tuple[int, ...]:
    """Positions of the inputs to differentiate by."""
    if wrt is None:
        found = tuple(p for p, x in enumerate(args) if isinstance(x, np.ndarray) and x.dtype.kind == "f")
    else:
        entries = [wrt] if isinstance(wrt, int | str) else list(wrt)
        missing = [e for e in entries if isinstance(e, str) and e not in names]
        if missing:
            raise DomainProblem(f"{missing[0]} is no argument of the forward", hint=", ".join(names))
        found = tuple(list(names).index(e) if isinstance(e, str) else int(e) for e in entries)
    bad = [p for p in found if not 0 <= p < len(args) or not isinstance(args[p], np.ndarray)]
    if bad or not found:
        raise DomainProblem(
            "there is no array of floats to differentiate by", hint="arrays of float64 as inputs"
        )
    return found
