"""Activations."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

ACTIVATIONS: Final = (
    Layer(
        name="relu",
        title="ReLU",
        group="activations",
        program="Y = relu(X)",
        shapes={"X": "N D"},
        why=(
            "The gradient passes where X was positive and stops elsewhere. Save one bit an entry, or use "
            "Y > 0, which is the same mask: the operation can then run in place. At exactly 0 the "
            "convention is 0, as in PyTorch; zeros are common after padding or pooling, so the convention "
            "is not academic."
        ),
        source="Nair and Hinton 2010; CS231n assignment 2, relu_backward",
    ),
    Layer(
        name="leaky_relu",
        title="Leaky ReLU",
        group="activations",
        program="Y = where(X > 0, X, a * X)",
        shapes={"X": "N D", "a": ""},
        wrt=("X",),
        why=(
            "Below zero the slope is a instead of 0, so no unit dies. The mask must be of X: Y > 0 is the "
            "same only while a is positive. At exactly 0 the slope is a."
        ),
        source="Maas, Hannun and Ng 2013",
    ),
    Layer(
        name="prelu",
        title="Parametric ReLU",
        group="activations",
        program="Y = where(X > 0, X, a * X)",
        shapes={"X": "N D", "a": "D"},
        why=(
            "The slope below zero is learnt, one for each feature. Its gradient adds X where X was "
            "negative, over the batch. Weight decay on a pulls it to plain ReLU and is usually left off. "
            "Save X: the sign alone is not enough."
        ),
        source="He et al. 2015, Delving deep into rectifiers",
    ),
    Layer(
        name="elu",
        title="ELU",
        group="activations",
        program="Y = where(X > 0, X, exp(X) - 1)",
        shapes={"X": "N D"},
        why=(
            "Smooth at zero: the slope is exp(X) below and 1 above. Since exp(X) = Y + 1 there, Y alone "
            "need be saved. Code must not evaluate exp at large positive X, not even in a branch that is "
            "thrown away: infinity times zero is NaN."
        ),
        source="Clevert, Unterthiner and Hochreiter 2016",
    ),
    Layer(
        name="sigmoid",
        title="Sigmoid",
        group="activations",
        program="Y = sigmoid(X)",
        shapes={"X": "N D"},
        why=(
            "The derivative needs only the output: Y (1 - Y), at most a quarter. Stacked sigmoids "
            "multiply such factors, which is the vanishing gradient. Where Y rounds to 1 the derivative "
            "rounds to 0: take a loss on logits instead (`pullback show bce_with_logits`)."
        ),
        source="Rumelhart, Hinton and Williams 1986",
    ),
    Layer(
        name="tanh",
        title="Hyperbolic tangent",
        group="activations",
        program="Y = tanh(X)",
        shapes={"X": "N D"},
        why=(
            "The derivative needs only the output: 1 - Y². It is 1 at zero and dies on both sides. In "
            "float32 Y is exactly 1 beyond about 9, and then nothing passes. Save Y, not X."
        ),
        source="LeCun et al. 1998, Efficient backprop",
    ),
    Layer(
        name="softplus",
        title="Softplus",
        group="activations",
        program="Y = softplus(X)",
        shapes={"X": "N D"},
        why=(
            "A smooth ReLU, whose derivative is the sigmoid. Written as log(1 + exp(x)) it overflows for "
            "large x; the derivative as exp(x) / (1 + exp(x)) then is infinity over infinity. Both are "
            "safe in the form used here."
        ),
        source="Dugas et al. 2001",
    ),
    Layer(
        name="silu",
        title="SiLU (swish)",
        group="activations",
        program=("S = sigmoid(X)\nY = X * S"),
        shapes={"X": "N D"},
        why=(
            "Product rule: S from the factor X, and X S (1 - S) = Y (1 - S) from the gate. The slope is "
            "negative below about -1.28 and reaches 1.1 above, so it is not a mask. Save X alone and form "
            "S anew: one sigmoid is cheaper than the memory."
        ),
        source="Elfwing et al. 2018; Ramachandran et al. 2017",
    ),
    Layer(
        name="gelu",
        title="GELU, exact",
        group="activations",
        program="Y = gelu(X)",
        shapes={"X": "N D"},
        why=(
            "x Φ(x), with Φ the normal distribution function: the derivative is Φ(x) + x φ(x), with φ its "
            "density. Save X. The exact form and the tanh form differ by up to about 5e-4 in value; "
            "loading weights trained with one into a model with the other changes results, and mixing the "
            "forward pass of one with the backward pass of the other gives a wrong gradient that training "
            "hides."
        ),
        source="Hendrycks and Gimpel 2016",
    ),
    Layer(
        name="gelu_tanh",
        title="GELU, tanh form",
        group="activations",
        program=("u = sqrt(2 / pi) * (X + 0.044715 * X ** 3)\nY = 0.5 * X * (1 + tanh(u))"),
        shapes={"X": "N D"},
        why=(
            "The approximation of GPT-2. Its derivative is that of the approximation, not of the exact "
            "GELU: product rule, then the chain rule through u. Save X and form tanh(u) anew. The cubic "
            "term overflows in float16 for inputs near 40 and above."
        ),
        source="Hendrycks and Gimpel 2016; llm.c, gelu_backward",
    ),
    Layer(
        name="glu",
        title="Gated linear unit (GLU)",
        group="activations",
        program=("A = X @ W\nB = X @ V\nS = sigmoid(B)\nY = A * S"),
        shapes={"X": "N D", "W": "D M", "V": "D M"},
        why=(
            "The value path has the gradient dY S, the gate path dY A S (1 - S) = dY Y (1 - S). The value "
            "path is linear: a gradient that passes an open gate is not shrunk, as it would be by tanh. "
            "Save X, S and one of A and Y."
        ),
        source="Dauphin et al. 2017, Language modeling with gated convolutional networks",
    ),
    Layer(
        name="swiglu",
        title="SwiGLU feed-forward block",
        group="activations",
        program=("A = X @ W\nB = X @ V\nS = sigmoid(A)\nH = A * S * B\nY = H @ U"),
        shapes={"X": "N D", "W": "D F", "V": "D F", "U": "F D"},
        why=(
            "The feed-forward block of Llama. A passes through SiLU and gates B. Both A and B are F wide "
            "and are the largest activations of a block; kernels save these two and form S and H anew. "
            "The product rule gives the slope of SiLU times B for A, and the gate itself for B. W and V "
            "are often one fused matrix: mind which half is the gate."
        ),
        source="Shazeer 2020, GLU variants improve Transformer; Liger-Kernel, swiglu",
    ),
    Layer(
        name="softmax",
        title="Softmax",
        group="activations",
        program="P = softmax(X, axis=1)",
        shapes={"X": "N D"},
        why=(
            "Adding a constant to a row changes nothing, so every row of dX sums to zero: the subtracted "
            "sum does that. Multiplying by the explicit Jacobian diag(p) - p pᵀ gives the same with D "
            "times the work. Save P, not X. A row that is masked throughout gives 0/0: the gradient is "
            "NaN and spreads to every weight."
        ),
        source="Bridle 1990; FlashAttention-2 (Dao 2023), section 2.2",
    ),
    Layer(
        name="log_softmax",
        title="Log-softmax",
        group="activations",
        program="Y = log_softmax(X, axis=1)",
        shapes={"X": "N D"},
        why=(
            "dY minus the probabilities times the row's sum of dY. The probabilities are exp(Y), so "
            "saving Y suffices. Never take log(softmax(x)): where a probability underflows the log is "
            "-infinity and the gradient NaN."
        ),
        source="PyTorch, derivatives.yaml, _log_softmax",
    ),
    Layer(
        name="logsumexp",
        title="Log-sum-exp",
        group="activations",
        program="y = logsumexp(X, axis=1)",
        shapes={"X": "N D"},
        why=(
            "The smooth maximum; its gradient is the softmax, a soft choice of the winner. Subtract the "
            "row's largest entry before the exponential, in both passes. The subtraction itself needs no "
            "gradient: the result does not depend on what is subtracted."
        ),
        source="Blanchard, Higham and Higham 2021",
    ),
)
