"""How a plan gets into its engine, with the options that the guide names."""

import re

import pytest

import eplb_opt
from eplb_opt.guide import read_topic
from eplb_opt.report.deployment import FLAGS, Deployment

PROBLEM = eplb_opt.Problem([[6, 4, 2]], 4, 2)
DEPLOYING = read_topic("deploying") + read_topic("serving")


def steps(engine, problem=PROBLEM, path="plan.json"):
    return Deployment(path, engine, "ab", "eplb-opt check plan.json").steps(problem)


@pytest.mark.parametrize("engine", [*FLAGS, "npz"])
def test_the_check_comes_first(engine):
    first, *others = steps(engine)
    assert first.code == "eplb-opt check plan.json"
    assert others


@pytest.mark.parametrize("engine", FLAGS)
def test_options_are_those_of_the_guide(engine):
    text = " ".join(step.words + " " + step.code for step in steps(engine)[1:])
    named = re.findall(r"--[a-z-]+|[A-Z_]{6,}|\b[a-z]+_[a-z_]+\b", text)
    assert named
    assert [name for name in named if name not in DEPLOYING] == []


def test_sglang_is_told_how_many_slots_are_redundant_and_which_dispatch():
    assert steps("sglang")[1].code.endswith("--ep-num-redundant-experts 1")
    optimal = eplb_opt.Problem([[6, 4, 2]], 4, 2, dispatch="optimal")
    assert steps("sglang", optimal)[1].code.endswith("--ep-dispatch-algorithm lp")


def test_a_path_with_blanks_can_be_pasted():
    assert "'my plan.json'" in steps("sglang", path="my plan.json")[1].code
