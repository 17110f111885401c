"""Classification losses."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

LOSSES: Final = (
    Layer(
        name="softmax_cross_entropy",
        title="Softmax cross-entropy",
        group="classification losses",
        program=("T = onehot(t, C)\nP = softmax(Z, axis=1)\nL = -sum(T * log_softmax(Z, axis=1)) / N"),
        shapes={"Z": "N C"},
        integers={"t": ("N", "C")},
        why=(
            "Probabilities minus targets, over N: the log of the loss cancels the softmax's Jacobian, and "
            "nothing is left to overflow. Each row sums to zero. Save P. Differentiating softmax and log "
            "apart gives P (…)/P, which is 0/0 where a probability underflows. The 1 / N must match the "
            "forward pass: with accumulated micro-batches of unequal size, a mean of means is another "
            "loss."
        ),
        source="CS231n assignment 1, softmax_loss; Bishop 2006, section 4.3",
    ),
    Layer(
        name="weighted_cross_entropy",
        title="Cross-entropy with class weights",
        group="classification losses",
        program=(
            "T = onehot(t, C)\n"
            "P = softmax(Z, axis=1)\n"
            "c = T @ w\n"
            "L = -sum(c * sum(T * log_softmax(Z, axis=1), axis=1)) / sum(c)"
        ),
        shapes={"Z": "N C", "w": "C"},
        integers={"t": ("N", "C")},
        assume={"w": "positive"},
        wrt=("Z",),
        why=(
            "Each example's gradient is scaled by the weight of its class and divided by the sum of the "
            "weights in the batch, not by N. That divisor depends on the labels that happen to be in the "
            "batch: on several machines it must be added up over all of them before dividing."
        ),
        source="PyTorch, torch.nn.CrossEntropyLoss with weight",
    ),
    Layer(
        name="masked_cross_entropy",
        title="Cross-entropy with an ignore mask",
        group="classification losses",
        program=(
            "T = onehot(t, C)\n"
            "P = softmax(Z, axis=1)\n"
            "L = -sum(m * sum(T * log_softmax(Z, axis=1), axis=1)) / sum(m)"
        ),
        shapes={"Z": "N C", "m": "N"},
        integers={"t": ("N", "C")},
        assume={"m": "nonnegative"},
        wrt=("Z",),
        why=(
            "m is 1 for tokens that count and 0 for padding. Ignored rows get a gradient of exactly zero, "
            "and the divisor is the number of tokens that count. A batch with none divides 0 by 0; skip "
            "it. Averaging over all N instead gives short sequences too little weight."
        ),
        source="PyTorch, torch.nn.CrossEntropyLoss with ignore_index",
    ),
    Layer(
        name="label_smoothing",
        title="Cross-entropy with label smoothing",
        group="classification losses",
        program=(
            "T = (1 - a) * onehot(t, C) + a / C\n"
            "P = softmax(Z, axis=1)\n"
            "L = -sum(T * log_softmax(Z, axis=1)) / N"
        ),
        shapes={"Z": "N C", "a": ""},
        integers={"t": ("N", "C")},
        wrt=("Z",),
        why=(
            "Still probabilities minus targets, since the targets still sum to 1. The gradient is zero at "
            "P = T, that is at finite logits: without smoothing it would push the right logit up for "
            "ever."
        ),
        source="Szegedy et al. 2016, Rethinking the inception architecture",
    ),
    Layer(
        name="binary_cross_entropy",
        title="Binary cross-entropy on probabilities",
        group="classification losses",
        program="L = -mean(t * log(p) + (1 - t) * log(1 - p))",
        shapes={"p": "N", "t": "N"},
        assume={"p": "positive"},
        wrt=("p",),
        why=(
            "The gradient has p (1 - p) below the line: it is huge where the model is sure and wrong, and "
            "infinite at 0 and 1. Followed by a sigmoid's p (1 - p) it cancels to p - t, but only on "
            "paper: in float32 the factors have rounded to 0 before they meet. PyTorch clamps the logs at "
            "-100. Use the form on logits."
        ),
        source="PyTorch, torch.nn.BCELoss",
    ),
    Layer(
        name="bce_with_logits",
        title="Binary cross-entropy on logits",
        group="classification losses",
        program="L = mean(softplus(z) - t * z)",
        shapes={"z": "N", "t": "N"},
        wrt=("z",),
        why=(
            "Sigmoid minus target: at most 1 in size for every example, however wrong, so it neither "
            "explodes nor needs clipping. softplus(z) - t z is the same loss as -t log p - (1 - t) log(1 "
            "- p) without the subtraction that loses all digits."
        ),
        source="PyTorch, torch.nn.BCEWithLogitsLoss",
    ),
    Layer(
        name="focal",
        title="Focal loss",
        group="classification losses",
        program=("z = y * x\np = sigmoid(z)\nL = mean((1 - p) ** 2 * softplus(-z))"),
        shapes={"x": "N", "y": "N"},
        wrt=("x",),
        why=(
            "y is +1 or -1, p the probability of the right class and softplus(-z) = -log p. The factor (1 "
            "- p)² turns easy examples down; it is itself differentiated, which gives the term with log "
            "p. Treating it as a constant weight is another loss. Normalise by the number of positives "
            "where most examples are background."
        ),
        source="Lin et al. 2017, Focal loss for dense object detection, appendix B",
    ),
    Layer(
        name="svm_hinge",
        title="Multiclass SVM hinge",
        group="classification losses",
        program=(
            "T = onehot(t, C)\n"
            "c = sum(S * T, axis=1, keepdims=True)\n"
            "M = S - c + 1\n"
            "L = sum(relu(M) * (1 - T)) / N"
        ),
        shapes={"S": "N C"},
        integers={"t": ("N", "C")},
        why=(
            "Each wrong class that comes within 1 of the right class's score c gets +1 / N; the right "
            "class gets minus the number of such classes. So a row sums to zero and holds small whole "
            "numbers over N. The usual slips: to forget the right class's share, and to count it among "
            "the wrong ones. At a margin of exactly 0 the convention is no gradient."
        ),
        source="Weston and Watkins 1999; CS231n assignment 1, svm_loss",
    ),
    Layer(
        name="binary_hinge",
        title="Binary hinge",
        group="classification losses",
        program=("m = y * (X @ w)\nL = mean(relu(1 - m))"),
        shapes={"X": "N D", "w": "D", "y": "N"},
        wrt=("w",),
        why=(
            "Only examples inside the margin take part: w moves along y x for these, and everything else "
            "could be dropped without changing the step. y is +1 or -1; with 0 and 1 the formula runs and "
            "learns nonsense."
        ),
        source="Cortes and Vapnik 1995",
    ),
    Layer(
        name="dice",
        title="Dice loss",
        group="classification losses",
        program=("i = sum(p * t)\nu = sum(p) + sum(t)\nL = 1 - 2 * i / u"),
        shapes={"p": "N", "t": "N"},
        assume={"p": "positive", "t": "nonnegative"},
        wrt=("p",),
        why=(
            "A ratio, so the quotient rule: every pixel's gradient depends on the whole image through i "
            "and u. A pixel of the object gets (2 i - 2 u) / u², every other 2 i / u². On an empty image "
            "both sums are near zero and the gradient explodes: add a constant to both."
        ),
        source="Milletari, Navab and Ahmadi 2016, V-Net",
    ),
    Layer(
        name="policy_gradient",
        title="Policy gradient (REINFORCE)",
        group="classification losses",
        program=(
            "T = onehot(a, C)\n"
            "P = softmax(Z, axis=1)\n"
            "L = -sum(R * sum(T * log_softmax(Z, axis=1), axis=1)) / N"
        ),
        shapes={"Z": "N C", "R": "N"},
        integers={"a": ("N", "C")},
        wrt=("Z",),
        why=(
            "The cross-entropy gradient of the action that was taken, weighted by its return R: a good "
            "outcome makes the action likelier, a bad one less so. R is data here; if it came from the "
            "same network, its gradient must be stopped. Subtracting a baseline from R changes the "
            "variance and not the mean."
        ),
        source="Williams 1992",
    ),
)
