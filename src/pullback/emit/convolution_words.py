"""Convolutions and poolings in the words of each target."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from pullback.emit.spelling import module, sequence

NUMPY_HELPERS: Final = {
    "taps": '''
def taps(window, out, strides, dilations):
    """Each place of a window, and the entries of the padded input that it meets, one for each entry of the output."""
    for tap in np.ndindex(*window):
        yield tap, tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, n, s, d in zip(tap, out, strides, dilations))
''',
    "padded": '''
def padded(x, paddings):
    """x with zeros on both sides of its last axes."""
    return np.pad(x, [(0, 0)] * (x.ndim - len(paddings)) + [(p, p) for p in paddings])
''',
    "conv": '''
def conv(x, kernel, strides, paddings, dilations, groups):
    """Σ over channels and taps of the padded input times the kernel."""
    x = padded(x, paddings)
    samples, outputs, channels, window = len(x), len(kernel), kernel.shape[1], kernel.shape[2:]
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], window, strides, dilations)]
    y = np.zeros((samples, outputs, *out), dtype=np.result_type(x, kernel))
    for tap, places in taps(window, out, strides, dilations):
        met = x[(..., *places)].reshape(samples, groups, channels, -1)
        y += (kernel[(..., *tap)].reshape(groups, -1, channels) @ met).reshape(y.shape)
    return y
''',
    "conv_input": '''
def conv_input(g, kernel, shape, strides, paddings, dilations, groups):
    """The gradient that a convolution sends to its input: each entry of g, times the kernel, to where it came from."""
    samples, channels, window = len(g), kernel.shape[1], kernel.shape[2:]
    dx = np.zeros((*shape[:2], *(n + 2 * p for n, p in zip(shape[2:], paddings))), dtype=np.result_type(g, kernel))
    met = g.reshape(samples, groups, len(kernel) // groups, -1)
    for tap, places in taps(window, g.shape[2:], strides, dilations):
        share = kernel[(..., *tap)].reshape(groups, -1, channels).transpose(0, 2, 1) @ met
        dx[(..., *places)] += share.reshape(*shape[:2], *g.shape[2:])
    return dx[(..., *(slice(p, p + n) for p, n in zip(paddings, shape[2:])))]
''',
    "conv_kernel": '''
def conv_kernel(x, g, shape, strides, paddings, dilations, groups):
    """The gradient that a convolution sends to its kernel: Σ over samples and places of g times the padded input."""
    x = padded(x, paddings)
    dk = np.zeros(shape, dtype=np.result_type(x, g))
    given = g.reshape(len(g), groups, shape[0] // groups, -1)
    for tap, places in taps(shape[2:], g.shape[2:], strides, dilations):
        met = x[(..., *places)].reshape(len(x), groups, shape[1], -1)
        dk[(..., *tap)] = (given @ met.transpose(0, 1, 3, 2)).sum(axis=0).reshape(shape[:2])
    return dk
''',
}
NUMPY_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "conv": ("taps", "padded"),
    "conv_input": ("taps",),
    "conv_kernel": ("taps", "padded"),
}

JAX_HELPERS: Final = {
    "conv": '''
def conv(
    x: Array,
    kernel: Array,
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
) -> Array:
    """Σ over channels and taps of the padded input times the kernel."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=[(p, p) for p in paddings],
        rhs_dilation=dilations,
        feature_group_count=groups,
    )
''',
    "conv_input": '''
def conv_input(
    g: Array,
    kernel: Array,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
) -> Array:
    """The gradient that a convolution sends to its input: the transpose of a linear function."""

    def of_input(x: Array) -> Array:
        return conv(x, kernel, strides, paddings, dilations, groups)

    (dx,) = jax.linear_transpose(of_input, jax.ShapeDtypeStruct(shape, g.dtype))(g)
    return dx
''',
    "conv_kernel": '''
def conv_kernel(
    x: Array,
    g: Array,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
) -> Array:
    """The gradient that a convolution sends to its kernel: the transpose of a linear function."""

    def of_kernel(kernel: Array) -> Array:
        return conv(x, kernel, strides, paddings, dilations, groups)

    (dk,) = jax.linear_transpose(of_kernel, jax.ShapeDtypeStruct(shape, g.dtype))(g)
    return dk
''',
}
JAX_NEEDS: Final[dict[str, tuple[str, ...]]] = {"conv_input": ("conv",), "conv_kernel": ("conv",)}

CONVOLUTIONS: Final = ("conv", "conv_input", "conv_kernel")


def torch_convolution(name: str, trees: Sequence[ast.expr]) -> ast.expr:
    """`torch.nn.functional.conv2d(X, K, stride=2)`, and its two gradients from `torch.nn.grad`."""
    *operands, strides, paddings, dilations, groups = trees
    assert isinstance(strides, ast.List)
    axes = len(strides.elts)
    options = {
        "stride": (_short(strides), "1"),
        "padding": (_short(paddings), "0"),
        "dilation": (_short(dilations), "1"),
        "groups": (groups, "1"),
    }
    given = {k: value for k, (value, usual) in options.items() if ast.unparse(value) != usual}
    match name, operands:
        case "conv_input", (g, kernel, shape):
            return module(f"torch.nn.grad.conv{axes}d_input", sequence(shape), kernel, g, **given)
        case "conv_kernel", (x, g, shape):
            return module(f"torch.nn.grad.conv{axes}d_weight", x, sequence(shape), g, **given)
    return module(f"torch.nn.functional.conv{axes}d", *operands, **given)


def _short(sizes: ast.expr) -> ast.expr:
    """One number where all are the same, else a tuple."""
    assert isinstance(sizes, ast.List)
    texts = {ast.unparse(size) for size in sizes.elts}
    return sizes.elts[0] if len(texts) == 1 else sequence(sizes)
