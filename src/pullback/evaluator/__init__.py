"""The meaning of definitions, over exchangeable domains: the trusted core.

`evaluate`, `gradients`, `jacobian` and `directional` work in every domain; `Checker`, `check_equation`,
`check_gradient` and `check_gradients` decide whether two sides are equal. Nothing here knows the calculus.
"""

from pullback.evaluator.check import Checker, check_equation, check_gradient, check_gradients
from pullback.evaluator.decision import Outcome
from pullback.evaluator.derivatives import (
    directional,
    evaluate,
    gradients,
    jacobian,
    numeric_gradients,
)
from pullback.evaluator.domain import Unrepresentable
from pullback.evaluator.draw import random_inputs, small_integers
from pullback.evaluator.exact import HighPrecision, Rational
from pullback.evaluator.floats import Float64
from pullback.evaluator.interpret import Interpreter
from pullback.evaluator.primefield import PrimeField

__all__ = [
    "Checker",
    "Float64",
    "HighPrecision",
    "Interpreter",
    "Outcome",
    "PrimeField",
    "Rational",
    "Unrepresentable",
    "check_equation",
    "check_gradient",
    "check_gradients",
    "directional",
    "evaluate",
    "gradients",
    "jacobian",
    "numeric_gradients",
    "random_inputs",
    "small_integers",
]
