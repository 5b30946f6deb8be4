"""Steps drawn at random, exactly as the model of a step has it: what forecasts are checked by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.workloads.forecast.hosts import BY_SENDER, DRAWN

if TYPE_CHECKING:
    from eplb_opt.workloads.forecast.draws import Draws
    from eplb_opt.workloads.forecast.hosts import Hosts
    from eplb_opt.workloads.forecast.split import Splitter

#: Rounds in which the odds of experts are fitted to their rates; each gains about a digit.
NUM_ROUNDS = 60
#: Rates are met to that.
FITTED = 1e-10
#: Steps drawn at a time.
CHUNK = 16


def simulated(
    draws: Draws,
    hosts: Hosts,
    law: str,
    splitter: Splitter | None,
    batch_tokens: int,
    speed: np.ndarray,
    num_steps: int,
    seed: int,
) -> np.ndarray:
    """Mean over largest GPU load of random steps, float64 [num_steps, num_layers].

    Parameters
    ----------
    draws, hosts, law
        The experts of a token, the GPUs of an expert, and how tokens get from one to the other.
    splitter
        Splits every step, where that is done.
    batch_tokens
        Tokens of a GPU in a step.
    speed
        float64 [num_gpus], 0 for a lost one.
    num_steps, seed
        Steps, and the seed of the random numbers.
    """
    source = np.random.default_rng(seed)
    counts = Counts(draws)
    found = []
    for first in range(0, num_steps, CHUNK):
        num = min(CHUNK, num_steps - first)
        if law == BY_SENDER:
            found.append(_by_sender(counts, hosts, batch_tokens, speed, num, source))
            continue
        drawn = counts.draw(batch_tokens * int((speed > 0).sum()), num, source)
        share = hosts.share if splitter is None else splitter.shares(drawn.astype(np.float64))
        here = drawn[:, hosts.layer, hosts.expert]
        parts = dealt(here, hosts, share, source) if law == DRAWN else here * share
        found.append(_ratio(hosts.per_gpu(parts), speed))
    return np.concatenate(found)


def _ratio(loads: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Mean over largest load, GPUs last."""
    live = speed > 0
    largest = (loads[..., live] / speed[live]).max(axis=-1)
    return np.asarray(loads.sum(axis=-1) / speed.sum() / largest)


def dealt(
    counts: np.ndarray, hosts: Hosts, share: np.ndarray, source: np.random.Generator
) -> np.ndarray:
    """Tokens of each pair, where every token draws its host.

    Host after host takes a binomial number of the tokens that are left.

    Parameters
    ----------
    counts
        Tokens of each pair's expert, int64 [num_steps, num_pairs].
    hosts
        The pairs; those of an expert are neighbours.
    share
        The chances, [num_pairs] or [num_steps, num_pairs].
    source
        Of the random numbers.
    """
    key = hosts.layer * hosts.plan.num_experts + hosts.expert
    is_first = np.diff(key, prepend=-1) != 0
    rank = np.arange(len(key)) - np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
    share = np.broadcast_to(share, counts.shape)
    parts, left, open_share = np.zeros(counts.shape), counts.copy(), np.ones(counts.shape)
    for turn in range(int(rank.max()) + 1):
        now = np.flatnonzero(rank == turn)
        if turn:
            left[:, now] = left[:, now - 1] - parts[:, now - 1].astype(np.int64)
            open_share[:, now] = open_share[:, now - 1] - share[:, now - 1]
        chance = share[:, now] / np.maximum(open_share[:, now], 1e-12)
        is_last = np.append(rank[1:], 0)[now] == 0
        chance[:, is_last] = 1
        parts[:, now] = source.binomial(left[:, now], np.clip(chance, 0, 1))
    return parts


def _by_sender(
    counts: Counts,
    hosts: Hosts,
    batch_tokens: int,
    speed: np.ndarray,
    num: int,
    source: np.random.Generator,
) -> np.ndarray:
    """Every GPU draws its tokens, and sends them as its turn has it.

    Which GPUs send to a host makes little difference, how many do makes the scatter: the hosts of
    an expert take the GPUs one after another.
    """
    num_live = int((speed > 0).sum())
    key = hosts.layer * hosts.plan.num_experts + hosts.expert
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    ends = np.cumsum(hosts.share)
    ends -= np.repeat(ends[begins] - hosts.share[begins], np.diff(np.append(begins, len(key))))
    last = np.rint(ends * num_live).astype(np.int64)
    first = last - np.rint(hosts.share * num_live).astype(np.int64)
    loads = np.zeros((num, hosts.plan.num_layers, hosts.plan.num_gpus))
    for sender in range(num_live):
        drawn = counts.draw(batch_tokens, num, source)[:, hosts.layer, hosts.expert]
        loads += hosts.per_gpu(drawn * ((first <= sender) & (sender < last)))
    return _ratio(loads, speed)


