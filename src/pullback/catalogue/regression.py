"""Regression losses."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

REGRESSION: Final = (
    Layer(
        name="mean_squared_error",
        title="Mean squared error",
        group="regression losses",
        program=("R = Y - T\nL = mean(R ** 2)"),
        shapes={"Y": "N D", "T": "N D"},
        wrt=("Y",),
        why=(
            "Twice the residual over the number of entries. Which number, N or N D, and whether the 2 is "
            "there, differs between books and libraries: a mismatch is a wrong learning rate and not a "
            "visible error."
        ),
        source="Gauss 1809; PyTorch, torch.nn.MSELoss",
    ),
    Layer(
        name="mean_absolute_error",
        title="Mean absolute error",
        group="regression losses",
        program="L = mean(abs(y - t))",
        shapes={"y": "N", "t": "N"},
        wrt=("y",),
        why=(
            "Only the sign of the residual: one outlier weighs as much as any other point, and the step "
            "does not get smaller near the solution. At a residual of exactly 0 the convention is 0."
        ),
        source="Laplace 1774; PyTorch, torch.nn.L1Loss",
    ),
    Layer(
        name="huber",
        title="Huber loss",
        group="regression losses",
        program=("r = y - t\na = abs(r)\nL = mean(where(a <= k, r ** 2 / 2, k * (a - k / 2)))"),
        shapes={"y": "N", "t": "N", "k": ""},
        assume={"k": "positive"},
        wrt=("y",),
        why=(
            "The residual, clipped to between -k and k. Quadratic near zero and linear far out, and both "
            "the value and the slope meet at k, so the convention there does not matter. PyTorch's smooth "
            "L1 is this divided by k."
        ),
        source="Huber 1964; PyTorch, torch.nn.HuberLoss",
    ),
    Layer(
        name="log_cosh",
        title="Log-cosh loss",
        group="regression losses",
        program=("r = y - t\nL = mean(r + softplus(-2 * r) - log(2))"),
        shapes={"y": "N", "t": "N"},
        wrt=("y",),
        why=(
            "log cosh r, written so that it does not overflow. Its derivative is tanh(r), here in the "
            "equal form 1 - 2 sigmoid(-2 r): the residual when small, its sign when large. Twice "
            "differentiable everywhere, unlike Huber's."
        ),
        source="Green 1990",
    ),
    Layer(
        name="quantile",
        title="Quantile (pinball) loss",
        group="regression losses",
        program=("r = t - y\nL = mean(where(r > 0, q * r, (q - 1) * r))"),
        shapes={"y": "N", "t": "N", "q": ""},
        wrt=("y",),
        why=(
            "Too low a prediction is pushed up with weight q, too high a one down with weight 1 - q; the "
            "two balance where a share q of the targets lies below. The gradient ignores how far off the "
            "prediction is. Exchanging q and 1 - q is the usual slip."
        ),
        source="Koenker and Bassett 1978",
    ),
    Layer(
        name="gaussian_nll",
        title="Gaussian likelihood with learnt variance",
        group="regression losses",
        program=("r = y - mu\nL = sum(lv + r ** 2 / exp(lv)) / 2"),
        shapes={"y": "N", "mu": "N", "lv": "N"},
        wrt=(
            "mu",
            "lv",
        ),
        why=(
            "lv is the log of the variance. The mean's gradient is the residual over the variance: points "
            "the model calls noisy are hardly fitted, and a model may call hard points noisy early and "
            "never come back. The log-variance's gradient is zero where r² equals the variance. Predict "
            "the log, so that no variance is negative."
        ),
        source="Nix and Weigend 1994; PyTorch, torch.nn.GaussianNLLLoss",
    ),
    Layer(
        name="poisson_regression",
        title="Poisson regression",
        group="regression losses",
        program=("z = X @ w\nL = sum(exp(z) - y * z)"),
        shapes={"X": "N D", "w": "D", "y": "N"},
        wrt=("w",),
        why=(
            "Prediction minus count, times the inputs: the pattern of every generalised linear model with "
            "its natural link. exp(z) overflows for a badly scaled start; centre the columns of X or "
            "start the intercept at log(mean(y))."
        ),
        source="McCullagh and Nelder 1989",
    ),
)
