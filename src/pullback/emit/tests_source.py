"""The test file of an emitted module: against automatic differentiation of the plain forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pullback.derivation import Derived
from pullback.emit.body import kinds
from pullback.emit.function_source import arguments, indented, part, slots_of
from pullback.emit.module_source import demand_name
from pullback.emit.passes import Passes, passes
from pullback.emit.plain_source import head
from pullback.emit.spelling import Speller
from pullback.emit.target import JAX, TORCH, Target, target_named
from pullback.errors import DomainProblem, NameProblem
from pullback.evaluator.sizes import assignments, extents_in
from pullback.expression import Call, Num, Pow, Tensor, sizes_in, walk
from pullback.notation import code

SYMMETRIC: Final = ("symmetric", "spd")
FUNCTION: Final = "program"

TORCH_TESTS: Final = """
def real(given: list[Any]) -> list[Tensor]:
    return [x for x in given if isinstance(x, Tensor) and x.requires_grad]


def test_value_and_gradients_are_those_of_autograd() -> None:
    given = arguments()
    found, wanted = {name}(*given), plain(*given)
    torch.testing.assert_close(found, wanted)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(found, real(given), upstream)
    expected = torch.autograd.grad(wanted, real(given), upstream, allow_unused=True, materialize_grads=True)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_gradients_are_those_of_central_differences() -> None:
    assert torch.autograd.gradcheck({name}, arguments())


def test_it_compiles_as_one_graph() -> None:
    given = arguments()
    compiled = torch.compile({name}, fullgraph=True, backend="aot_eager")
    gradients = torch.autograd.grad(compiled(*given).sum(), real(given))
    for gradient, other in zip(gradients, torch.autograd.grad({name}(*given).sum(), real(given)), strict=True):
        torch.testing.assert_close(gradient, other)
"""
TORCH_SECOND: Final = """

def test_the_second_derivative() -> None:
    assert torch.autograd.gradgradcheck({name}, arguments())
"""
JAX_TESTS: Final = '''
def of_real(function: Callable[..., Array], given: list[Any]) -> tuple[Callable[..., Array], list[Array]]:
    """The function of its real arguments, and these."""
    places = [k for k, x in enumerate(given) if isinstance(x, Array) and jnp.issubdtype(x.dtype, jnp.floating)]

    def call(*real: Array) -> Array:
        every = dict(zip(places, real, strict=True))
        return function(*[every.get(k, x) for k, x in enumerate(given)])

    return call, [given[k] for k in places]


def test_value_and_gradients_are_those_of_jax() -> None:
    given = arguments()
    (found, pull), (wanted, expected) = (jax.vjp(f, *x) for f, x in (of_real(f, given) for f in ({name}, plain)))
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    upstream = jnp.arange(1.0, wanted.size + 1).reshape(wanted.shape)
    for gradient, other in zip(pull(upstream), expected(upstream), strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-9, atol=1e-11)


def test_jit_changes_nothing() -> None:
    function, real = of_real({name}, arguments())

    def loss(*real: Array) -> Array:
        return (function(*real) ** 2).sum()

    places = tuple(range(len(real)))
    gradients = jax.jit(jax.grad(loss, argnums=places))(*real)
    for gradient, other in zip(gradients, jax.grad(loss, argnums=places)(*real), strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-9, atol=1e-11)
'''
JAX_SECOND: Final = """

def test_both_derivatives() -> None:
    function, real = of_real({name}, arguments())
    check_grads(function, real, order=2, modes=["rev"])
