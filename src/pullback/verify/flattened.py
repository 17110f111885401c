"""The check of a derivative that is also written as one matrix over flattened entries."""

from __future__ import annotations

from itertools import count

from pullback.derivation import Derived
from pullback.errors import InternalProblem
from pullback.evaluator import Checker
from pullback.expression import Definition, Tensor, add, mul, substitute, tensors
from pullback.program import inlined
from pullback.reading import read_lines
from pullback.sizes import normal_size
from pullback.verify.results import environment


def is_flattened(derived: Derived, made: Definition, text: str) -> bool:
    """D[i,j,k,l] = K[i*J + j, k*L + l] for the matrix K that `text` says, each pair of axes flattened row by row.

    False where it cannot be decided. Raises `InternalProblem` where it is wrong: it is never shown.
    """
    i, j, k, l = made.indices
    shape = (normal_size(mul(i.extent, j.extent)), normal_size(mul(k.extent, l.extent)))
    known = {**environment(derived), **{d.tensor.name: d.tensor for d in derived.backward}}
    taken = {*known, *derived.program.sizes}
    name = next(c for c in (f"K{n}" for n in count(1)) if c not in taken)
    lines = read_lines(
        f"{name} = {text}", known, sizes=derived.program.sizes, targets={name: Tensor(name, shape)}
    )
    matrix = inlined(lines)
    places = (add(mul(i, j.extent), j), add(mul(k, l.extent), l))
    entry = substitute(matrix.body, dict(zip(matrix.indices, places, strict=True)))
    given = dict.fromkeys([*tensors(made.body), *tensors(entry)])
    outcome = Checker([], list(given)).equal(made.body, entry, made.indices)
    if outcome.status == "different":
        raise InternalProblem(f"a Kronecker product failed its own check: {text}")
    return outcome.status == "equal"
