"""Answers in the caller's kind: tensors where a tensor came in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np


def like(model: Any, array: np.ndarray) -> Any:
    """A torch tensor on the model's device where that is one, else a writable array."""
    if not hasattr(model, "detach"):
        return array.copy()
    return cpu_tensor(array).to(model.device)


def cpu_tensor(array: np.ndarray) -> Any:
    """A copy as a torch tensor on the host.

    Raises
    ------
    MissingDependency
        Without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", "heuristics") from error
    return torch.from_numpy(array.copy())
