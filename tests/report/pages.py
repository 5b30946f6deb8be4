"""Results to be reported, and the parts of a page."""

import json
import re

import numpy as np

import eplb_opt
from eplb_opt.report.gap import gap_report
from eplb_opt.report.html import write_report
from eplb_opt.report.prices import constraint_prices

#: Names of files can be anything.
HOSTILE = (
    "</script><script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>&amp;.json"
)


def planned(shape=(4, 12), **options):
    """A small result with something to tell."""
    load = np.random.default_rng(0).integers(1, 99, shape)
    problem = eplb_opt.Problem(load, 16, 4, **options)
    greedy = eplb_opt.plan(problem, time_limit=0).plan
    return eplb_opt.plan(problem, effort=2, current=greedy), greedy


def write_full_page(path):
    """A page with everything on it, under a hostile name."""
    result, greedy = planned()
    problem = result.problem
    gap = gap_report(
        problem,
        result,
        plans={HOSTILE: greedy, f"{HOSTILE} broken": [[0] * 16] * 4},
        heuristics={},
        prices=constraint_prices(
            problem, result, lambda part, name, seconds: eplb_opt.plan(part, effort=1), 1.0
        ),
    )
    held_out = {HOSTILE: np.asarray(problem.load)[:, ::-1]}
    options = {"gap": gap, "held_out": held_out, "layer_ids": [3, 4, 5, 7]}
    write_report(
        path, result, current=greedy, current_name=HOSTILE, command=f"eplb-opt {HOSTILE}", **options
    )
    return result


def data_of(page):
    """What the script of a page draws from."""
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1]

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)
