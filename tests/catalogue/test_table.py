"""The table itself: names, texts, and what happens with a name that is not there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import pullback
from pullback.errors import NameProblem

ROWS = pullback.layers()

# What the page promises by name.
PROMISED = [
    "linear",
    "bias",
    "conv1d",
    "conv2d",
    "depthwise_conv2d",
    "transposed_conv2d",
    "conv3d",
    "max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "softmax_cross_entropy",
    "weighted_cross_entropy",
    "masked_cross_entropy",
    "svm_hinge",
    "attention",
    "causal_attention",
    "multi_head_attention",
    "grouped_query_attention",
    "rope",
    "swiglu",
    "gelu",
    "gelu_tanh",
    "glu",
    "embedding",
    "rnn_step",
    "lstm_step",
    "gru_step",
    "lora",
    "info_nce",
    "clip",
    "dpo",
    "ppo_clip",
    "kl_divergence",
    "jensen_shannon",
    "focal",
    "gaussian_covariance",
    "gaussian_precision",
    "gaussian_cholesky",
    "vae_kl",
    "logistic_regression",
    "ridge",
    "lasso",
    "matrix_factorisation",
    "softmax",
    "logsumexp",
    "cosine_similarity",
    "l2_normalize",
    "dropout",
    "cumsum",
    "huber",
    "bce_with_logits",
    "triplet",
    "contrastive",
]


def test_names_and_titles_are_unique() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []
    assert [title for title, count in Counter(row.title for row in ROWS).items() if count > 1] == []


def test_what_is_promised_is_there() -> None:
    assert sorted(set(PROMISED) - {row.name for row in ROWS}) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_entry_is_complete(row: pullback.Layer) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", row.name)
    assert row.title[0].isupper()
    assert row.source
    assert row.group
    assert 100 < len(row.why) < 900
    assert row.why.endswith(".")
    assert "  " not in row.why
    assert "\n" not in row.why
    assert set(row.wrt) <= set(row.shapes)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_declared_is_what_the_program_reads(row: pullback.Layer) -> None:
    read = set(re.findall(r"[A-Za-z][A-Za-z0-9_]*", re.sub(r'"[^"]*"', "", row.program)))
    assert {*row.shapes, *row.integers, *row.assume} <= read


def test_a_group_stands_together() -> None:
    order = [row.group for row in ROWS]
    assert order == sorted(order, key=order.index)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("layernorm", "layer_norm"),
        ("Layer-Norm", "layer_norm"),
        ("cross_entropy", "softmax_cross_entropy"),
        ("cross_entropy", "weighted_cross_entropy"),
        ("swi_glu", "swiglu"),
        ("lstm", "lstm_step"),
        ("batchnorm", "batch_norm"),
    ],
)
def test_an_unknown_name_is_answered_by_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(NameProblem) as caught:
        pullback.layer(wrong)
    assert near in caught.value.hint


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(NameProblem) as caught:
        pullback.layer("q" * 30)
    assert "pullback show" in caught.value.hint


def test_the_setting_is_what_derive_takes() -> None:
    derivation = pullback.derive(**pullback.layer("lora").setting)
    assert list(derivation.gradients) == ["X", "A", "B"]
