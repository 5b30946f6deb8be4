"""The textfile, read as Prometheus reads it."""

import sys

import pytest

from eplb_opt.errors import MissingDependency
from eplb_opt.workloads.watch import Figures, State, import_prometheus, write_metrics
from tests.workloads.watch.places import Place, drifted

prometheus = pytest.importorskip("prometheus_client")


def samples(path):
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_every_figure_has_a_sample_under_its_name(tmp_path):
    figures = Figures(0.9, 0.8, 0.01, 0.7, 0.6, 12, is_written=False)
    state = State(planned_at=1000.0, figures=figures, rounds={"kept": 3, "failed": 2})
    write_metrics(tmp_path / "a.prom", state, 1600.0, expert_bytes=5)
    assert samples(tmp_path / "a.prom") == {
        ("eplb_opt_rounds_total", "kept"): 3,
        ("eplb_opt_rounds_total", "failed"): 2,
        ("eplb_opt_failures_total",): 2,
        ("eplb_opt_last_round_timestamp_seconds",): 1600,
        ("eplb_opt_plan_timestamp_seconds",): 1000,
        ("eplb_opt_plan_age_seconds",): 600,
        ("eplb_opt_balancedness", "all", "in_force"): 0.7,
        ("eplb_opt_balancedness", "worst", "in_force"): 0.6,
        ("eplb_opt_balancedness", "all", "before"): 0.7,
        ("eplb_opt_balancedness", "worst", "before"): 0.6,
        ("eplb_opt_balancedness", "all", "planned"): 0.9,
        ("eplb_opt_balancedness", "worst", "planned"): 0.8,
        ("eplb_opt_plan_gap_ratio",): 0.01,
        ("eplb_opt_plan_moves",): 12,
        ("eplb_opt_plan_moves_bytes",): 60,
    }


def test_once_written_the_new_plan_is_the_one_in_force(tmp_path):
    state = State(figures=Figures(0.9, 0.8, 0.01, 0.7, 0.6, 12, is_written=True))
    write_metrics(tmp_path / "a.prom", state, 1.0)
    found = samples(tmp_path / "a.prom")
    assert found["eplb_opt_balancedness", "worst", "in_force"] == 0.8
    assert ("eplb_opt_plan_moves_bytes",) not in found


def test_before_the_first_plan_there_are_no_figures(tmp_path):
    write_metrics(tmp_path / "a.prom", State(), 1.0)
    assert ("eplb_opt_plan_gap_ratio",) not in samples(tmp_path / "a.prom")


def test_a_watch_writes_them_at_every_round_and_its_clock_ages_the_plan(tmp_path):
    place, target = Place(tmp_path), tmp_path / "eplb.prom"
    watch = place.watch(metrics=target)
    assert watch.round().error is not None
    assert samples(target)["eplb_opt_failures_total",] == 1
    place.record()
    watch.round()
    place.clock += 500
    watch.round()
    found = samples(target)
    assert found["eplb_opt_plan_age_seconds",] == 500
    assert found["eplb_opt_rounds_total", "unchanged"] == 1
    place.record(load=drifted(1), at=9)
    done = watch.round()
    assert samples(target)["eplb_opt_plan_moves",] == done.figures.moves
    assert samples(target)["eplb_opt_plan_age_seconds",] == 0
    assert [path.name for path in tmp_path.glob("eplb.prom*")] == ["eplb.prom"]


def test_a_place_that_takes_no_metrics_is_noted_and_costs_no_map(tmp_path):
    place = Place(tmp_path)
    place.record()
    done = place.watch(metrics=tmp_path / "absent" / "eplb.prom").round()
    assert "eplb.prom: cannot be written" in done.line
    assert place.map.exists()


def test_the_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingDependency, match=r"eplb-opt\[watch\]"):
        import_prometheus()
