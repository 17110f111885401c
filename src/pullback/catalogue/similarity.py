"""Contrastive and preference losses."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

SIMILARITY: Final = (
    Layer(
        name="triplet",
        title="Triplet loss",
        group="contrastive and preference losses",
        program=(
            "u = A - P\nv = A - M\nd = sum(u ** 2, axis=1) - sum(v ** 2, axis=1) + k\nL = mean(relu(d))"
        ),
        shapes={"A": "N D", "P": "N D", "M": "N D", "k": ""},
        wrt=(
            "A",
            "P",
            "M",
        ),
        why=(
            "P is the positive, M the negative, k the margin. The anchor's gradient is 2 (u - v) = 2 (M - "
            "P): it does not depend on the anchor. The three gradients of a triplet sum to zero. Once d "
            "is negative the triplet is silent, so training lives on mining hard ones."
        ),
        source="Schroff, Kalenichenko and Philbin 2015, FaceNet",
    ),
    Layer(
        name="contrastive",
        title="Contrastive loss of pairs",
        group="contrastive and preference losses",
        program=(
            "D = A - B\nd = norm(D, axis=1)\nh = relu(k - d)\nL = mean(y * d ** 2 + (1 - y) * h ** 2) / 2"
        ),
        shapes={"A": "N F", "B": "N F", "y": "N", "k": ""},
        wrt=(
            "A",
            "B",
        ),
        why=(
            "Pairs with y = 1 attract like a spring; pairs with y = 0 repel while closer than the margin "
            "k; in the paper y is the other way round. The repelling force is h D / d, and D / d has no "
            "value where the two points coincide: NaN in naive code, exactly when both inputs are the "
            "same image. For y = 1 write d² without the root."
        ),
        source="Hadsell, Chopra and LeCun 2006",
    ),
    Layer(
        name="info_nce",
        title="InfoNCE",
        group="contrastive and preference losses",
        program=("S = Q @ K.T / tau\nP = softmax(S, axis=1)\nL = -mean(diag(log_softmax(S, axis=1)))"),
        shapes={"Q": "N D", "K": "N D", "tau": ""},
        assume={"tau": "positive"},
        why=(
            "Cross-entropy where the right class of row n is n: each query is pulled to its key and "
            "pushed from the others in proportion to their probability, so the hardest negatives "
            "dominate. The gradient has 1 / tau in front: a small temperature means large, few-sided "
            "gradients. Across machines, keys gathered without their gradient give only dQ, half of the "
            "training signal."
        ),
        source="van den Oord, Li and Vinyals 2018; He et al. 2020, MoCo",
    ),
    Layer(
        name="clip",
        title="CLIP",
        group="contrastive and preference losses",
        program=(
            "S = tau * A @ B.T\n"
            "L = -(trace(log_softmax(S, axis=1)) + trace(log_softmax(S, axis=0))) / (2 * N)"
        ),
        shapes={"A": "N D", "B": "N D", "tau": ""},
        assume={"tau": "positive"},
        why=(
            "InfoNCE in both directions, images to texts and texts to images; dS is the mean of the two "
            "softmaxes minus the identity. tau is the inverse temperature and is learnt: its gradient is "
            "the mean score of the pairs against the softmaxes' choice, and grows without limit if not "
            "clipped. All N² scores are needed on the way back: form them again in blocks."
        ),
        source="Radford et al. 2021, CLIP",
    ),
    Layer(
        name="ranknet",
        title="RankNet",
        group="contrastive and preference losses",
        program=("D = reshape(s, [1, N]) - reshape(s, [N, 1])\nL = sum(triu(softplus(D), 1))"),
        shapes={"s": "N"},
        why=(
            "The items are sorted by relevance, best first; each pair in the wrong order pushes its two "
            "scores apart with the same force, so the gradient sums to zero. For each item the pushes add "
            "to one number, its lambda, which is how LambdaRank goes on."
        ),
        source="Burges et al. 2005",
    ),
    Layer(
        name="dpo",
        title="Direct preference optimisation (DPO)",
        group="contrastive and preference losses",
        program=("m = beta * ((pw - rw) - (pl - rl))\nL = mean(softplus(-m))"),
        shapes={"pw": "N", "pl": "N", "rw": "N", "rl": "N", "beta": ""},
        wrt=(
            "pw",
            "pl",
        ),
        why=(
            "pw and pl are the policy's log-probabilities of the chosen and the rejected answer, rw and "
            "rl those of the frozen reference. The two gradients are equal and opposite, weighted by "
            "sigmoid(-m): a pair that is ranked right already hardly counts. Only the difference is "
            "trained, so both likelihoods may fall together. The log-probabilities are sums over tokens, "
            "not means."
        ),
        source="Rafailov et al. 2023",
    ),
    Layer(
        name="ppo_clip",
        title="PPO clip",
        group="contrastive and preference losses",
        program=("r = exp(lp - lo)\ng = where(A > 0, 1 + eps, 1 - eps) * A\nL = -mean(minimum(r * A, g))"),
        shapes={"lp": "N", "lo": "N", "A": "N", "eps": ""},
        wrt=("lp",),
        why=(
            "lp and lo are the log-probabilities under the new and the old policy, A the advantage. g is "
            "the clipped side: for A > 0 the larger bound, for A < 0 the smaller one; so min(r A, g) "
            "equals the paper's min(r A, clip(r) A). Where the ratio has gone too far in the favoured "
            "direction the gradient is exactly zero; it is never clipped in the other direction. At the "
            "first step r = 1 and the gradient is that of the policy gradient."
        ),
        source="Schulman et al. 2017; Achiam 2018, Spinning Up",
    ),
)
