"""How a plan gets into its engine: the file, the engine's options, and the check before it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Parameters
    ----------
    words
        What it is.
    code
        What to type or to write; "" where there is nothing.
    """

    words: str
    code: str = ""


@dataclass(frozen=True)
class Deployment:
    """The file that was written, and how it is checked.

    Parameters
    ----------
    path
        The file, as it was named; "" where the plan was not saved.
    engine
        The format that it was written in, a name of `io.WRITERS`.
    fingerprint
        SHA-256 of the file.
    check
        The command that checks it.
    """

    path: str
    engine: str
    fingerprint: str = ""
    check: str = ""

    def steps(self, problem: Problem) -> list[Step]:
        """What to do, in order.

        Parameters
        ----------
        problem
            Slots and experts, which some options name.
        """
        flags = FLAGS.get(self.engine, _any_engine)
        return [Step("Check the file:", self.check), *flags(problem, shlex.quote(self.path))]


def _sglang(problem: Problem, path: str) -> list[Step]:
    redundant = problem.num_slots - problem.num_experts
    code = f"--init-expert-location {path} --ep-num-redundant-experts {redundant}"
    if problem.is_split_freely:
        code += " --ep-dispatch-algorithm lp"
    if problem.dispatch == "nearest":  # static, the default there, deals unevenly after a file
        code += " --ep-dispatch-algorithm dynamic"
    return [Step("Start SGLang with these options:", code)]


def _trtllm(problem: Problem, path: str) -> list[Step]:
    code = f"moe_config:\n  load_balancer: {path}"
    return [Step("Name it in the YAML options of TensorRT-LLM:", code)]


def _ascend(problem: Problem, path: str) -> list[Step]:
    return [Step("Name it as vllm-ascend's expert_map_path:", path)]


def _vllm(problem: Problem, path: str) -> list[Step]:
    words = "vLLM 0.33 reads no plan from a file; there the drop-in plans while it serves:"
    return [Step(words, "EPLB_OPT_VLLM=1 vllm serve ... --enable-eplb")]


def _any_engine(problem: Problem, path: str) -> list[Step]:
    return [
        Step(
            f"Load it into your engine: slot p is on GPU p // {problem.slots_per_gpu}. For an "
            "engine's own format plan with --engine, or convert:",
            f"eplb-opt convert {path} plan.json --to sglang --gpus {problem.num_gpus}",
        )
    ]


#: Options are those of the guide's page "deploying".
FLAGS: dict[str, Callable[[Problem, str], list[Step]]] = {
    "sglang": _sglang,
    "trtllm": _trtllm,
    "vllm-ascend": _ascend,
    "vllm": _vllm,
}
