"""Linear."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

LINEAR: Final = (
    Layer(
        name="linear",
        title="Linear layer",
        group="linear",
        program="Y = X @ W",
        shapes={"X": "N D", "W": "D M"},
        why=(
            "Each gradient is dY multiplied by the other factor, transposed to where it fits. dW sums "
            "over the batch: every row of X adds its own outer product with its row of dY, so a larger "
            "batch gives a larger dW unless the loss divides by N. Save X for dW and W for dX. The usual "
            "slip is a forgotten or misplaced transpose, which passes every shape check when the sizes "
            "happen to be equal."
        ),
        source="CS231n, Backpropagation for a linear layer (Johnson 2017)",
    ),
    Layer(
        name="bias",
        title="Linear layer with bias",
        group="linear",
        program="Y = X @ W + b",
        shapes={"X": "N D", "W": "D M", "b": "M"},
        why=(
            "The bias was copied to every row on the way forward, so on the way back the rows are added "
            "up: a broadcast becomes a sum. Nothing need be saved for db. The usual slip is to leave the "
            "sum out: db then has the shape of dY, and some frameworks add it up silently."
        ),
        source="CS231n assignment 2, affine_backward",
    ),
    Layer(
        name="linear_tokens",
        title="Linear layer on a batch of sequences",
        group="linear",
        program="Y = X @ W.T + b",
        shapes={"X": "B T D", "W": "M D", "b": "M"},
        why=(
            "Batch and time are both rows to the weight, so dW adds over both, and code flattens them to "
            "one matrix product. The weight stands as outputs × inputs, as in PyTorch, which moves the "
            "transpose: dX = dY @ W has none. Padded positions must have dY = 0, else they train the "
            "weight."
        ),
        source="llm.c, matmul_backward (Karpathy 2024)",
    ),
    Layer(
        name="mlp",
        title="Two-layer perceptron",
        group="linear",
        program=("A = X @ W1 + b1\nH = relu(A)\nY = H @ W2 + b2"),
        shapes={"X": "N D", "W1": "D F", "b1": "F", "W2": "F M", "b2": "M"},
        why=(
            "The gradient goes back through W2 and is stopped where A was not positive; what passes is "
            "shared by W1, b1 and X. Save X, H and the mask A > 0 (H > 0 is the same mask, so A itself "
            "may go). A unit whose A is negative for every row gets no gradient and stays dead."
        ),
        source="Rumelhart, Hinton and Williams 1986",
    ),
    Layer(
        name="residual",
        title="Residual block",
        group="linear",
        program=("H = tanh(X @ W1)\nY = X + H @ W2"),
        shapes={"X": "N D", "W1": "D F", "W2": "F D"},
        why=(
            "X reaches the output along two paths, and the shares add up: dX starts with dY itself, "
            "unchanged by any weight. That is why deep stacks of such blocks train. In hand-written code "
            "the share of the skip path is the line that gets forgotten, or overwritten instead of added "
            "to."
        ),
        source="He et al. 2016, Deep residual learning",
    ),
    Layer(
        name="bilinear",
        title="Bilinear layer",
        group="linear",
        program='Y = einsum("nd,mde,ne->nm", X, W, Z)',
        shapes={"X": "N D", "W": "M D E", "Z": "N E"},
        why=(
            "Linear in each of the three operands, so each gradient is the same contraction with dY in "
            "the place of that operand. The gradient of W is a sum of outer products of three vectors, M "
            "D E numbers; contracting in a poor order makes intermediates larger than the result."
        ),
        source="PyTorch, torch.nn.Bilinear",
    ),
    Layer(
        name="lora",
        title="Low-rank adapter (LoRA)",
        group="linear",
        program=("H = X @ A\nY = X @ W + s * H @ B"),
        shapes={"X": "N D", "W": "D M", "A": "D R", "B": "R M", "s": ""},
        wrt=(
            "X",
            "A",
            "B",
        ),
        why=(
            "W is frozen, so its N D M gradient product is never computed; only A and B learn, at rank R. "
            "Save X and H = X @ A, which has R columns. B starts at zero, so at the first step dA is "
            "exactly zero and only B moves. Order the products as printed: dY @ B.T first keeps every "
            "intermediate R wide."
        ),
        source="Hu et al. 2021, LoRA",
    ),
    Layer(
        name="embedding",
        title="Embedding",
        group="linear",
        program="Y = E[t]",
        shapes={"E": "V D"},
        integers={"t": ("N", "V")},
        why=(
            "A look-up is a product with a one-hot matrix, and its gradient adds each row of dY into the "
            "row of E that was read. A token that occurs twice gets the sum of both rows, which an "
            "assignment dE[t] = dY loses: code uses numpy.add.at or index_add. Rows never read get "
            "exactly zero. Save only t."
        ),
        source="CS231n assignment 3, word_embedding_backward",
    ),
    Layer(
        name="mixture_of_experts",
        title="Mixture of experts, dense",
        group="linear",
        program=(
            'G = softmax(X @ R, axis=1)\nE = einsum("nd,kdm->nkm", X, W)\nY = einsum("nk,nkm->nm", G, E)'
        ),
        shapes={"X": "N D", "R": "D K", "W": "K D M"},
        why=(
            "The router learns from how well each expert's output agrees with dY, compared with the mix: "
            "the softmax's gradient subtracts the average. An expert with a gate near zero gets almost no "
            "gradient and falls further behind, which is why balancing losses exist. Top-k routing cuts "
            "the same gradient to the k chosen."
        ),
        source="Jacobs et al. 1991; Shazeer et al. 2017",
    ),
    Layer(
        name="dropout",
        title="Dropout (inverted)",
        group="linear",
        program="Y = X * M / p",
        shapes={"X": "N D", "M": "N D", "p": ""},
        assume={"p": "positive"},
        wrt=("X",),
        why=(
            "The gradient passes where the unit was kept, scaled by the same 1 / p. p is the probability "
            "of keeping a unit (in PyTorch's Dropout, of dropping it). M is the mask of zeros and ones of "
            "the forward pass, and must be the very same one: save it, or the state of the generator. "
            "Drawing a new mask in the backward pass is a silent bug. At test time there is no mask and "
            "no scale."
        ),
        source="Srivastava et al. 2014; CS231n assignment 2",
    ),
    Layer(
        name="cumsum",
        title="Cumulative sum",
        group="linear",
        program="Y = cumsum(X, axis=1)",
        shapes={"X": "N D"},
        why=(
            "X[n,j] is part of every later sum, so its gradient is the sum of dY from j to the end: a "
            "cumulative sum from the other side. The printed product with a triangle of ones says just "
            "that; code runs flip, cumsum, flip and never forms the triangle. Nothing is saved."
        ),
        source="PyTorch, derivatives.yaml, cumsum",
    ),
    Layer(
        name="pixel_shuffle",
        title="Pixel shuffle",
        group="linear",
        program="Y = reshape(transpose(X, [0, 3, 1, 4, 2]), [C, 2*H, 2*W])",
        shapes={"X": "C 2 2 H W"},
        why=(
            "A permutation of the entries, so the gradient is the inverse permutation of dY and no "
            "arithmetic at all. Row 2 q + l of the large image comes from row q of sub-image l. Swapping "
            "the two sub-pixel axes gives an image that looks nearly right and a gradient of the right "
            "shape."
        ),
        source="Shi et al. 2016, Efficient sub-pixel CNN",
    ),
    Layer(
        name="weight_norm",
        title="Weight normalisation",
        group="linear",
        program=("n = norm(V, axis=0)\nW = g * V / n\nY = X @ W"),
        shapes={"X": "N D", "V": "D M", "g": "M"},
        why=(
            "Direction V and length g are learnt apart. The gradient of V is dW with its component along "
            "V removed, scaled by g / n: a step along dV never shortens V, so its norm only grows during "
            "training and the effective step gets smaller. Save n and W. Undefined for a column of zeros."
        ),
        source="Salimans and Kingma 2016, Weight normalization",
    ),
)
