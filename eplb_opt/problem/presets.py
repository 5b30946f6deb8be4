"""Public figures of GPUs and of models' experts, from which `StepCost.preset` makes a roofline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of a weight.
WEIGHT_BYTES = {"fp8": 1, "bf16": 2}
#: Bytes of one number of a token on its way: FP8 to the experts and BF16 back.
WAY_BYTES = 1 + 2
#: Matrices of an expert: gate, up and down.
MATRICES = 3


@dataclass(frozen=True)
class Hardware:
    """One GPU or NPU.

    Parameters
    ----------
    bandwidth
        Bytes of memory that it reads in a second.
    peak
        Dense operations in a second, by the data type; without sparsity.
    source
        The document with the figures.
    """

    bandwidth: float
    peak: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Experts:
    """The routed experts of a model.

    Parameters
    ----------
    hidden, intermediate
        Width of a token and of an expert.
    num_experts, experts_per_token
        Routed experts of a layer, and how many of them a token takes.
    num_layers
        Layers with routed experts.
    source
        The document with the figures.
    """

    hidden: int
    intermediate: int
    num_experts: int
    experts_per_token: int
    num_layers: int
    source: str

    @property
    def weights(self) -> int:
        """Weights of one expert in one layer."""
        return MATRICES * self.hidden * self.intermediate


#: By the name in lower case.
HARDWARE: dict[str, Hardware] = {
    "h100": Hardware(3.35e12, {"fp8": 1979e12, "bf16": 989e12}, "NVIDIA H100 datasheet, SXM5"),
    "h200": Hardware(4.8e12, {"fp8": 1979e12, "bf16": 989e12}, "NVIDIA H200 datasheet, SXM5"),
    "b200": Hardware(8e12, {"fp8": 4.5e15, "bf16": 2.25e15}, "NVIDIA DGX B200 datasheet"),
    "mi300x": Hardware(
        5.3e12, {"fp8": 2614.9e12, "bf16": 1307.4e12}, "AMD Instinct MI300X data sheet"
    ),
    # It has no FP8 units: weights of 8 bits are multiplied as INT8.
    "ascend-910b": Hardware(
        1.6e12,
        {"fp8": 752e12, "bf16": 376e12},
        "Zuo et al., Serving Large Language Models on Huawei CloudMatrix384, 2025: a die of the "
        "910C",
    ),
}

#: By the name in lower case.
EXPERTS: dict[str, Experts] = {
    "deepseek-v3": Experts(7168, 2048, 256, 8, 58, "config.json of deepseek-ai/DeepSeek-V3"),
    "qwen3-235b-a22b": Experts(4096, 1536, 128, 8, 94, "config.json of Qwen/Qwen3-235B-A22B"),
    "kimi-k2": Experts(7168, 2048, 384, 8, 60, "config.json of moonshotai/Kimi-K2-Instruct"),
    "gpt-oss-120b": Experts(2880, 2880, 128, 4, 36, "config.json of openai/gpt-oss-120b"),
}


def preset_names() -> list[str]:
    """Every preset as hardware/model/dtype."""
    return ["/".join(names) for names in product(HARDWARE, EXPERTS, WEIGHT_BYTES)]


def preset_fields(hardware: str, model: str, dtype: str) -> dict[str, Any]:
    """The fields of a `StepCost` of these names.

    Raises
    ------
    ProblemError
        For a name that is unknown; it lists those that are.
    """
    gpu, experts = _known("hardware", hardware, HARDWARE), _known("model", model, EXPERTS)
    size = _known("dtype", dtype, WEIGHT_BYTES)
    return {
        "expert_bytes": float(experts.weights * size),
        "bandwidth": gpu.bandwidth,
        "flops_per_token": 2.0 * experts.weights,
        "peak": gpu.peak[dtype.lower()],
        "experts_per_token": experts.experts_per_token,
        "name": f"{hardware.lower()}/{model.lower()}/{dtype.lower()}",
    }


def way_bytes(model: str) -> float:
    """Bytes of a token's way to one expert and back: FP8 there, BF16 back."""
    return float(WAY_BYTES * _known("model", model, EXPERTS).hidden)


def _known(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    found = table.get(str(name).lower())
    if found is None:
        raise ProblemError(f"{kind}={name!r} is unknown; known: {', '.join(table)}.")
    return found
