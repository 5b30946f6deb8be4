"""The stored load files: recipes that make each anew, byte for byte, and the files' own words."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

# The room's front page first: its modules import each other.
import eplb_opt.io  # noqa: F401
from eplb_opt.bench import generator
from eplb_opt.io.containers.npz import npz_bytes
from eplb_opt.problem.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = "routed (token, expert) assignments"
#: Layers of the hard problems of a large model.
SIX = (0, 10, 20, 30, 40, 50)


@dataclass(frozen=True)
class Generated:
    """Loads in the shape of a profile.

    Parameters
    ----------
    profile, num_layers, num_experts, seed
        The arguments of `generate_loads`.
    first_layer
        Place of the first MoE layer among the hidden layers: the dense ones come before.
    model
        The model whose shape it is.
    """

    profile: str
    num_layers: int
    num_experts: int
    seed: int
    first_layer: int
    model: str

    @property
    def recipe(self) -> str:
        """How the loads are made, in words."""
        return f"profile {self.profile}"

    def load(self) -> np.ndarray:
        """Loads as the generator makes them, int64 tokens, [num_layers, num_experts]."""
        return generator.generate_loads(self.profile, self.num_layers, self.num_experts, self.seed)


@dataclass(frozen=True)
class Workloads:
    """Loads of several workloads of one model.

    Parameters
    ----------
    profile, num_layers, num_experts, seed, num_scenarios, part
        The arguments of `scenario_loads`.
    first_layer
        Place of the first MoE layer among the hidden layers.
    model
        The model whose shape it is.
    """

    profile: str
    num_layers: int
    num_experts: int
    seed: int
    num_scenarios: int
    part: int
    first_layer: int
    model: str

    @property
    def recipe(self) -> str:
        """How the loads are made, in words."""
        return f"profile {self.profile}, {self.part} thousandths of a workload its own"

    def load(self) -> np.ndarray:
        """Loads as the generator makes them, int64 [num_scenarios, num_layers, num_experts]."""
        return generator.scenario_loads(
            self.profile,
            self.num_layers,
            self.num_experts,
            self.seed,
            self.num_scenarios,
            self.part,
        )


@dataclass(frozen=True)
class Zipf:
    """Loads that fall with a power of the rank.

    Parameters
    ----------
    exponent, num_layers, num_experts, seed
        The arguments of `zipf_loads`.
    """

    exponent: int
    num_layers: int
    num_experts: int
    seed: int
    first_layer = 0

    @property
    def recipe(self) -> str:
        """How the loads are made, in words."""
        return f"Zipf's law with exponent {self.exponent} thousandths"

    @property
    def model(self) -> str:
        """No model; the law."""
        return f"no model: Zipf {self.exponent / 1000:g}"

    def load(self) -> np.ndarray:
        """Loads as the generator makes them, int64 tokens, [num_layers, num_experts]."""
        return generator.zipf_loads(self.exponent, self.num_layers, self.num_experts, self.seed)


@dataclass(frozen=True)
class Given:
    """Loads that are written down in this module.

    Parameters
    ----------
    rows
        Tokens, [num_layers][num_experts].
    model
        The model whose shape the loads have.
    first_layer
        Place of the first MoE layer among the hidden layers, counted from 0.
    """

    rows: tuple[tuple[int, ...], ...]
    model: str
    first_layer: int = 0
    seed = -1
    recipe = "written down"

    @property
    def num_layers(self) -> int:
        """Layers of the loads, one a row."""
        return len(self.rows)

    @property
    def num_experts(self) -> int:
        """Logical experts of a layer."""
        return len(self.rows[0])

    def load(self) -> np.ndarray:
        """Loads as they stand here, int64 tokens, [num_layers, num_experts]."""
        return np.array(self.rows, dtype=np.int64)


Source = Generated | Workloads | Zipf | Given

#: The two layers of DeepSeek's README and the example of a hot pair.
README = (
    (90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86),
    (20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27),
)
HOT_PAIR = ((600, 560, 120, 120, 20, 10, 10, 10),)
#: What planners stumble over.
EQUAL = ((100,) * 16, (0,) * 16)
ONE_HOT = ((0,) * 15 + (1000,), (1,) * 8 + (10**6,) + (1,) * 7)
SILENT_LAYER = (README[0], (0,) * 12, README[1])
HUGE = (tuple(2**40 + 3**expert for expert in range(24)),)
POWERS = (
    tuple(2**expert for expert in range(12)),
    tuple(2 ** (expert // 2) for expert in range(12)),
)
PRIMES = ((2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37),)
FEW_TOKENS = tuple(
    tuple(int(expert * step % 64 < tokens) for expert in range(64))
    for step, tokens in ((1, 8), (7, 24), (13, 60))
)

#: One file a model shape. Of the seeds 0 to 23, the first five have those whose figures came
#: closest to the recorded.
LOAD_FILES: dict[str, Source] = {
    "deepseek-v3": Generated("deepseek-v3", 58, 256, 5, 3, "DeepSeek-V3, synthetic"),
    "qwen3-235b": Generated("deepseek-v2-lite", 94, 128, 8, 0, "Qwen3-235B-A22B, synthetic"),
    "kimi-k2": Generated("kimi-k2", 60, 384, 5, 1, "Kimi-K2, synthetic"),
    "gpt-oss-120b": Generated("gpt-oss", 36, 128, 1, 0, "gpt-oss-120b, synthetic"),
    "mixtral-8x7b": Generated("mixtral", 32, 8, 0, 0, "Mixtral-8x7B, synthetic"),
    "readme": Given(README, "the example of DeepSeek EPLB's README"),
    "hot-pair": Given(HOT_PAIR, "two hot experts of eight"),
    "phi-3.5-moe": Generated("mixtral", 8, 16, 1, 0, "the shape of Phi-3.5-MoE, synthetic"),
    "experts-512": Generated("kimi-k2", 4, 512, 1, 0, "512 experts, synthetic"),
    "twelve": Generated("lognormal-1.0", 6, 12, 2, 0, "no model: 12 experts"),
    "lognormal-0.5": Generated("lognormal-0.5", 6, 64, 0, 0, "no model: lognormal, width 0.5"),
    "lognormal-1.0": Generated("lognormal-1.0", 6, 64, 0, 0, "no model: lognormal, width 1"),
    "lognormal-1.5": Generated("lognormal-1.5", 6, 64, 0, 0, "no model: lognormal, width 1.5"),
    "zipf-0.8": Zipf(800, 6, 64, 0),
    "zipf-1.2": Zipf(1200, 6, 64, 0),
    "deepseek-v3-day": Workloads(
        "deepseek-v3", 6, 256, 40, 4, 400, 3, "DeepSeek-V3, four workloads, synthetic"
    ),
    "qwen3-235b-day": Workloads(
        "deepseek-v2-lite", 6, 128, 50, 3, 300, 0, "Qwen3-235B-A22B, three workloads, synthetic"
    ),
    "mixtral-8x7b-day": Workloads(
        "lognormal-0.5", 8, 8, 60, 6, 600, 0, "Mixtral-8x7B, six workloads, synthetic"
    ),
    "equal": Given(EQUAL, "no model: all experts alike, and none with load"),
    "one-hot": Given(ONE_HOT, "no model: one expert has all, or nearly all"),
    "silent-layer": Given(SILENT_LAYER, "no model: a layer without load between two others"),
    "one-expert": Given(((7,), (0,)), "no model: a single expert"),
    "few-tokens": Given(FEW_TOKENS, "no model: a token an expert, or none"),
    "huge": Given(HUGE, "no model: loads above 2**40"),
    "powers": Given(POWERS, "no model: powers of two"),
    "primes": Given(PRIMES, "no model: the first primes"),
}

#: SHA-256 of the stored files.
DIGESTS: dict[str, str] = {
    "deepseek-v3": "9d2664632cfc1103f29c11bf3538db3f23d88b5a14ed505c36efecb8a7ca5ebc",
    "qwen3-235b": "5f411022e5626a759220742c62c848a8348f4802f42ab43a09fdb4c99f4cea4a",
    "kimi-k2": "123eaac1c1a37bc7c279830bea02c7ecf69bf6f0041ee7d0e8f90c30d5f2474f",
    "gpt-oss-120b": "e1c4536ff784d5fb619ac9c7ef99aa6fd205afa71502e7290cf8fd26535df711",
    "mixtral-8x7b": "dc05cb6c4edf22ad4cbb9d1681ac81436c969bae6e105cb8ded74a428afbfb31",
    "readme": "a2087baa6ef482500ad34c3e7d217338d7dcd570f6dd273d9054a6f8146b3f2d",
    "hot-pair": "4e3281656a36156d7b7832c2112b063ef7b1e043b247ac0684541a5ce2e09dd5",
    "phi-3.5-moe": "13d3406fee9dbbc3aeaded7fa8ccc90132f41a0b7631ebbf85d40479c37092b3",
    "experts-512": "1393acaebabb931911a8a090f87cf0f14d83637a41eaf2d193186120599ee669",
    "twelve": "49f0d6ca44386ffdacdd4a3ad30c346fa75a5ebf10d259a8de47cf0f41847750",
    "lognormal-0.5": "ad73a20bc80b4fe56a7a73f78bf49b631e98fb5fbf1e1b8baa0d7db3b49bafaf",
    "lognormal-1.0": "6e1d145f2ed0ee802abf2511c64939d0fc34437512ae17c2d49b67669011ba7a",
    "lognormal-1.5": "6bc5b785174b9f6f965c7f0a6460def5d284cc040de738b0131c790ba28ef229",
    "zipf-0.8": "bc2da0a5e5c77d592d77ce48a5069c82020a706c538b0a631aedd2602e56baae",
    "zipf-1.2": "dd1bb1144924b2e35131913a594aefea3ebf281a008e9de4ed2736f50cb89bf0",
    "deepseek-v3-day": "38aa93c5472d89e3abfaf9554cdc866db3f13cb2fa12352fbe60de3452cf57f6",
    "qwen3-235b-day": "51e5eb85db6c301f1e767aa38712e81b7e11dceab843d70734bf14f99c055d54",
    "mixtral-8x7b-day": "08b619d33686c69d14ff15ce2821bcbc38ac6c82302ec6bf9854a1dc7ae19236",
    "equal": "105d5b30db4ba9834271b029dcde82db340361f75654d4c2fadd1163eb31b196",
    "one-hot": "9982110b933653d0479fabec71ed513c31c20777b8b942468206a5d78c72412d",
    "silent-layer": "c832904b583cacfa2db7eeaf0530425a86fb14a8bea8b86260e14923d4ff4f49",
    "one-expert": "64e1ad74728223c34ee3bc63236d1ebc2cbe7b30c3202ebc33082e537f7ba093",
    "few-tokens": "d8b7154747a65193c4dbeb05b4fb90c1f5cdeca820ed8aeafc19cb7e9bfe55d2",
    "huge": "2b08f80d817ee348f596e36d70bf4e779d013004f572b9d4b097e358f4b77181",
    "powers": "7cc8beae41ff85c7091d10a57f11c8172d81e8a7d67afcd0f374fac7e364792c",
    "primes": "42f20d6e0b859b12f708fdebc9589772b94aea86b7fa59e52abc13f7f5ea9016",
}


@dataclass(frozen=True)
class InForce:
    """A plan in force: the greedy's, for loads as they were before they changed.

    Parameters
    ----------
    loads
        A name of `LOAD_FILES`, of a generated file.
    layers
        Places of the layers in it; all of them where there are none.
    machine
        Slots and GPUs, as `Machine.parse` reads them.
    part
        Thousandths of the earlier loads that have gone since then.
    """

    loads: str
    layers: tuple[int, ...]
    machine: str
    part: int

    def plan(self) -> np.ndarray:
        """The map, int64 [num_layers, num_slots]."""
        from heuristics.greedy import rebalance_experts

        source = LOAD_FILES[self.loads]
        if not isinstance(source, Generated):  # the table is ours: a slip of the pen
            raise TypeError(f"{self.loads} is not generated.")
        shape = source.profile, source.num_layers, source.num_experts
        gone = generator.generate_loads(*shape, source.seed + 1)
        load = (source.load() * (1000 - self.part) + gone * self.part) // 1000
        machine = Machine.parse(self.machine)
        chosen = load[list(self.layers) or slice(None)].astype(np.float64)
        sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
        return np.asarray(rebalance_experts(chosen, *sizes)[0], dtype=np.int64)


IN_FORCE: dict[str, InForce] = {
    "deepseek-v3-288-32": InForce("deepseek-v3", SIX, "288x32", 100),
    "deepseek-v3-288-72": InForce("deepseek-v3", SIX, "288x72", 100),
    "deepseek-v3-288-144": InForce("deepseek-v3", SIX, "288x144", 100),
    "gpt-oss-120b-160-32": InForce("gpt-oss-120b", (0, 7, 14, 21, 28, 35), "160x32", 200),
    "mixtral-8x7b-16-8": InForce("mixtral-8x7b", (), "16x8", 500),
}


@cache
def load_file_content(name: str) -> bytes:
    """The bytes of a load file, made anew; stored, not deflated: zlib's output varies.

    Parameters
    ----------
    name
        A key of `LOAD_FILES`.
    """
    source = LOAD_FILES[name]
    version = generator.VERSION if source.seed >= 0 else 0
    texts = {"model": source.model, "units": UNITS, "generator": source.recipe}
    numbers = {"seed": source.seed, "generator_version": version}
    return packed_loads(source.load(), source.first_layer, texts, numbers)


def packed_loads(
    load: np.ndarray, first_layer: int, texts: Mapping[str, str], numbers: Mapping[str, int]
) -> bytes:
    """A load file that says of itself what it holds.

    Parameters
    ----------
    load
        Whole numbers, [num_layers, num_experts] or with a leading number of snapshots.
    first_layer
        Place of the first MoE layer among the hidden layers.
    texts, numbers
        What the file says of itself, by name.
    """
    kind = next(k for k, size in (("<u2", 16), ("<u4", 32), ("<u8", 64)) if load.max() < 2**size)
    layer_ids = np.arange(first_layer, first_layer + load.shape[-2])
    arrays = {
        "load": load.reshape(-1, *load.shape[-2:]).astype(kind),
        "layer_ids": layer_ids.astype("<i8"),
        **{key: np.array(text).astype(f"<U{max(len(text), 1)}") for key, text in texts.items()},
        **{key: np.array(number).astype("<i8") for key, number in numbers.items()},
    }
    return npz_bytes(arrays, zipfile.ZIP_STORED)


@cache
def in_force_content(name: str) -> bytes:
    """The bytes of a plan in force, made anew.

    Parameters
    ----------
    name
        A key of `IN_FORCE`.
    """
    source = IN_FORCE[name]
    said = f"the greedy's plan for {source.loads}, of which {source.part} thousandths were others"
    arrays = {
        "physical_to_logical": source.plan().astype("<i2"),
        "made_for": np.array(said).astype(f"<U{len(said)}"),
    }
    return npz_bytes(arrays, zipfile.ZIP_STORED)


def digest(content: bytes) -> str:
    """SHA-256, as in `DIGESTS`."""
    return hashlib.sha256(content).hexdigest()
