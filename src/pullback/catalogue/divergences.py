"""Divergences."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

DIVERGENCES: Final = (
    Layer(
        name="kl_divergence",
        title="KL divergence to a target",
        group="divergences",
        program=("Q = softmax(Z, axis=1)\nL = sum(P * (log(P) - log_softmax(Z, axis=1))) / N"),
        shapes={"Z": "N C", "P": "N C"},
        assume={"P": "positive"},
        wrt=("Z",),
        why=(
            "Where the rows of P sum to 1, this is Q - P over N, the same as cross-entropy: the entropy "
            "of the target is a constant. The printed factor sum(P) is that 1; it matters when a "
            "truncated target, such as the top k of a teacher, does not sum to 1. The argument order of "
            "libraries differs."
        ),
        source="Kullback and Leibler 1951; PyTorch, torch.nn.KLDivLoss",
    ),
    Layer(
        name="reverse_kl",
        title="Reverse KL divergence",
        group="divergences",
        program=(
            "P = softmax(Z, axis=1)\n"
            "d = log_softmax(Z, axis=1) - lq\n"
            "kl = sum(P * d, axis=1, keepdims=True)\n"
            "L = sum(kl) / N"
        ),
        shapes={"Z": "N C", "lq": "N C"},
        wrt=("Z",),
        why=(
            "KL from the model to a reference with log-probabilities lq. The gradient is P times how far "
            "each log-ratio is above its mean, kl: where the model has no mass it gets no gradient, which "
            "is why reverse KL ignores modes it has not found. Estimating it from samples needs more than "
            "differentiating the log-ratio of the samples: that has the mean zero."
        ),
        source="Liger-Kernel, kl_div; the penalty of RLHF (Ziegler et al. 2019)",
    ),
    Layer(
        name="jensen_shannon",
        title="Jensen–Shannon divergence",
        group="divergences",
        program=(
            "Q = exp(X)\nP = exp(Y)\nM = (P + Q) / 2\nL = sum(P * Y + Q * X - 2 * M * log(M)) / (2 * N)"
        ),
        shapes={"X": "N C", "Y": "N C"},
        wrt=("X",),
        why=(
            "X and Y are log-probabilities and M the mean of the two distributions. The share that goes "
            "through M cancels the one from the product rule, and only Q (X - log M) is left. It is "
            "bounded by log 2, so its gradient vanishes when the two distributions hardly overlap. Form "
            "log M by log-sum-exp of X and Y where both may underflow."
        ),
        source="Lin 1991; Liger-Kernel, jsd",
    ),
    Layer(
        name="distillation",
        title="Knowledge distillation",
        group="divergences",
        program=(
            "Q = softmax(U / tau, axis=1)\n"
            "P = softmax(Z / tau, axis=1)\n"
            "L = -tau ** 2 * sum(Q * log_softmax(Z / tau, axis=1)) / N"
        ),
        shapes={"Z": "N C", "U": "N C", "tau": ""},
        assume={"tau": "positive"},
        wrt=("Z",),
        why=(
            "Student minus teacher, both softened by the temperature. The gradient of each softened logit "
            "has a 1 / tau, and the probabilities differ by another 1 / tau: tau² in the loss keeps its "
            "size when the temperature changes. Forgetting it makes a hot teacher nearly silent."
        ),
        source="Hinton, Vinyals and Dean 2015",
    ),
    Layer(
        name="vae_kl",
        title="KL term of the VAE",
        group="divergences",
        program="L = -sum(1 + lv - mu ** 2 - exp(lv)) / (2 * N)",
        shapes={"mu": "N D", "lv": "N D"},
        why=(
            "Pulls every code towards the standard normal distribution: the mean like a spring, the log- "
            "variance towards 0 with a force that is bounded below by -1/2 and unbounded above. Where it "
            "wins over the reconstruction the code carries nothing (posterior collapse). Sum over D and "
            "mean over N, as printed: a mean over both weakens it D times."
        ),
        source="Kingma and Welling 2014, appendix B",
    ),
    Layer(
        name="reparametrisation",
        title="Reparametrised Gaussian",
        group="divergences",
        program=("s = exp(lv / 2)\nz = mu + s * e"),
        shapes={"mu": "N D", "lv": "N D", "e": "N D"},
        wrt=(
            "mu",
            "lv",
        ),
        why=(
            "The noise e is drawn outside and is data here, so the sample is a smooth function of its "
            "parameters. dlv uses the very e that was drawn: save it, or z and mu. The half comes from lv "
            "being the log of the variance and not of the deviation."
        ),
        source="Kingma and Welling 2014",
    ),
)