"""
TESTS: Final = {TORCH.name: (TORCH_TESTS, TORCH_SECOND), JAX.name: (JAX_TESTS, JAX_SECOND)}
HEADERS: Final = {
    TORCH.name: ["from typing import Any", "", "import torch", "from torch import Tensor"],
    JAX.name: [
        "from collections.abc import Callable",
        "from typing import Any",
        "",
        "import jax",
        "import jax.numpy as jnp",
        "import numpy as np",
        "from jax import Array",
        "from jax.test_util import check_grads",
    ],
}


def source_of_tests(derived: Derived, target: str, name: str | None = None, module: str | None = None) -> str:
    """Tests of the module that is emitted for the target under that name.

    `module` is where they import it from (default: the function's name). `NameProblem` for NumPy, where there is
    nothing to differentiate the forward pass automatically.
    """
    chosen = target_named(target)
    if chosen.name not in TESTS:
        raise NameProblem(
            f"no test file is written for {target}", hint="the targets with one are: torch, jax"
        )
    if name is not None:
        demand_name(name, derived)
    function = name or FUNCTION
    pair = passes(derived)
    real = next(tensor.name for tensor in pair.derived.program.inputs if not tensor.is_integer)
    inputs = pair.derived.program.inputs
    forward = part(pair.derived, pair.forward, inputs, chosen, like=real, names={})
    hidden = list(forward.hidden)
    body = [
        *_plain(pair, forward.lines, forward.speller, hidden, chosen),
        "",
        "",
        *_arguments(pair, hidden, chosen),
    ]
    helpers = forward.speller.called()
    uses_math = any("math." in line for line in body)
    header = [*(["import math"] if uses_math else []), *HEADERS[chosen.name], ""]
    header.append(f"from {module or function} import {', '.join(sorted({function, *helpers}))}")
    first, second = TESTS[chosen.name]
    symmetric = any(not tensor.facts.isdisjoint(SYMMETRIC) for tensor in inputs)
    tests = (first + ("" if symmetric else second)).replace("{name}", function)
    extra = ["", 'jax.config.update("jax_enable_x64", True)'] if chosen is JAX else []
    return "\n".join(
        [f'"""Tests of {function}."""', "", *header, *extra, "", "", *body, "", tests.lstrip("\n")]
    )


def _plain(
    pair: Passes, lines: Sequence[str], speller: Speller, hidden: Sequence[str], target: Target
) -> list[str]:
    parameters = arguments(slots_of(pair.derived, speller), hidden, target)
    return [
        *head("plain", parameters, [target.real]).split("\n"),
        '    """The forward pass alone."""',
        *indented([*lines, f"return {speller.name(pair.output.name)}"], 1),
    ]


def _arguments(pair: Passes, hidden: Sequence[str], target: Target) -> list[str]:
    """A function that draws arguments at small, distinct sizes."""
    program = pair.derived.program
    definitions = [*program.definitions, *pair.derived.backward]
    extents = extents_in(definitions, program.inputs, [])
    sizes = next(iter(assignments(extents)), None)
    if sizes is None:
        raise DomainProblem("no small sizes fit this program, so no test arguments can be drawn")
    inside = _inside(pair)
    speller = target.speller("", kinds(pair.derived))
    lines = []
    read = {
        s for t in program.inputs for e in (*t.shape, *([t.values] if t.values else [])) for s in sizes_in(e)
    }
    shown = {name: value for name, value in sizes.items() if name in read or name in hidden}
    if shown:
        lines.append(f"{', '.join(shown)} = {', '.join(str(v) for v in shown.values())}")
    for k, tensor in enumerate(program.inputs):
        drawn = _drawn_torch(tensor, inside) if target is TORCH else _drawn_jax(tensor, inside, k)
        lines.append(f"{speller.name(tensor.name)} = {drawn}")
        if "spd" in tensor.facts or "symmetric" in tensor.facts:
            lines.append(_symmetric(speller.name(tensor.name), tensor, target))
    if target is TORCH:
        lines.insert(0, "torch.manual_seed(0)")
        trained = [speller.name(t.name) for t in program.inputs if t in pair.derived.wrt]
        lines += [f"{name}.requires_grad_()" for name in trained]
    names = [*(speller.name(t.name) for t in program.inputs), *hidden]
    return ["def arguments() -> list[Any]:", *indented([*lines, f"return [{', '.join(names)}]"], 1)]


def _inside(pair: Passes) -> bool:
    """Whether the program has functions that want arguments between 0 and 1, such as a logarithm."""
    for definition in pair.derived.program.definitions:
        for node in walk(definition.body):
            match node:
                case Call("log" | "log1p", _):
                    return True
                case Pow(_, Num(n)) if n.denominator != 1 or n < 0:
                    return True
                case Pow(_, exponent) if not isinstance(exponent, Num):
                    return True
    return False


def _shape(tensor: Tensor) -> str:
    return ", ".join(code(extent) for extent in tensor.shape) + ("," if tensor.rank == 1 else "")


def _drawn_torch(tensor: Tensor, inside: bool) -> str:
    shape = f"({_shape(tensor)})"
    if tensor.values is not None:
        return f"torch.randint({code(tensor.values)}, {shape})"
    if inside or not tensor.facts.isdisjoint(("positive", "nonnegative", "nonzero")):
        return f"0.1 + 0.8 * torch.rand({shape}, dtype=torch.float64)"
    return f"torch.randn({shape}, dtype=torch.float64)"


def _drawn_jax(tensor: Tensor, inside: bool, seed: int) -> str:
    key, shape = f"jax.random.key({seed})", f"({_shape(tensor)})"
    if tensor.values is not None:
        return f"jax.random.randint({key}, {shape}, 0, {code(tensor.values)})"
    if inside or not tensor.facts.isdisjoint(("positive", "nonnegative", "nonzero")):
        return f"jax.random.uniform({key}, {shape}, minval=0.1, maxval=0.9)"
    return f"jax.random.normal({key}, {shape})"


def _symmetric(name: str, tensor: Tensor, target: Target) -> str:
    turned = f"{name}.mT" if target is TORCH else f"{name}.T"
    if "spd" not in tensor.facts:
        return f"{name} = {name} + {turned}"
    size = code(tensor.shape[0])
    eye = f"torch.eye({size}, dtype=torch.float64)" if target is TORCH else f"jnp.eye({size})"
    return f"{name} = {name} @ {turned} + {eye}"
