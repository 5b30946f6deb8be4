"""The largest GPU loads of all layers at once, exactly, where 64 bits hold them."""

from fractions import Fraction

import numpy as np

#: Counts up to this one have a least common multiple below 2**58.
MAX_COUNT = 42
#: What numerators may be, with room for the rounding of the floats that say how large they are.
MAX_NUMERATOR = 2.0**62


def whole_peaks(
    load: np.ndarray,
    counts: np.ndarray,
    placed: np.ndarray,
    doubtful: np.ndarray,
    rough: np.ndarray,
    speed: tuple[Fraction, ...] | None,
) -> list[Fraction | None]:
    """The largest load of each layer's doubtful GPUs; None where int64 does not surely hold it.

    All loads of a layer are put over one denominator, the least common multiple of the counts.

    Parameters
    ----------
    load, counts
        int64 [num_layers, num_experts], loads and replicas of the experts.
    placed
        int64 [num_layers, num_gpus, slots_per_gpu], the expert of each slot, -1 for none.
    doubtful
        bool [num_layers, num_gpus], the GPUs that can be the heaviest, at least one of each layer.
    rough
        float64 [num_layers, num_gpus], their loads to a part in 10**9.
    speed
        [num_gpus], what each GPU's load is divided by.
    """
    layer, gpu = np.nonzero(doubtful)
    held, rows = placed[layer, gpu], layer[:, None]
    # An empty slot, -1, holds nothing of anything.
    weight = np.where(held >= 0, load[rows, held], 0)
    count = np.where(held >= 0, counts[rows, held], 1)
    begins = np.flatnonzero(np.diff(layer, prepend=-1))  # every layer has a doubtful GPU
    most = np.maximum.reduceat(count.max(axis=1), begins)
    count[(most > MAX_COUNT)[layer]] = 1  # these layers are left out below
    parts = np.lcm.reduceat(np.lcm.reduce(count, axis=1), begins)
    fits = np.maximum.reduceat(rough[layer, gpu], begins) * parts < MAX_NUMERATOR
    fits &= most <= MAX_COUNT
    whole = np.where(fits, parts, 0)[layer][:, None]
    loads = (weight * (whole // count)).sum(axis=1)
    if speed is None:
        tops = np.maximum.reduceat(loads, begins).tolist()
        each = zip(tops, parts.tolist(), fits.tolist(), strict=True)
        return [Fraction(top, part) if fit else None for top, part, fit in each]
    ends = [*begins[1:].tolist(), len(layer)]
    pairs = list(zip(loads.tolist(), gpu.tolist(), strict=True))
    return [
        max({top / speed[g] for top, g in set(pairs[begin:end])}) / part if fit else None
        for begin, end, part, fit in zip(
            begins.tolist(), ends, parts.tolist(), fits.tolist(), strict=True
        )
    ]
