import numpy as np
import pytest

from eplb_opt import Problem, Topology, topologies

pytest.importorskip("matplotlib")

from eplb_opt import plots


@pytest.fixture(scope="module")
def report():
    load = (np.random.default_rng(2).lognormal(0, 1.2, (1, 16)) * 1000).astype(np.int64)
    problem = Problem(load, 24, 4, num_nodes=2, num_groups=4, topology=Topology())
    return topologies(problem, prices=(0.1, 0.5), effort=2, workers=1)


def test_every_plan_is_drawn_where_it_stands(report):
    ax = plots.topology(report)
    lines = {line.get_label(): line for line in ax.get_lines()}
    for kind in ("strict", "anchored", "priced", "flat"):
        rows = sorted((r for r in report.rows if r.kind == kind), key=lambda r: r.off_home)
        assert np.allclose(lines[kind].get_xdata(), [100 * row.off_home for row in rows])
        assert np.allclose(lines[kind].get_ydata(), [100 * (row.load - 1) for row in rows])


def test_no_plan_lies_in_the_impossible_part(report):
    ax = plots.topology(report)
    (part,) = ax.collections
    vertices = part.get_paths()[0].vertices
    for row in report.rows:
        near = vertices[np.abs(vertices[:, 0] - 100 * row.off_home) < 0.2]
        if len(near):
            assert 100 * (row.load - 1) >= near[:, 1].max() - 0.5


def test_where_gpus_send_the_axis_is_of_what_crosses_and_equal_marks_share_a_name():
    load = (np.random.default_rng(2).lognormal(0, 1.2, (1, 16)) * 1000).astype(np.int64)
    asked = Problem(load, 24, 4, 2, 4, dispatch="nearest")
    report = topologies(asked, prices=(0.4, 0.5), effort=5, workers=1)
    ax = plots.topology(report)
    assert ax.get_xlabel() == "% of assignments that cross nodes"
    priced = [row for row in report.rows if row.kind == "priced"]
    apart = {(round(100 * row.off_home, 2), round(100 * row.load - 100, 2)) for row in priced}
    texts = [text.get_text() for text in ax.texts]
    assert len(texts) == len(apart)
    assert sorted(", ".join(texts).split(", ")) == ["0.4", "0.5"]
