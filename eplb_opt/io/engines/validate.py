"""One validator a runtime: what it would reject, said before it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.detect import CONTAINERS, container_of
from eplb_opt.io.engines import ascend, deepseek, omni, sglang, trtllm, vllm, vllm_hcu, vllm_ranks
from eplb_opt.io.engines.runtime import Runtime
from eplb_opt.io.files import naming, open_checked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eplb_opt.io.placement import StoredPlan


@dataclass(frozen=True)
class Validator:
    """The rules of one runtime.

    Parameters
    ----------
    check
        A document and what the runtime knows to the placement in it; FormatError where it is
        refused.
    extensions
        Extensions of the file for each container the runtime reads.
    keeps_apart
        Whether two replicas of an expert on a GPU are refused.
    keeps_slots
        Whether an expert that stays on its GPU must keep its slot.
    keeps_padding
        Whether slots may be empty that are so in the map in force.
    """

    check: Callable[[Any, Runtime], StoredPlan]
    extensions: dict[str, tuple[str, ...]]
    keeps_apart: bool = False
    keeps_slots: bool = False
    keeps_padding: bool = False

    def __call__(
        self,
        source: Any,
        *,
        current: np.ndarray | None = None,
        num_gpus: int | None = None,
        num_experts: int | None = None,
        num_slots: int | None = None,
        layer_ids: Sequence[int] | None = None,
        num_hidden_layers: int | None = None,
    ) -> StoredPlan:
        """The placement of a file or document as the runtime would take it.

        Parameters
        ----------
        source
            A path, or what is in the file.
        current
            The map in force, [num_layers, num_slots]; -1 is an empty slot.
        num_gpus, num_experts, num_slots
            The numbers that the runtime is started with; None is not checked.
        layer_ids
            Hidden layers that have experts.
        num_hidden_layers
            Layers of the model, dense ones included.

        Raises
        ------
        FormatError
            With the layer, and what the runtime would say or silently get wrong.
        """
        before = None if current is None else np.asarray(current)
        runtime = Runtime(num_gpus, num_experts, num_slots, layer_ids, num_hidden_layers, before)
        if not isinstance(source, str | os.PathLike):
            return self.check(source, runtime)
        with naming(source):
            return self.check(self._document(open_checked(source)), runtime)

    def _document(self, path: Path) -> Any:
        container = container_of(path)
        if container not in self.extensions:
            raise FormatError(f"this is {container}; {' or '.join(self.extensions)} is due.")
        extensions = self.extensions[container]
        if extensions and path.suffix not in extensions:
            raise FormatError(
                f"this is {container}; rename it to end in {' or '.join(extensions)}."
            )
        return CONTAINERS[container].read(path)


#: By the names of `WRITERS`. SGLang goes by the extension alone: it reads any other as JSON text.
VALIDATORS: dict[str, Validator] = {
    "sglang": Validator(sglang.check_sglang, {"json": (".json",), "pt": (".pt",)}),
    "vllm": Validator(vllm.check_vllm, {"json": (), "pt": (), "npz": ()}),
    "vllm-hcu": Validator(vllm_hcu.check_hcu, {"json": ()}),
    "vllm-ranks": Validator(vllm_ranks.check_ranks, {"json": ()}),
    "trtllm": Validator(trtllm.check_trtllm, {"yaml": ()}),
    "trtllm-config": Validator(trtllm.check_trtllm, {"yaml": ()}),
    "vllm-ascend": Validator(
        ascend.check_ascend,
        {"json": ()},
        keeps_apart=True,
        keeps_slots=True,
        keeps_padding=True,
    ),
    "omni": Validator(omni.check_omni, {"npy": ()}, keeps_apart=True),
    "deepseek": Validator(deepseek.check_deepseek, {"pt": (), "npz": ()}),
}
