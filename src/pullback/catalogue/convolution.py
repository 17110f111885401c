"""Convolution."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

CONVOLUTION: Final = (
    Layer(
        name="conv1d",
        title="Convolution, 1-D",
        group="convolution",
        program="Y = conv1d(X, K)",
        shapes={"X": "N C H", "K": "O C R"},
        why=(
            "Forward is a cross-correlation. The kernel's gradient correlates X with dY: tap r sees every "
            "position where it touched the data. The data's gradient is the full convolution of dY with "
            "the kernel, which is where the flip appears; the brackets say which taps reach a position "
            "near the border. Save X and K."
        ),
        source="LeCun et al. 1989; PyTorch, torch.nn.functional.conv1d",
    ),
    Layer(
        name="conv2d",
        title="Convolution, 2-D, stride 2, padding 1",
        group="convolution",
        program="Y = conv2d(X, K, stride=2, padding=1)",
        shapes={"X": "N C H W", "K": "O C R S"},
        why=(
            "With stride 2 only every second position was read: dX is dY spread out with zeros between, "
            "then convolved with the flipped kernel, a transposed convolution. The size of X does not "
            "follow from that of Y: where H + 2 - R is odd, the last row of the padding is never read, "
            "and code that derives the size of dX from dY comes out one row short."
        ),
        source="CS231n assignment 2, conv_backward_naive",
    ),
    Layer(
        name="depthwise_conv2d",
        title="Depthwise convolution, 2-D",
        group="convolution",
        program="Y[n,c,p,q] = X[n,c,p+r,q+s] * K[c,r,s]",
        shapes={"X": "N C H W", "K": "C R S"},
        ranges={"p": "H-R+1", "q": "W-S+1"},
        why=(
            "Each channel has a kernel of its own and no channel sees another, so no gradient sums over "
            "channels. There are few multiplications for each number moved: the backward pass is bound by "
            "memory, and the kernel's gradient, a sum over the batch and all positions into R S numbers, "
            "is the hard part to run in parallel."
        ),
        source="Chollet 2017, Xception; Howard et al. 2017, MobileNets",
    ),
    Layer(
        name="transposed_conv2d",
        title="Transposed convolution, 2-D, stride 2",
        group="convolution",
        program="Y[n,o,u,v] = X[n,c,p,q] * K[c,o,r,s] * (u == 2*p + r) * (v == 2*q + s)",
        shapes={"X": "N C P Q", "K": "C O R S"},
        ranges={"u": "2*P+R-2", "v": "2*Q+S-2"},
        why=(
            "Forward scatters each input over an R × S patch; patches overlap and add. Its gradient "
            "gathers: dX is an ordinary convolution of dY with the same kernel, stride 2, not flipped. It "
            "is the exact mirror of conv2d, with the two passes exchanged. Where R is no multiple of the "
            "stride, positions overlap unevenly: the checkerboard."
        ),
        source="Dumoulin and Visin 2016, A guide to convolution arithmetic",
    ),
    Layer(
        name="conv3d",
        title="Convolution, 3-D",
        group="convolution",
        program="Y[n,o,p,q,u] = X[n,c,p+r,q+s,u+t] * K[o,c,r,s,t]",
        shapes={"X": "N C H W T", "K": "O C R S D"},
        ranges={"p": "H-R+1", "q": "W-S+1", "u": "T-D+1"},
        why=(
            "The same law with one more axis: in index notation nothing new is needed. Each further axis "
            "multiplies the work by the kernel's extent, and a gradient that is formed through a matrix "
            "of patches (im2col) needs R S D copies of the data, often the largest allocation of the "
            "step."
        ),
        source="Tran et al. 2015, Learning spatiotemporal features",
    ),
    Layer(
        name="max_pool2d",
        title="Max pooling, 2 × 2",
        group="convolution",
        program=("R = reshape(X, [N, C, P, 2, Q, 2])\nY = max(R, axis=(3, 5))"),
        shapes={"X": "N C 2*P 2*Q"},
        why=(
            "The gradient goes to the entry that won and to no other. At a tie the declared convention "
            "shares it equally; PyTorch's pooling kernel picks the first, so two right implementations "
            "may differ on quantised or zero-padded data. Save the index of the winner, one small "
            "integer, rather than X and Y."
        ),
        source="CS231n assignment 2, max_pool_backward",
    ),
    Layer(
        name="avg_pool2d",
        title="Average pooling, 2 × 2",
        group="convolution",
        program=("R = reshape(X, [N, C, P, 2, Q, 2])\nY = mean(R, axis=(3, 5))"),
        shapes={"X": "N C 2*P 2*Q"},
        why=(
            "Every entry of a window had the same weight, so each gets a quarter of its window's "
            "gradient: the backward pass is upsampling by copies. Nothing is saved. With padding it "
            "matters whether the padded zeros count in the divisor; libraries differ."
        ),
        source="LeCun et al. 1998; PyTorch, torch.nn.functional.avg_pool2d",
    ),
    Layer(
        name="global_avg_pool",
        title="Global average pooling",
        group="convolution",
        program="Y = mean(X, axis=(2, 3))",
        shapes={"X": "N C H W"},
        why=(
            "All H W positions of a channel get the same gradient, dY / (H W). It is small for large "
            "images, and it says nothing about where: that comes only from the layers before. Code "
            "broadcasts it and never writes it out."
        ),
        source="Lin, Chen and Yan 2014, Network in network",
    ),
    Layer(
        name="conv_max_over_time",
        title="Convolution and max over time",
        group="convolution",
        program=("Z = conv1d(X, K)\nY = max(Z, axis=2)"),
        shapes={"X": "N C T", "K": "O C R"},
        why=(
            "Each filter reports its strongest response in the sentence, so each filter learns from one "
            "window of R positions only. That is sparse: with short batches many windows never get a "
            "gradient. Ties share, by the declared convention."
        ),
        source="Kim 2014, Convolutional networks for sentence classification",
    ),
)
