"""Statistical models."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

STATISTICS: Final = (
    Layer(
        name="least_squares",
        title="Least squares",
        group="statistical models",
        program=("r = X @ w - y\nL = r @ r / 2"),
        shapes={"X": "N D", "w": "D", "y": "N"},
        why=(
            "The residual sent back through X. Set to zero it is the normal equations. Its curvature is "
            "X.T @ X, whose condition number is the square of X's: gradient descent crawls when columns "
            "are nearly collinear, so scale and centre them first."
        ),
        source="Gauss 1809; Matrix Cookbook, section 2.4",
    ),
    Layer(
        name="ridge",
        title="Ridge regression",
        group="statistical models",
        program=("r = X @ w - y\nL = r @ r / 2 + k / 2 * (w @ w)"),
        shapes={"X": "N D", "w": "D", "y": "N", "k": ""},
        wrt=("w",),
        why=(
            "Least squares plus a pull to zero. The added k w is what weight decay does under plain "
            "gradient descent; under Adam the two differ, since Adam would rescale it. Leave the "
            "intercept out of the penalty. Mind the scale: with a mean over N in the loss, k changes its "
            "meaning by N."
        ),
        source="Hoerl and Kennard 1970",
    ),
    Layer(
        name="lasso",
        title="Lasso",
        group="statistical models",
        program=("r = X @ w - y\nL = r @ r / 2 + k * sum(abs(w))"),
        shapes={"X": "N D", "w": "D", "y": "N", "k": ""},
        wrt=("w",),
        why=(
            "The penalty's pull has the same size k whatever the weight, so small weights reach zero. At "
            "exactly 0 the declared convention is sign(0) = 0, one of the subgradients between -k and k; "
            "following it makes weights jitter around zero. Proximal methods (soft thresholding) get "
            "exact zeros."
        ),
        source="Tibshirani 1996",
    ),
    Layer(
        name="logistic_regression",
        title="Logistic regression",
        group="statistical models",
        program=("z = X @ w + b\np = sigmoid(z)\nL = mean(softplus(z) - y * z)"),
        shapes={"X": "N D", "w": "D", "b": "", "y": "N"},
        wrt=(
            "w",
            "b",
        ),
        why=(
            "Prediction minus label, times the inputs. On separable data the loss has no minimum and w "
            "grows without end: regularise or stop early. Save p. The intercept's gradient says that at "
            "the optimum the predicted rate equals the observed one."
        ),
        source="Cox 1958; Bishop 2006, section 4.3",
    ),
    Layer(
        name="softmax_regression",
        title="Softmax regression",
        group="statistical models",
        program=(
            "Z = X @ W + b\n"
            "P = softmax(Z, axis=1)\n"
            "T = onehot(t, C)\n"
            "L = -sum(T * log_softmax(Z, axis=1)) / N"
        ),
        shapes={"X": "N D", "W": "D C", "b": "C"},
        integers={"t": ("N", "C")},
        why=(
            "The first network of every course: (P - T) / N is the gradient of the scores, and the linear "
            "layer's rule does the rest. Adding the same vector to all columns of W changes nothing, so "
            "every row of dW sums to zero."
        ),
        source="CS231n, Softmax classifier; Bishop 2006, section 4.3",
    ),
    Layer(
        name="matrix_factorisation",
        title="Matrix factorisation with a mask",
        group="statistical models",
        program=("E = M * (U @ V.T - R)\nL = sum(E ** 2) / 2 + k / 2 * (sum(U ** 2) + sum(V ** 2))"),
        shapes={"R": "N I", "M": "N I", "U": "N K", "V": "I K", "k": ""},
        wrt=(
            "U",
            "V",
        ),
        why=(
            "M is 1 where a rating is known. Each user's gradient adds the errors of that user's ratings "
            "times the items' factors. The printed E * M is E itself for a mask of zeros and ones. "
            "Starting at U = V = 0 both gradients are zero and nothing ever moves. Code works on the "
            "known entries alone and never forms an N × I matrix."
        ),
        source="Koren, Bell and Volinsky 2009",
    ),
    Layer(
        name="pca",
        title="Linear autoencoder (PCA)",
        group="statistical models",
        program=("Z = X @ W\nE = Z @ W.T - X\nL = sum(E ** 2) / 2"),
        shapes={"X": "N D", "W": "D K"},
        wrt=("W",),
        why=(
            "W stands twice, as encoder and as decoder, so its gradient has two shares; tied weights "
            "always add. At a minimum the columns of W span the leading principal directions; which basis "
            "of that space is found, the loss does not say."
        ),
        source="Baldi and Hornik 1989",
    ),
    Layer(
        name="k_means",
        title="K-means",
        group="statistical models",
        program=(
            "D = sum(X ** 2, axis=1, keepdims=True) - 2 * X @ M.T + sum(M ** 2, axis=1)\n"
            "L = sum(min(D, axis=1))"
        ),
        shapes={"X": "N F", "M": "K F"},
        wrt=("M",),
        why=(
            "Each centre is pulled by the points that chose it: twice their number times the centre minus "
            "their sum. A Newton step puts the centre at their mean, which is Lloyd's algorithm. A centre "
            "that no point chooses has gradient zero and stays. Ties share."
        ),
        source="Lloyd 1982; Bottou and Bengio 1995",
    ),
    Layer(
        name="gaussian_mixture",
        title="Mixture of Gaussians, unit variance",
        group="statistical models",
        program=(
            "D = sum(X ** 2, axis=1, keepdims=True) - 2 * X @ M.T + sum(M ** 2, axis=1)\n"
            "L = -sum(logsumexp(log(w) - D / 2, axis=1))"
        ),
        shapes={"X": "N F", "M": "K F", "w": "K"},
        assume={"w": "positive"},
        wrt=(
            "M",
            "w",
        ),
        why=(
            "K-means with a soft choice: the softmax is the responsibility of each component for each "
            "point, and each centre is pulled in proportion. Setting dM to zero gives EM's update. The "
            "weights must sum to 1, which this gradient does not know: learn them through a softmax."
        ),
        source="Bishop 2006, section 9.2",
    ),
    Layer(
        name="gaussian_covariance",
        title="Gaussian likelihood: mean and covariance",
        group="statistical models",
        program=("d = X - mu\nL = N / 2 * logdet(S) + trace(d @ inv(S) @ d.T) / 2"),
        shapes={"X": "N D", "mu": "D", "S": "D D"},
        assume={"S": "spd"},
        wrt=(
            "mu",
            "S",
        ),
        why=(
            "dS is zero where S is the empirical covariance, which is the maximum-likelihood estimate. "
            "The gradient treats the entries of S as free: a method that steps in the space of symmetric "
            "matrices may count off-diagonal entries twice. Use a Cholesky factor and solve, never inv, "
            "in code."
        ),
        source="Bishop 2006, section 2.3.4; Matrix Cookbook, section 8.3",
    ),
    Layer(
        name="gaussian_precision",
        title="Gaussian likelihood: precision",
        group="statistical models",
        program="L = trace(C @ K) - logdet(K)",
        shapes={"C": "D D", "K": "D D"},
        assume={"K": "spd", "C": "spd"},
        wrt=("K",),
        why=(
            "Empirical covariance minus model covariance: the gradient is zero when they agree. As a "
            "function of the precision the loss is convex, which it is not in the covariance. Off- "
            "diagonal zeros of K mean conditional independence; the graphical lasso adds a penalty for "
            "them."
        ),
        source="Friedman, Hastie and Tibshirani 2008, Graphical lasso",
    ),
    Layer(
        name="gaussian_cholesky",
        title="Gaussian likelihood: Cholesky factor",
        group="statistical models",
        program=("L = tril(V)\nz = solve(L, x - mu)\nf = z @ z / 2 + sum(log(diag(L)))"),
        shapes={"x": "D", "mu": "D", "V": "D D"},
        assume={"V": "lower_triangular"},
        wrt=(
            "mu",
            "V",
        ),
        why=(
            "A lower factor with a positive diagonal is always a valid covariance, so no constraint is "
            "left. z is the whitened residual; every inverse in the gradient is a triangular solve, at D² "
            "operations. tril masks the gradient of the upper half: without it the step leaves the "
            "triangular matrices."
        ),
        source="Bishop 2006, exercise 2.34; TensorFlow Probability, MultivariateNormalTriL",
    ),
    Layer(
        name="gaussian_process",
        title="Gaussian process marginal likelihood",
        group="statistical models",
        program=("a = solve(K, y)\nL = (y @ a + logdet(K)) / 2"),
        shapes={"K": "N N", "y": "N"},
        assume={"K": "spd"},
        why=(
            "dK is half of inv(K) - a aᵀ: complexity against fit. A hyperparameter's gradient is the sum "
            "of dK times dK/dθ, which costs N² once inv(K) is there. Kernels are nearly singular by "
            "nature: add a jitter to the diagonal and factor by Cholesky."
        ),
        source="Rasmussen and Williams 2006, equation 5.9",
    ),
    Layer(
        name="log_det",
        title="Log-determinant",
        group="statistical models",
        program="L = logdet(X)",
        shapes={"X": "N N"},
        assume={"X": "invertible"},
        why=(
            "The inverse, transposed. It grows without bound as X nears a singular matrix, which makes "
            "-logdet a barrier. For symmetric X the transpose makes no difference, and for others it is "
            "the slip to make. det itself overflows at moderate N; its log does not."
        ),
        source="Matrix Cookbook, equation 57",
    ),
    Layer(
        name="quadratic_form",
        title="Quadratic form",
        group="statistical models",
        program="f = x @ A @ x",
        shapes={"x": "N", "A": "N N"},
        why=(
            "x stands twice, so its gradient has two shares: (A + A.T) x. It is 2 A x only for symmetric "
            "A, and taking the shortcut with another A is wrong by the antisymmetric part. The "
            "antisymmetric part never enters f, so dA = x xᵀ is symmetric."
        ),
        source="Matrix Cookbook, equation 81",
    ),
)