class Counts:
    """Draws the tokens of every expert in steps of any size.

    The tokens of a step choose their experts by conditional Poisson sampling. Experts are gone
    through one by one: of the tokens that have so many choices left, a binomial number takes the
    expert, with a probability that the odds of the later ones decide. So the time does not depend
    on the number of tokens.

    Parameters
    ----------
    draws
        The experts of a token.
    """

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.top_k = draws.experts_per_token
        self.different = np.flatnonzero(~draws.is_independent)
        rate = np.clip(draws.rate[self.different], 0, 1 - 1e-9)
        self.chance = _chances(fitted_odds(rate, self.top_k), self.top_k)

    def draw(self, num_tokens: int, num: int, source: np.random.Generator) -> np.ndarray:
        """Some steps, int64 [num, num_layers, num_experts]."""
        rate = self.draws.rate
        found = np.zeros((num, *rate.shape), dtype=np.int64)
        for layer_idx in np.flatnonzero(self.draws.is_independent).tolist():
            share = rate[layer_idx] / rate[layer_idx].sum()
            found[:, layer_idx] = source.multinomial(num_tokens * self.top_k, share, size=num)
        waiting = np.zeros((num, len(self.different), self.top_k + 1), dtype=np.int64)
        waiting[..., self.top_k] = num_tokens
        for expert, chance in enumerate(self.chance):
            taken = source.binomial(waiting, chance)
            found[:, self.different, expert] = taken.sum(axis=2)
            waiting -= taken
            waiting[..., :-1] += taken[..., 1:]
        return found


def fitted_odds(rate: np.ndarray, top_k: int) -> np.ndarray:
    """Odds [num_layers, num_experts] by which a token chooses each expert at these rates.

    By iteration: odds are multiplied by what the rates lack.

    References
    ----------
    X.-H. Chen, A. P. Dempster and J. S. Liu, "Weighted finite population sampling to maximize
    entropy", Biometrika 81, 1994.
    """
    odds = rate / (1 - rate)
    for _ in range(NUM_ROUNDS):
        found = _rates(odds, top_k)
        if np.abs(found - rate).max(initial=0.0) < FITTED:
            break
        at = np.clip(found, 1e-300, 1 - 1e-12)
        odds = odds * (rate / at) * ((1 - at) / (1 - rate))
    return np.asarray(odds)


def _ways(odds: np.ndarray, top_k: int) -> np.ndarray:
    """Weight of all choices of 0..top_k of the experts from each on, [experts + 1, layers, k + 1].

    Odds are scaled to sum to top_k, which keeps the weights near 1.
    """
    num_layers, num_experts = odds.shape
    ways = np.zeros((num_experts + 1, num_layers, top_k + 1))
    ways[num_experts, :, 0] = 1
    for expert in range(num_experts - 1, -1, -1):
        ways[expert] = ways[expert + 1]
        ways[expert, :, 1:] += odds[:, expert, None] * ways[expert + 1, :, :-1]
    return ways


def _scaled(odds: np.ndarray, top_k: int) -> np.ndarray:
    return np.asarray(odds * top_k / odds.sum(axis=1, keepdims=True))


def _rates(odds: np.ndarray, top_k: int) -> np.ndarray:
    """How often each expert is among those chosen, float64 [num_layers, num_experts]."""
    odds = _scaled(odds, top_k)
    after = _ways(odds, top_k)
    before = _ways(odds[:, ::-1], top_k)[::-1]
    found = np.empty_like(odds)
    for expert in range(odds.shape[1]):
        others = (before[expert, :, :top_k] * after[expert + 1, :, top_k - 1 :: -1]).sum(axis=1)
        found[:, expert] = odds[:, expert] * others
    return np.asarray(found / after[0, :, top_k : top_k + 1])


def _chances(odds: np.ndarray, top_k: int) -> np.ndarray:
    """How likely a token with 0..top_k choices left takes an expert, [experts, layers, k + 1]."""
    odds = _scaled(odds, top_k) if odds.size else odds
    ways = _ways(odds, top_k)
    chance = np.zeros((odds.shape[1], odds.shape[0], top_k + 1))
    taken = odds.T[..., None] * ways[1:, :, :-1]
    whole = ways[:-1, :, 1:]
    chance[..., 1:] = np.where(whole > 0, taken / np.where(whole > 0, whole, 1), 0)
    return np.clip(chance, 0, 1)
