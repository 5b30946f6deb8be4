"""What is known of the stored instances: only what is proven gets in, and the better stays."""

import json
import shutil
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from eplb_opt.bench import best_known, library, proofs
from eplb_opt.bench.best_known import Contradiction, Run, load_best_known, update_best_known
from eplb_opt.bench.improve import improve
from eplb_opt.bench.instance_rows import ROWS
from eplb_opt.bench.proofs import Proofs, read_proofs
from eplb_opt.certificates import Certificate, CertificateError
from eplb_opt.errors import FormatError, PlanError
from eplb_opt.placement.plan import Plan

STORED = library.find_folder()
WORKED = ("readme", "readme-h", "hot-pair")
GREEDY = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]
RUN = Run("a test", "by hand", 0.1, "2026-01-01")


@pytest.fixture
def folder(tmp_path):
    """The worked examples and their values."""
    place = tmp_path / "instances"
    (place / proofs.FOLDER).mkdir(parents=True)
    for name in (library.TABLE, "readme.npz", "hot-pair.npz"):
        shutil.copy(STORED / name, place / name)
    for name in WORKED:
        shutil.copy(STORED / proofs.FOLDER / f"{name}.npz", place / proofs.FOLDER)
    known = json.loads((STORED / best_known.FILE_NAME).read_text())
    kept = {name: known[name] for name in WORKED}
    (place / best_known.FILE_NAME).write_text(json.dumps(kept))
    return place


def trivial(problem):
    """A plan that gives the slots to the experts in turn, without certificates."""
    placed = np.tile(np.arange(problem.num_slots) % problem.num_experts, (problem.num_layers, 1))
    return Proofs(placed, [None] * problem.num_layers)


def test_values_are_known_of_every_instance():
    known = load_best_known()
    for row in ROWS:
        num_layers = library.get(row.name).problem().num_layers
        assert len(known[row.name]) == num_layers, row.name


def test_who_found_a_value_and_how_is_written_down():
    for layers in load_best_known().values():
        for layer in layers:
            for record in (layer.objective, layer.lower_bound):
                assert record.run.by.startswith("eplb-opt ")
                assert record.run.how.startswith("plan, time_limit=")
                assert record.run.date >= "2026-11-28"
            assert layer.lower_bound.proof.split()[0] in ("certificate", "recomputed")


def test_the_hot_pair_reaches_its_optimum_and_no_count_vector_beats_it():
    problem = library.get("hot-pair").problem()
    # Pairs: with two slots a GPU and equal replicas, the heaviest half meets the lightest half.
    best = min(
        paired_peak(problem.load[0].tolist(), count)
        for count in product(range(1, 9), repeat=8)
        if sum(count) == 16
    )
    assert best == Fraction(590, 3) == load_best_known()["hot-pair"][0].objective.value


