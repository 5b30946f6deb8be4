"""The host process stays as it was: handlers, locale, filters, threads, random state and the rest.

Each call runs in a fresh process, so that what the first import of a package does is seen too.
"""

import os
import subprocess
import sys

import pytest

from eplb_opt.exact import MODELS

HOST = """
import decimal, gc, locale, os, random, signal, sys, threading, warnings
import numpy as np

def handler(number, frame):
    raise SystemExit(f"signal {number} reached the host")

for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
    signal.signal(getattr(signal, name), handler)
warnings.simplefilter("error", ResourceWarning)
locale.setlocale(locale.LC_ALL, "C")
random.seed(3), np.random.seed(3)

def arrays(state):
    return tuple(x.tolist() if isinstance(x, np.ndarray) else x for x in state)

def host():
    kept = {
        "handlers": [signal.getsignal(n) for n in sorted(signal.valid_signals())],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "locale": locale.setlocale(locale.LC_ALL, None),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "random": random.getstate(),
        "numpy random": arrays(np.random.get_state()),
        "numpy errors": np.geterr(),
        "numpy print": np.get_printoptions(),
        "decimal": repr(decimal.getcontext()),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "recursion": sys.getrecursionlimit(),
        "switches": sys.getswitchinterval(),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "trace": (sys.gettrace(), sys.getprofile()),
    }
    kept["umask"] = os.umask(0o022)
    os.umask(kept["umask"])
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        kept["torch threads"] = torch.get_num_threads(), torch.get_num_interop_threads()
        kept["torch random"] = torch.get_rng_state().tolist()
        kept["torch modes"] = (
            torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_inference_mode_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.get_default_device(),
        )
    return kept

loads = np.random.default_rng(0).integers(1, 1000, (2, 12))
BEFORE
state = host()
CALL
# A call that is out of time does not wait for a thread that still loads a package.
for thread in threading.enumerate():
    if thread.name.startswith("eplb-opt"):
        thread.join()
after = host()
changed = [name for name in state if state[name] != after[name]]
assert not changed, {name: (state[name], after[name]) for name in changed}
os.kill(os.getpid(), signal.SIGINT)
"""

PLAIN = "import eplb_opt; from eplb_opt import Problem"
WITH_TORCH = f"import torch; torch.manual_seed(5); {PLAIN}"
FLAT, NODES = "Problem(loads, 16, 8)", "Problem(loads, 16, 8, num_nodes=2, num_groups=4)"
RULES = "Problem(loads, 24, 6, gpu_speed=[1, 1, 1, 1, 1, 2], pinned=[(0, 1)])"
FREE = "Problem(np.stack([loads, loads[::-1]]), 16, 8, dispatch='optimal')"
HELD = "[[*range(12), 0, 1, 2, 3]] * 2"
CALLS = {
    **{f"plan {name}": f"eplb_opt.plan({FLAT}, effort=3, model='{name}')" for name in MODELS},
    "nodes": f"eplb_opt.plan({NODES}, effort=3)",
    "rules": f"eplb_opt.plan({RULES}, effort=3)",
    "optimal dispatch": f"eplb_opt.plan({FREE}, effort=2)",
    "a clock": f"eplb_opt.plan({FLAT}, time_limit=3, workers=2)",
    "few moves": f"eplb_opt.plan({FLAT}, effort=1, current={HELD}, max_moves=3)",
    "frontier": f"eplb_opt.frontier({FLAT}, {HELD}, effort=1)",
    "bounds": f"eplb_opt.lower_bound({NODES}, time_limit=3)",
    "loss": f"eplb_opt.plan_for_loss({FLAT.replace('16', '32')}, of='gpu', effort=1)",
    "rebalance": "eplb_opt.rebalance_experts(loads, 16, 1, 1, 8, effort=9)",
    "rebalance in time": "eplb_opt.rebalance_experts(loads, 16, 4, 2, 8, time_limit=0.1)",
    "warmup": "eplb_opt.warmup()",
    "dispatch": f"eplb_opt.dispatch({HELD}, loads, num_gpus=8)",
}
HEURISTICS = """
from heuristics import HEURISTICS
weight = torch.from_numpy(loads).float()
for call in HEURISTICS.values():
    call(weight, 16, 4, 2, 8)
"""


def run_in_host(call, before=PLAIN, folder=None):
    code = HOST.replace("BEFORE", before).replace("CALL", call)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )


def assert_untouched(done, signal_number=2):
    assert done.stderr.strip().splitlines()[-1:] == [f"signal {signal_number} reached the host"]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_host_as_it_was(name, tmp_path):
    if name.endswith("milp"):
        pytest.importorskip("pulp")
    assert_untouched(run_in_host(CALLS[name], folder=tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_published_heuristics_leave_the_host_as_it_was(tmp_path):
    pytest.importorskip("torch")
    assert_untouched(run_in_host(HEURISTICS, WITH_TORCH, tmp_path))


def test_a_call_leaves_torch_as_it_was(tmp_path):
    pytest.importorskip("torch")
    assert_untouched(run_in_host(CALLS["rebalance"] + "; " + CALLS["nodes"], WITH_TORCH, tmp_path))


def test_cp_sat_runs_in_these_calls(tmp_path):
    """Otherwise the handlers would be looked after for nothing."""
    pytest.importorskip("ortools")
    call = CALLS["plan cpsat"].replace("(loads, 16, 8)", "(loads, 16, 8, colocation='forbid')")
    asked = f"{call}; assert 'ortools.sat.python.cp_model' in sys.modules"
    assert_untouched(run_in_host(asked, folder=tmp_path))
