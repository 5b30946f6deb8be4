"""Others that split loads over copies: SciPy's linear programming, and SGLang's `lp` dispatch.

SGLang 0.5.23 solves one linear program a layer and batch with five steps of an interior point
method in float32, in one CUDA block [1]_. That kernel needs a Hopper GPU; its released files also
hold the same steps in torch for their own tests, which run anywhere. Those are called here, on the
program that its `LPLBSolver` sets up: the largest load M and every copy's tokens x of experts with
several copies, with slacks, shares of the layer's total, and a column for a start at all ones.

References
----------
.. [1] SGLang 0.5.23, `srt/eplb/lplb_solver.py`, `kernels/jit/csrc/lplb/ipm.cuh` and
   `test/kernels/lplb.py`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.rivals import find_engine_files, load_alone
from eplb_opt.engines.tensors import cpu_tensor

if TYPE_CHECKING:
    from eplb_opt.bench.dispatch_case import Case, Split

#: Where SGLang keeps the steps in torch, and what its kernel has room for.
SGLANG_STEPS = "sglang/test/kernels"
SGLANG_ROOM = "sglang/kernels/ops/lplb"
#: Cost of the column that starts the method, as SGLang sets it.
START_COST = 1000.0


class SlotProgram:
    """One layer's linear program over slots: equality rows by expert, then rows by GPU.

    Parameters
    ----------
    row
        int64 [num_slots], logical ids.
    """

    def __init__(self, row: np.ndarray, num_experts: int, num_gpus: int) -> None:
        counts = np.bincount(row, minlength=num_experts)
        self.row = row
        self.gpu = np.arange(len(row)) // (len(row) // num_gpus)
        self.free = np.flatnonzero(counts[row] > 1)
        self.fixed = np.flatnonzero(counts[row] == 1)
        self.several = np.flatnonzero(counts > 1)
        self.by_expert = (row[self.free] == self.several[:, None]).astype(np.float64)
        self.by_gpu = (self.gpu[self.free] == np.arange(num_gpus)[:, None]).astype(np.float64)
        self.num_gpus = num_gpus

    def fixed_loads(self, load: np.ndarray) -> np.ndarray:
        """What experts with one copy put on each GPU, float64 [num_gpus]."""
        fixed = self.fixed
        return np.bincount(self.gpu[fixed], load[self.row[fixed]], self.num_gpus)

    def weights(self, tokens: np.ndarray) -> np.ndarray:
        """Shares by slot of what the free slots get; even where an expert gets nothing."""
        weights = np.ones(len(self.row))
        tokens = np.maximum(tokens, 0)
        total = (self.by_expert @ tokens) @ self.by_expert
        even = (1 / self.by_expert.sum(1)) @ self.by_expert
        weights[self.free] = np.where(total > 0, tokens / np.where(total > 0, total, 1), even)
        return weights


class _ByLayer(ABC):
    """A solver of one layer's program, over all layers and batches."""

    note = ""

    def __init__(self, case: Case) -> None:
        num_experts = case.load.shape[2]
        self.programs = [SlotProgram(row, num_experts, case.num_gpus) for row in case.placed]

    def __call__(self, load: np.ndarray) -> np.ndarray:
        return np.array(
            [
                [self.programs[i].weights(self.solve(i, row)) for i, row in enumerate(rows)]
                for rows in load
            ]
        )

    @abstractmethod
    def solve(self, layer_idx: int, load: np.ndarray) -> np.ndarray:
        """Tokens of the free slots."""


class _LinearProgram(_ByLayer):
    """SciPy's HiGHS; the matrices are sparse and made once."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        sparse = importlib.import_module("scipy.sparse")
        self.linprog = importlib.import_module("scipy.optimize").linprog
        self.matrices = [
            (
                sparse.csr_array(np.c_[p.by_gpu, -np.ones(p.num_gpus)]),
                sparse.csr_array(np.c_[p.by_expert, np.zeros(len(p.several))]),
                np.r_[np.zeros(len(p.free)), 1],
            )
            for p in self.programs
        ]

    def solve(self, layer_idx: int, load: np.ndarray) -> np.ndarray:
        program = self.programs[layer_idx]
        upper, equal, cost = self.matrices[layer_idx]
        limits, tokens = -program.fixed_loads(load), load[program.several]
        found = self.linprog(cost, upper, limits, equal, tokens, method="highs")
        return np.asarray(found.x[:-1])


class _SGLang(_ByLayer):
    """SGLang's steps in torch, on the CPU."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        files = find_engine_files()
        importlib.import_module("torch").set_num_threads(1)  # all programs have one core
        self.step = load_alone(files, SGLANG_STEPS, "lplb").solve_ipm_torch_reference
        room = load_alone(files, SGLANG_ROOM, "shmem_budget")
        self.matrices = [self._matrix(program) for program in self.programs]
        refused = sum(not room.fits(a.shape[0], a.shape[1] + 1) for a in self.matrices)
        self.unsolved: dict[tuple[int, bytes], bool] = {}
        self.refused = f"{refused} of {len(self.matrices)} layers are too large for its kernel"

    @property
    def note(self) -> str:  # type: ignore[override]
        """What its own checks say."""
        failed = f"{sum(self.unsolved.values())} of {len(self.unsolved)} not converged"
        return f"{failed}; {self.refused}"

    @staticmethod
    def _matrix(program: SlotProgram) -> np.ndarray:
        """Columns: copies, slacks, M. Rows: experts with several copies, GPUs."""
        several, gpus = len(program.several), program.num_gpus
        above = np.c_[program.by_expert, np.zeros((several, gpus + 1))]
        below = np.c_[program.by_gpu, np.eye(gpus), -np.ones(gpus)]
        return np.concatenate([above, below]).astype(np.float32)

    def solve(self, layer_idx: int, load: np.ndarray) -> np.ndarray:
        program, matrix = self.programs[layer_idx], self.matrices[layer_idx]
        share = load / max(load.sum(), 1.0)
        right = np.r_[share[program.several], -program.fixed_loads(share)].astype(np.float32)
        full = np.c_[matrix, right - matrix.sum(1)]
        cost = np.zeros(full.shape[1], dtype=np.float32)
        cost[-2:] = 1, START_COST
        found = self.step(cpu_tensor(full), cpu_tensor(right), cpu_tensor(cost))
        x = np.array(found.tolist())
        self.unsolved[layer_idx, load.tobytes()] = bool((x == 0.5).all())
        return np.array(x[: len(program.free)])


def linear_program(case: Case) -> Split:
    """SciPy's linear programming."""
    return _LinearProgram(case)


def sglang_reference(case: Case) -> Split:
    """SGLang's solver, as far as it runs without a GPU.

    Raises
    ------
    ProblemError, FormatError
        When its files are not there.
    """
    return _SGLang(case)
