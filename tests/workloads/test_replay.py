"""The walk: plans from the past alone, scores on what follows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MoveCost
from eplb_opt.engines.every_rank import place
from eplb_opt.io import Trace, open_trace
from eplb_opt.io.recordings import trace
from eplb_opt.placement.moves import moved_slots, moved_slots_by_gpu
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.machine import Machine
from eplb_opt.report.replay import replay_table
from eplb_opt.workloads.replay import (
    POLICIES,
    Policy,
    ReplanLimits,
    given,
    heuristic,
    replay,
    under,
)
from eplb_opt.workloads.replay.scores import Placed, Steps
from tests.report.test_tables import text_of

MACHINE = Machine(num_slots=8, num_gpus=4)
EFFORT = ReplanLimits(effort=1, workers=1)
OURS = {name: policy for name, policy in POLICIES.items() if name not in ("limited", "worth")}


def recording(num_steps=13, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 100, (num_steps, 2, 6)) * rng.integers(1, 9, (num_steps, 1, 6))


def plans_of(load, policies=OURS, **options):
    plans = []
    options = {"every": 3, "limits": EFFORT} | options
    report = replay(
        Trace.of(load),
        MACHINE,
        policies,
        on_plan=lambda name, step, ids: plans.append((name, step, ids)),
        **options,
    )
    return plans, report


@pytest.mark.parametrize("first_unseen", [3, 6, 9])
def test_no_policy_sees_the_future(first_unseen):
    policies = {**OURS, "greedy": heuristic("greedy")}
    truth, changed = recording(), recording(seed=1) * 1000
    changed[:first_unseen] = truth[:first_unseen]

    def known(load):
        return [plan for plan in plans_of(load, policies)[0] if plan[1] <= first_unseen]

    plans = known(truth)
    assert {name for name, *_ in plans} == set(policies)
    for (name, step, ids), (_, _, again) in zip(plans, known(changed), strict=True):
        assert (ids == again).all(), (name, step)


def test_plans_are_made_before_later_steps_are_even_read():
    load = recording().astype(float)
    load[6:] = np.nan
    made = []
    with pytest.raises(eplb_opt.FormatError, match=r"load\[6, 0, 0\]"):
        replay(
            Trace.of(load),
            MACHINE,
            OURS,
            every=3,
            limits=EFFORT,
            on_plan=lambda name, step, ids: made.append((name, step)),
        )
    assert {(name, 6) for name in OURS if name != "static"} <= set(made)


def test_each_step_is_scored_under_the_plan_in_force():
    load = recording()
    plans, report = plans_of(load)
    for run in report.runs:
        mine = [(step, ids) for name, step, ids in plans if name == run.name]
        assert [step for step, _ in mine] == ([3] if run.name == "static" else [3, 6, 9, 12])
        assert len(run.held_out) == 10
        for offset, found in enumerate(run.held_out):
            ids = next(ids for step, ids in reversed(mine) if step <= 3 + offset)
            wanted = Placed(ids, 4, 6).balancedness(Steps.of(load[3 + offset][None]))[0][0]
            assert found == pytest.approx(wanted)


def test_moves_count_slots_between_plans_that_follow_each_other():
    plans, report = plans_of(recording(), {"last": POLICIES["last"]}, expert_bytes=1000)
    (run,) = report.runs
    ids = [Plan(ids, 4) for *_, ids in plans]
    between = [int(moved_slots(a, b).sum()) for a, b in pairwise(ids)]
    assert run.moves.tolist() == [0, *between]
    assert report.json()["policies"][0]["bytes"] == 1000 * sum(between)


def test_policies_see_windows_of_the_past_and_no_more_than_the_memory():
    seen = []

    def method(past):
        seen.append(past.copy())
        return POLICIES["last"].method(past)

    load = recording()
    plans_of(load, {"spy": Policy(method)}, memory=2)
    assert [len(past) for past in seen] == [1, 2, 2, 2]
    assert (seen[2] == load[3:9].reshape(2, 3, 2, 6).sum(axis=1)).all()


def test_no_policy_can_change_what_the_others_see():
    def spoil(past):
        past[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        plans_of(recording(), {"spoils": Policy(spoil)})


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_stream_is_replayed_like_an_array(tmp_path, monkeypatch, kind):
    load = recording(40)
    path = tmp_path / f"trace.{kind}"
    np.save(path, load) if kind == "npy" else np.savez_compressed(path, load=load)
    monkeypatch.setattr(trace, "CHUNK_BYTES", 2 * load[0].nbytes)
    streamed = replay(open_trace(path), MACHINE, OURS, every=7, limits=EFFORT)
    monkeypatch.undo()
    whole = replay(Trace.of(load), MACHINE, OURS, every=7, limits=EFFORT)
    for one, other in zip(streamed.runs, whole.runs, strict=True):
        assert one.held_out == pytest.approx(other.held_out)
        assert one.held_out_slots == pytest.approx(other.held_out_slots)
        assert one.moves.tolist() == other.moves.tolist()


def test_a_given_plan_stays():
    placed = [[0, 1, 2, 3, 4, 5, 0, 1]] * 2
    plans, report = plans_of(recording(), {"mine": given(placed)})
    assert [(step, ids.tolist()) for _, step, ids in plans] == [(3, placed)]
    assert report.runs[0].moves.tolist() == [0]


def test_a_policy_that_fails_says_why_and_the_others_go_on():
    broken = given([[0] * 8] * 2)
    absent = replace(
        heuristic("greedy"), planner=lambda *_: (_ for _ in ()).throw(ImportError("x"))
    )
    _, report = plans_of(recording(), {"broken": broken, "absent": absent, "last": Policy()})
    assert "expert 1 is on no GPU" in report.runs[0].problem
    assert report.runs[1].problem == "x"
    assert report.ranked()[0].name == "last"
    assert report.json()["policies"][0]["held_out"] == pytest.approx(report.runs[2].mean)


def test_steps_without_load_are_left_out_of_the_mean():
    load = recording()
    load[4] = 0
    _, report = plans_of(load, {"last": Policy()})
    (run,) = report.runs
    assert np.isnan(run.held_out[1])
    assert run.mean == pytest.approx(np.nanmean(run.held_out))


def test_plans_beat_a_random_one_on_a_load_that_stays():
    load = np.tile([[800, 100, 100, 50, 20, 10]], (9, 2, 1))
    _, report = plans_of(load, {"last": Policy(), "bad": given([[1, 2, 3, 4, 5, 5, 5, 0]] * 2)})
    best, bad = report.runs
    assert best.mean == pytest.approx(best.seen.mean())
    assert best.mean > bad.mean + 0.1


def test_nothing_to_score_and_loads_that_do_not_fit_are_refused():
    with pytest.raises(eplb_opt.ProblemError, match="nothing follows"):
        plans_of(recording(3))
    with pytest.raises(eplb_opt.ProblemError, match="num_slots=4"):
        replay(Trace.of(recording()), Machine(4, 4), OURS, every=3)
    with pytest.raises(eplb_opt.ProblemError, match="every=0"):
        plans_of(recording(), every=0)
    with pytest.raises(eplb_opt.ProblemError, match="time_limit=-1"):
        plans_of(recording(), limits=ReplanLimits(time_limit=-1))


def test_the_limited_policy_passes_its_limit_with_the_plan_in_force(monkeypatch):
    calls = []

    def planned(problem, current=None, max_moves=None, **options):
        calls.append((current, max_moves))
        return eplb_opt.plan(problem, current=current, **options)

    monkeypatch.setattr("eplb_opt.workloads.replay.policies.plan", planned)
    limits = replace(EFFORT, max_moves=2)
    plans, _ = plans_of(recording(), {"limited": POLICIES["limited"]}, limits=limits)
    assert calls[0] == (None, None)
    assert [limit for _, limit in calls[1:]] == [2, 2, 2]
    for (current, _), (*_, ids) in zip(calls[1:], plans, strict=False):
        assert (current == ids).all()


def test_sums_beyond_64_bits_are_refused_before_they_wrap():
    with pytest.raises(eplb_opt.ProblemError, match="beyond 2"):
        plans_of(np.full((9, 2, 6), 2**59))


def test_the_leader_takes_the_plan_that_was_best_on_the_steps_before():
    load = np.array([[[90, 10, 10, 10, 10, 10]] * 2] * 6 + [[[10, 10, 10, 10, 10, 90]] * 2] * 7)
    bad = [[0, 1, 2, 3, 4, 5, 5, 5]] * 2
    policies = {"bad": given(bad), "last": Policy(), "leader": POLICIES["leader"]}
    plans, report = plans_of(load, policies)
    of = {(name, step): ids for name, step, ids in plans}
    bad_run, last_run, leader = report.runs
    assert (of["leader", 3] == bad).all()  # nothing is known yet: the first of them
    for step in (6, 9, 12):
        means = bad_run.held_out[: step - 3].mean(), last_run.held_out[: step - 3].mean()
        best = of["last", step] if means[1] > means[0] else np.array(bad)
        assert (of["leader", step] == best).all()
    assert leader.moves[1] > 0
    assert leader.held_out[3:6] == pytest.approx(last_run.held_out[3:6])


def test_a_leader_of_nobody_says_so():
    _, report = plans_of(recording(), {"leader": POLICIES["leader"], "greedy": heuristic("greedy")})
    assert "no other policy" in report.runs[0].problem


def test_rows_of_both_dispatches_are_planned_and_scored_each_under_its_own():
    seen = []

    def planner(problem, current, limits):
        seen.append(problem.dispatch)
        return np.array([[0, 1, 0, 2, 1, 3, 4, 5]] * 2)

    both = under(["uniform", "optimal"], {"mine": Policy(planner=planner)})
    _, report = plans_of(recording(), both)
    uniform, optimal = report.runs
    assert (uniform.name, optimal.name) == ("mine, uniform", "mine, optimal")
    assert seen[:2] == ["uniform", "optimal"]
    assert (optimal.held_out >= uniform.held_out - 1e-9).all()
    assert optimal.mean > uniform.mean + 0.01
    assert report.dispatch == ""
    assert [row["dispatch"] for row in report.json()["policies"]] == ["optimal", "uniform"]


def test_a_leader_follows_those_of_its_own_dispatch():
    policies = {"leader": POLICIES["leader"], "last": Policy()}
    plans, report = plans_of(recording(), under(["uniform", "optimal"], policies))
    of = {(name, step): ids for name, step, ids in plans}
    for dispatch in ("uniform", "optimal"):
        for step in (3, 6, 9, 12):
            assert (of[f"leader, {dispatch}", step] == of[f"last, {dispatch}", step]).all()
    assert not any(run.problem for run in report.runs)


def test_a_single_load_is_planned_for_with_noise_for_others_follow(monkeypatch):
    noises = []

    def planned(problem, noise=None, **options):
        noises.append(noise)
        return eplb_opt.plan(problem, noise=noise, **options)

    monkeypatch.setattr("eplb_opt.workloads.replay.policies.plan", planned)
    machine = replace(MACHINE, dispatch="optimal")
    chosen = {"last": POLICIES["last"], "scenarios": POLICIES["scenarios"]}
    replay(Trace.of(recording(7)), machine, chosen, every=3, limits=EFFORT)
    assert noises[2:] == [0.3, None]
    replay(Trace.of(recording(4)), machine, chosen, every=3, limits=replace(EFFORT, noise=0.5))
    assert noises[4:] == [0.5, 0.5]


COST = MoveCost(1000, 1e6, 0.1, 0.5, 300)


def test_the_net_is_what_is_saved_less_moving_and_planning():
    policies = {"near": POLICIES["near"], "worth": POLICIES["worth"], "last": Policy()}
    limits = replace(EFFORT, move_cost=COST)
    plans, report = plans_of(recording(), policies, limits=limits)
    # Never re-planned: the first of the drop-ins' plans stays.
    first = next(ids for name, _, ids in plans if name == "near")
    _, kept = plans_of(recording(), {"never": given(first)})
    never = kept.runs[0].held_out
    for run in report.runs:
        mine = [Plan(ids, 4) for name, _, ids in plans if name == run.name]
        most = [moved_slots_by_gpu(a, b).max(axis=1).sum() for a, b in pairwise(mine)]
        assert run.busiest.tolist() == [0, *most]
        # 3 steps of the recording are 300 of the model, of which half grows with the load.
        saved = sum((1 - never / run.held_out) * 100 * 0.1 * 0.5)
        assert run.net.saved == pytest.approx(saved)
        assert run.net.moving == pytest.approx(sum(most) * 1000 / 1e6)
        assert run.net.planning == pytest.approx(run.seconds[1:].sum())
        assert run.net.total == run.net.saved - run.net.moving - run.net.planning
    assert report.expert_bytes == 1000
    assert report.json()["policies"][0]["net"]["seconds"] == report.ranked()[0].net.total
    assert report.json()["move_cost"]["steps_until_next"] == 300


def test_near_is_what_the_drop_ins_answer():
    load = recording()
    plans, _ = plans_of(load, {"near": POLICIES["near"]})
    held = None
    for _, step, ids in plans:
        held = place(load[step - 3 : step].sum(axis=0), 8, 1, 1, 4, current=held)[0]
        assert (ids == held).all()


def test_worth_never_moves_what_is_not_worth_it():
    dear = replace(EFFORT, move_cost=MoveCost(10**12, 1.0, 0.1, 0.5, 1))
    _, report = plans_of(recording(), {"worth": POLICIES["worth"]}, limits=dear)
    (run,) = report.runs
    assert run.moves.tolist() == [0, 0, 0, 0]
    assert (run.net.saved, run.net.moving) == (0, 0)
    with pytest.raises(eplb_opt.ProblemError, match="needs a move cost"):
        plans_of(recording(), {"worth": POLICIES["worth"]})


def test_who_loses_by_re_planning_is_named_the_most_first():
    dear = replace(EFFORT, move_cost=MoveCost(10**9, 1e6, 0.1, 0.5, 3))
    policies = {"near": POLICIES["near"], "worth": POLICIES["worth"], "greedy": heuristic("greedy")}
    _, report = plans_of(recording(), policies, limits=dear)
    losing = [run.name for run in report.losing]
    assert losing[:2] in (["greedy", "near"], ["near", "greedy"])
    text = text_of(replay_table(report), 160)
    assert "re-planning loses time with" in text.lower()
    assert "net" in text
    _, plain = plans_of(recording(), policies={"near": POLICIES["near"]})
    assert plain.losing == []
    assert "net" not in text_of(replay_table(plain), 160).replace("planned", "")


def test_a_net_is_against_the_plan_under_the_same_dispatch():
    limits = replace(EFFORT, move_cost=COST)
    both = under(["uniform", "optimal"], {"near": POLICIES["near"]})
    _, report = plans_of(recording(), both, limits=limits)
    assert all(run.net is not None for run in report.runs)
    assert report.runs[0].net.saved != report.runs[1].net.saved
