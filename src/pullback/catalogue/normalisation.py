"""Normalisation."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

NORMALISATION: Final = (
    Layer(
        name="batch_norm",
        title="Batch normalisation",
        group="normalisation",
        program=(
            "mu = mean(X, axis=0)\n"
            "xc = X - mu\n"
            "rstd = 1 / sqrt(mean(xc ** 2, axis=0) + 1e-5)\n"
            "x_hat = xc * rstd\n"
            "Y = gamma * x_hat + beta"
        ),
        shapes={"X": "N D", "gamma": "D", "beta": "D"},
        why=(
            "The statistics run over the batch, so the gradient of one example depends on all the others. "
            "From the incoming gradient two parts are removed: its mean, and its component along x_hat, "
            "because shifting or stretching a column does not change the output. Save x_hat and rstd. In "
            "evaluation mode mu and rstd are constants and dX is only dY * gamma * rstd: using one "
            "formula for the other is a common bug. At N = 1 the training gradient is zero."
        ),
        source="Ioffe and Szegedy 2015; CS231n assignment 2, batchnorm_backward",
    ),
    Layer(
        name="layer_norm",
        title="Layer normalisation",
        group="normalisation",
        program=(
            "mu = mean(X, axis=1, keepdims=True)\n"
            "xc = X - mu\n"
            "rstd = 1 / sqrt(mean(xc ** 2, axis=1, keepdims=True) + 1e-5)\n"
            "x_hat = xc * rstd\n"
            "Y = gamma * x_hat + beta"
        ),
        shapes={"X": "N D", "gamma": "D", "beta": "D"},
        why=(
            "Each row is normalised by itself. Along a row the gradient loses its mean and its component "
            "along x_hat, then is scaled by rstd: normalising threw these two directions away. The "
            "gradients of gamma and beta sum over rows instead, so a kernel needs two reductions along "
            "different axes. Save mu and rstd, two numbers a row, and form x_hat anew. Wrong versions are "
            "in circulation: without the mean term, or with gamma applied after it."
        ),
        source="Ba, Kiros and Hinton 2016; llm.c, layernorm_backward",
    ),
    Layer(
        name="rms_norm",
        title="RMS normalisation",
        group="normalisation",
        program=(
            "rstd = 1 / sqrt(mean(X ** 2, axis=1, keepdims=True) + 1e-6)\nx_hat = X * rstd\nY = gamma * x_hat"
        ),
        shapes={"X": "N D", "gamma": "D"},
        why=(
            "Layer normalisation without the mean: only the component along x_hat is removed, since "
            "stretching a row changes nothing. Save rstd, one number a row. The epsilon stands inside the "
            "square root; outside it the formula is another one, and the difference is too small for a "
            "loose numerical test. Compute the mean of squares in float32 even where X is bfloat16."
        ),
        source="Zhang and Sennrich 2019, Root mean square layer normalization",
    ),
    Layer(
        name="group_norm",
        title="Group normalisation",
        group="normalisation",
        program=(
            "mu = mean(X, axis=(2, 3), keepdims=True)\n"
            "xc = X - mu\n"
            "rstd = 1 / sqrt(mean(xc ** 2, axis=(2, 3), keepdims=True) + 1e-5)\n"
            "x_hat = xc * rstd\n"
            "Y = gamma * x_hat + beta"
        ),
        shapes={"X": "N G C S", "gamma": "G C 1", "beta": "G C 1"},
        why=(
            "Layer normalisation within each group of C channels, over all S positions; gamma and beta "
            "have one entry a channel. With one group it is layer normalisation of the image, with one "
            "channel a group instance normalisation. The trap is the two kinds of sums: statistics over "
            "channels and positions of a group, gamma's gradient over examples and positions."
        ),
        source="Wu and He 2018, Group normalization",
    ),
    Layer(
        name="l2_normalize",
        title="L2 normalisation",
        group="normalisation",
        program=("n = norm(X, axis=1, keepdims=True)\nY = X / n"),
        shapes={"X": "N D"},
        why=(
            "Only the direction of a row survives, so its gradient is the part of dY at right angles to "
            "Y, divided by the length. A step never shortens a row, and long rows move slowly. Save Y and "
            "n. At a row of zeros there is no derivative: code adds a small constant, and the gradient "
            "near zero is as large as 1 / that constant."
        ),
        source="CLIP (Radford et al. 2021); Wang et al. 2017, NormFace",
    ),
    Layer(
        name="cosine_similarity",
        title="Cosine similarity",
        group="normalisation",
        program=(
            "a = norm(A, axis=1, keepdims=True)\n"
            "b = norm(B, axis=1, keepdims=True)\n"
            "U = A / a\n"
            "V = B / b\n"
            "y = sum(U * V, axis=1, keepdims=True)"
        ),
        shapes={"A": "N D", "B": "N D"},
        why=(
            "The gradient of A points from U towards V, along the sphere: V - U y, with y the cosine "
            "itself, divided by A's length. It vanishes when the two agree, and also when they are "
            "exactly opposite, where nothing pulls them apart. Save U, V and the two lengths."
        ),
        source="PyTorch, torch.nn.functional.cosine_similarity",
    ),
)
