"""The check of plans for the GPUs that are left."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, PlanError
from eplb_opt.engines.serving.call import require_homes

ACTIVE = np.array([True, False, True])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0, 1, 2, -1, 2, 3], "GPU 1 is lost, but holds an expert"),
        ([0, 1, -1, -1, 2, -1], "GPU 2 is there, but has an empty slot"),
        ([0, 1, -1, -1, 2, 2], "expert 3 is on no GPU"),
    ],
)
def test_a_plan_that_forgets_a_lost_gpu_or_an_expert_is_refused(row, words):
    with pytest.raises(PlanError, match=words):
        require_homes(Plan([row], 3, 4), ACTIVE)


def test_a_call_with_a_lost_gpu_is_checked(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "eplb_opt.engines.serving.call.require_homes", lambda plan, active: seen.append(active)
    )
    eplb_opt.rebalance_experts(
        [[3, 2, 1, 1]], 6, 1, 1, 3, effort=5, current=[[0, 1, 2, 3, 0, 2]], active_gpus=ACTIVE
    )
    assert [mask.tolist() for mask in seen] == [[True, False, True]]
