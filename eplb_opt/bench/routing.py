"""Tokens that are routed as DeepSeek-V3 does, made by chance: no recorded ones are bundled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eplb_opt.io.recordings.tokens import TokenRecording


@dataclass(frozen=True)
class Routing:
    """A model's router and its traffic.

    Sequences have a topic, and each topic prefers some experts, in any groups: what a topic prefers
    fires together. A token's score of an expert is the sum of how much its topic prefers it, of the
    expert's own bias, and of noise, all normal.

    Parameters
    ----------
    num_layers, num_experts, experts_per_token
        The model.
    num_groups, groups_per_token
        A token goes to experts of so many groups, those with the largest sums of their two largest
        scores (DeepSeek-V3 technical report, 2.1.2). As many as there are for a free choice.
    num_topics
        Topics, the first ones more frequent: the i-th counts 1 / (i + 1).
    topic, bias
        Standard deviations of what topics prefer and of the biases; that of the noise is 1.
    num_ranks
        Ranks that sequences start on, at random.
    sequence
        Tokens of a sequence.
    """

    num_layers: int = 4
    num_experts: int = 256
    experts_per_token: int = 8
    num_groups: int = 8
    groups_per_token: int = 4
    num_topics: int = 16
    topic: float = 1.0
    bias: float = 0.3
    num_ranks: int = 32
    sequence: int = 64


def routed_tokens(routing: Routing, num_tokens: int, seed: int = 0) -> TokenRecording:
    """Tokens of a router; the same seed gives the same router, and other tokens for another number.

    Parameters
    ----------
    routing
        The router and its traffic.
    num_tokens
        Tokens.
    seed
        Of the random numbers.

    Returns
    -------
    TokenRecording
        In memory.
    """
    router = np.random.default_rng(seed)
    shape = (routing.num_layers, routing.num_experts)
    bias = routing.bias * router.standard_normal(shape)
    prefers = routing.topic * router.standard_normal((routing.num_topics, *shape))
    draws = np.random.default_rng([seed, num_tokens])
    weight = 1.0 / np.arange(1, routing.num_topics + 1)
    num_sequences = -(-num_tokens // routing.sequence)
    topics = draws.choice(routing.num_topics, num_sequences, p=weight / weight.sum())
    starts = draws.integers(routing.num_ranks, size=num_sequences)
    topic = np.repeat(topics, routing.sequence)[:num_tokens]
    experts = np.empty((num_tokens, routing.num_layers, routing.experts_per_token), dtype=np.int16)
    for layer_idx in range(routing.num_layers):
        noise = draws.standard_normal((num_tokens, routing.num_experts))
        scores = noise + bias[layer_idx] + prefers[topic, layer_idx]
        experts[:, layer_idx] = _chosen(routing, scores)
    rank = np.repeat(starts, routing.sequence)[:num_tokens]
    return TokenRecording.of(experts, rank, num_experts=routing.num_experts)


def _chosen(routing: Routing, scores: np.ndarray) -> np.ndarray:
    """Experts of each token, [num_tokens, experts_per_token]."""
    groups = scores.reshape(len(scores), routing.num_groups, -1)
    worth = np.partition(groups, -2, axis=2)[:, :, -2:].sum(axis=2)
    least = -np.partition(-worth, routing.groups_per_token - 1, axis=1)
    is_chosen = worth >= least[:, routing.groups_per_token - 1, None]
    left = np.where(is_chosen[:, :, None], groups, -np.inf).reshape(scores.shape)
    return np.argpartition(-left, routing.experts_per_token - 1)[:, : routing.experts_per_token]
