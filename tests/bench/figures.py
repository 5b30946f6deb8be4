"""The figures that the generator is calibrated on, of any loads."""

import numpy as np


def figures(load: np.ndarray, num_groups: int = 1) -> dict[str, float]:
    """Means over the layers, in units of a layer's mean load; correlations between layers."""
    load = load.astype(np.float64)
    num_layers, num_experts = load.shape
    falling = np.sort(load, axis=1)[:, ::-1] / load.mean(axis=1, keepdims=True)
    log_load = np.log(np.maximum(load, 0.5))
    width = log_load.std(axis=1)
    between = np.corrcoef(log_load)
    group = load.reshape(num_layers, num_groups, -1).sum(axis=2)
    return {
        "peak": falling[:, 0].mean(),
        "lowest_peak": falling[:, 0].min(),
        "highest_peak": falling[:, 0].max(),
        "second": falling[:, 1].mean(),
        "median": falling[:, num_experts // 2].mean(),
        "lightest": falling[:, -1].mean(),
        "top_1": _top(falling, 0.01),
        "top_5": _top(falling, 0.05),
        "top_10": _top(falling, 0.1),
        "width": width.mean(),
        "wobble": width.std() / width.mean(),
        "follow": np.corrcoef(width[1:], width[:-1])[0, 1],
        "near": np.diagonal(between, 1).mean(),
        "far": np.diagonal(between, 10).mean(),
        "group": (group.max(axis=1) / group.mean(axis=1)).mean(),
    }


def _top(falling: np.ndarray, share: float) -> float:
    num_experts = falling.shape[1]
    return falling[:, : max(1, round(share * num_experts))].sum(axis=1).mean() / num_experts