def paired_peak(load, count):
    replicas = sorted(Fraction(w, c) for w, c in zip(load, count, strict=True) for _ in range(c))
    return max(replicas[i] + replicas[-1 - i] for i in range(len(replicas) // 2))


def test_a_published_plan_of_the_readme_is_no_better_than_its_optimum():
    problem = library.get("readme-h").problem()
    plan = Plan(np.array(GREEDY), 8)
    plan.check(problem)
    assert plan.objectives(problem) == [156, Fraction(359, 2)]
    known = load_best_known()["readme-h"]
    assert [layer.objective.value for layer in known] == [151, Fraction(359, 2)]
    assert all(layer.is_closed for layer in known)


def test_a_first_plan_gets_in_with_the_bounds_that_need_no_certificate(folder):
    (folder / best_known.FILE_NAME).unlink()
    instance = library.get("readme", folder)
    old, new = update_best_known(instance, RUN, trivial(instance.problem()))
    assert old == ()
    assert new == load_best_known(folder)["readme"]
    peaks = Plan(trivial(instance.problem()).placed, 8).objectives(instance.problem())
    assert [layer.objective.value for layer in new] == peaks
    assert all(layer.lower_bound.proof.startswith("recomputed ") for layer in new)
    assert new[0].objective.run == RUN
    assert load_best_known(folder)["hot-pair"] == ()


def test_the_better_of_old_and_new_stays_layer_by_layer(folder):
    instance = library.get("readme-h", folder)
    before = read_proofs(instance)
    mixed = Proofs(before.placed.copy(), [None, None])
    mixed.placed[0] = GREEDY[0]  # 156 is worse than 151
    old, new = update_best_known(instance, RUN, mixed)
    assert new == old
    after = read_proofs(instance)
    assert np.array_equal(after.placed, before.placed)
    assert after.certificates == before.certificates


def test_a_better_plan_replaces_the_known_one(folder):
    (folder / best_known.FILE_NAME).unlink()
    instance = library.get("readme-h", folder)
    update_best_known(instance, RUN, Proofs(np.array(GREEDY), [None, None]))
    shutil.copy(STORED / proofs.FOLDER / "readme-h.npz", folder / "best.npz")
    best = read_proofs(library.get("readme-h"))
    later = Run("another", "by hand", 0.1, "2026-01-02")
    _, new = update_best_known(instance, later, best)
    assert [(layer.objective.value, layer.objective.run) for layer in new] == [
        (151, later),
        (Fraction(359, 2), RUN),
    ]
    assert read_proofs(instance).placed[1].tolist() == GREEDY[1]


def test_a_false_plan_or_certificate_is_refused_and_nothing_is_written(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    instance = library.get("readme", folder)
    good = read_proofs(instance)
    with pytest.raises(PlanError):
        update_best_known(instance, RUN, Proofs(np.zeros((2, 16), dtype=int), [None, None]))
    false = [Certificate("enumeration", Fraction(137), {}), None]
    with pytest.raises(CertificateError):
        update_best_known(instance, RUN, Proofs(good.placed, false))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [("lower_bound", "137", "the lower bound 137"), ("objective", "135", "the objective 135")],
)
def test_a_bound_above_an_objective_is_refused_where_it_is_read(folder, place, value, message):
    path = folder / best_known.FILE_NAME
    document = json.loads(path.read_text())
    document["readme"]["layers"][0][place][0] = value
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match=message):
        load_best_known(folder)


def test_a_new_objective_below_a_known_bound_is_refused(folder, monkeypatch):
    path = folder / best_known.FILE_NAME
    document = json.loads(path.read_text())
    document["readme"]["layers"][0] = {
        "objective": ["150", 0],
        "lower_bound": ["149", "certificate enumeration", 0],
    }
    path.write_text(json.dumps(document))
    instance = library.get("readme", folder)
    proofs = read_proofs(library.get("readme"))
    with pytest.raises(Contradiction, match=r"readme, layer 0: the lower bound 149 .* 136"):
        update_best_known(instance, RUN, proofs)


def test_improving_keeps_proofs_and_says_what_is_better(folder):
    pytest.importorskip("ortools")
    (folder / best_known.FILE_NAME).unlink()
    instance = library.get("hot-pair", folder)
    first = improve(instance, time_limit=20)
    assert (first.better_plans, first.better_bounds, first.closed) == (1, 1, 1)
    again = improve(instance, time_limit=20)
    assert (again.better_plans, again.better_bounds, again.closed) == (0, 0, 1)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"nope": {"runs": [], "layers": []}}',
        '{"readme": 2}',
        '{"readme": {"runs": [], "layers": 2}}',
        '{"readme": {"runs": [], "layers": [{}]}}',
        '{"readme": {"runs": [{"by": "x"}], "layers": []}}',
        '{"readme": {"runs": [], "layers": [{"objective": ["1", 0], '
        '"lower_bound": ["1", "recomputed mean", 0]}]}}',
        '{"readme": {"runs": [{"by": "x", "how": "", "seconds": 1, "date": "today"}], '
        '"layers": []}}',
        '{"readme": ',
    ],
)
def test_a_damaged_table_is_refused(folder, content):
    (folder / best_known.FILE_NAME).write_text(content)
    with pytest.raises(FormatError, match=best_known.FILE_NAME):
        load_best_known(folder)
