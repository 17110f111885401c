"""Attention."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

ATTENTION: Final = (
    Layer(
        name="attention",
        title="Scaled dot-product attention",
        group="attention",
        program=("S = Q @ K.T / sqrt(D)\nP = softmax(S, axis=1)\nO = P @ V"),
        shapes={"Q": "N D", "K": "M D", "V": "M E"},
        why=(
            "Three matrix products and a softmax, taken backwards: dV from P, dP from V, dS by the "
            "softmax's rule, then dQ and dK. P and dP have N M entries and are what makes long sequences "
            "expensive: FlashAttention saves one number a row (the log-sum-exp), forms P anew block by "
            "block, and replaces sum(dP * P) by sum(dO * O), which is equal. The scale 1 / √D belongs to "
            "dQ and dK both; it is easily applied twice or not at all."
        ),
        source="Vaswani et al. 2017; FlashAttention-2 (Dao 2023), section 2.2",
    ),
    Layer(
        name="causal_attention",
        title="Causal attention",
        group="attention",
        program=("S = Q @ K.T / sqrt(D) - triu(1e30 * ones([N, N]), 1)\nP = softmax(S, axis=1)\nO = P @ V"),
        shapes={"Q": "N D", "K": "N D", "V": "N E"},
        why=(
            "The mask is a constant added to the scores, so it has no gradient and the formulas are those "
            "of plain attention. Masked probabilities are exactly zero, and P in dS keeps their gradient "
            "zero: no second masking is needed. Query 1 sees key 1 alone, so its P is 1 and its dS is 0. "
            "With -infinity in place of -1e30, a row that is masked throughout turns into NaN."
        ),
        source="Vaswani et al. 2017; FlashAttention-2 (Dao 2023), section 3.1",
    ),
    Layer(
        name="attention_dropout",
        title="Attention with dropout",
        group="attention",
        program=("S = Q @ K.T / sqrt(D)\nP = softmax(S, axis=1)\nO = (P * M) @ V"),
        shapes={"Q": "N D", "K": "T D", "V": "T E", "M": "N T"},
        wrt=(
            "Q",
            "K",
            "V",
        ),
        why=(
            "M is the dropout mask with its scale, the same in both passes. The softmax's rule uses P as "
            "it was before dropout, and dP as it is after the mask: exchanging the two is the usual "
            "mistake. sum(dO * O) still equals sum(dP * P)."
        ),
        source="FlashAttention (Dao et al. 2022), appendix B",
    ),
    Layer(
        name="multi_head_attention",
        title="Multi-head self-attention",
        group="attention",
        program=(
            'Q = einsum("nd,dhe->hne", X, Wq)\n'
            'K = einsum("nd,dhe->hne", X, Wk)\n'
            'V = einsum("nd,dhe->hne", X, Wv)\n'
            'S = einsum("hie,hje->hij", Q, K) / sqrt(E)\n'
            "P = softmax(S, axis=2)\n"
            'O = einsum("hij,hje->hie", P, V)\n'
            'Y = einsum("hne,hed->nd", O, Wo)'
        ),
        shapes={"X": "N D", "Wq": "D H E", "Wk": "D H E", "Wv": "D H E", "Wo": "H E D"},
        why=(
            "H attentions side by side. X reaches the output along three paths, as query, key and value, "
            "and dX adds all three; forgetting one gives a model that still learns, but worse. Save X, Q, "
            "K, V, O and a number a row for P. Code flattens heads and width to one axis: the order of "
            "the two must be the same in the forward pass, the backward pass and the checkpoint."
        ),
        source="Vaswani et al. 2017, section 3.2.2",
    ),
    Layer(
        name="grouped_query_attention",
        title="Grouped-query attention",
        group="attention",
        program=(
            'S = einsum("grie,gje->grij", Q, K) / sqrt(E)\n'
            "P = softmax(S, axis=3)\n"
            'O = einsum("grij,gje->grie", P, V)'
        ),
        shapes={"Q": "G R N E", "K": "G N E", "V": "G N E"},
        why=(
            "R query heads share one key and value head. Sharing forward is summing backward: dK and dV "
            "add over the R heads of the group. Kernels that run one head at a time must add into the "
            "same place, and do it in float32. Expanding K to all heads first gives the same numbers with "
            "R times the memory."
        ),
        source="Ainslie et al. 2023, GQA",
    ),
    Layer(
        name="linear_attention",
        title="Linear attention",
        group="attention",
        program=("M = K.T @ V\nO = Q @ M"),
        shapes={"Q": "N D", "K": "T D", "V": "T E"},
        why=(
            "Without a softmax the products can be grouped from the right: the state M has D E numbers, "
            "whatever the length. The backward pass has the same saving: dM = Q.T @ dO, and all three "
            "gradients go through it. Save M or form it anew."
        ),
        source="Katharopoulos et al. 2020, Transformers are RNNs",
    ),
    Layer(
        name="additive_attention",
        title="Additive attention",
        group="attention",
        program=("H = tanh(Q + K @ W)\np = softmax(H @ v, axis=0)\no = p @ K"),
        shapes={"Q": "D", "K": "M E", "W": "E D", "v": "D"},
        why=(
            "The score of each key is a small network instead of a dot product. K is read twice, by the "
            "score and by the mean, so its gradient has two shares. Save H: tanh needs its output only. H "
            "has M D entries for every query, which is why dot products won."
        ),
        source="Bahdanau, Cho and Bengio 2015",
    ),
    Layer(
        name="relative_position",
        title="Relative position scores",
        group="attention",
        program=("A[i,j] = Q[i,d] * K[j,d]\nB[i,j] = Q[i,d] * R[i-j+N-1,d]\nS[i,j] = A[i,j] + B[i,j]"),
        shapes={"Q": "N D", "K": "N D", "R": "2*N-1 D"},
        ranges={"j": "N"},
        why=(
            "One row of R for every distance i - j, so its gradient adds along a diagonal of dS. The "
            "longest distances have one entry to learn from and the shortest N. The shift by N - 1 makes "
            "the index start at 0; being off by one there keeps every shape right."
        ),
        source="Shaw, Uszkoreit and Vaswani 2018",
    ),
    Layer(
        name="rope",
        title="Rotary position embedding (RoPE)",
        group="attention",
        program=("Y1 = X1 * c - X2 * s\nY2 = X2 * c + X1 * s\nY = concatenate([Y1, Y2], axis=1)"),
        shapes={"X1": "N D", "X2": "N D", "c": "N D", "s": "N D"},
        wrt=(
            "X1",
            "X2",
        ),
        why=(
            "Each pair (x1, x2) is turned by an angle that depends on the position; c and s are its "
            "cosine and sine. The inverse of a rotation is its transpose, so the gradient is turned back "
            "by the same angle: the same code with the sign of s changed. Nothing but the position need "
            "be saved. Some models pair the two halves, as here, others neighbours: mixing them up "
            "trains, and then fails on loaded weights."
        ),
        source="Su et al. 2021, RoFormer",
    ),
)
