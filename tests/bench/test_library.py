import json
import shutil
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from eplb_opt.bench import best_known, library
from eplb_opt.bench.best_known import Contradiction, load_best_known, update_best_known
from eplb_opt.bench.verify import WORKED_OPTIMA, verify
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.placement.plan import Plan


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(library.find_folder(), tmp_path / "instances")


@pytest.fixture
def unsolved(folder):
    """The stored files with nothing known of the Mixtral instance."""
    path = folder / best_known.FILE_NAME
    ledger = json.loads(path.read_text())
    ledger.pop("mixtral-8x7b-16-8", None)
    path.write_text(json.dumps(ledger))
    return folder


def test_the_stored_instances_are_what_the_tables_say():
    assert verify() == []


def test_generated_files_are_the_stored_bytes(tmp_path):
    for path in library.generate(tmp_path / "new"):
        assert path.read_bytes() == (library.find_folder() / path.name).read_bytes()


def test_only_tabled_files_are_stored_and_they_are_small():
    stored = list(library.find_folder().iterdir())
    known = {f"{name}.npz" for name in library.LOAD_FILES} | {best_known.FILE_NAME}
    assert {path.name for path in stored} == known | {"README.md"}
    assert all(path.stat().st_size < 60_000 for path in stored if path.suffix == ".npz")


@pytest.mark.parametrize("name", library.names())
def test_every_instance_is_a_problem_of_its_shape(name):
    instance = library.get(name)
    problem = instance.problem()
    source = library.LOAD_FILES[instance.loads]
    assert problem.load.shape == (source.num_layers, source.num_experts)
    assert (problem.num_slots, problem.num_gpus) == (instance.num_slots, instance.num_gpus)
    assert problem.is_hierarchical == name.endswith("-h")
    assert instance.name == name


def test_an_unknown_instance_lists_the_known_ones():
    with pytest.raises(ProblemError, match="known: readme, readme-h, hot-pair"):
        library.get("nope")


def test_a_missing_folder_says_where_the_instances_are(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "__file__", str(tmp_path / "a" / "b" / "library.py"))
    with pytest.raises(FormatError, match="come with a checkout"):
        library.find_folder()


def test_worked_examples_are_known_to_their_optimum():
    ledger = load_best_known()
    for name, optima in WORKED_OPTIMA.items():
        assert [known.objective.value for known in ledger[name]] == list(optima)
        assert all(known.is_closed for known in ledger[name])


def test_the_hot_pair_reaches_its_optimum_and_no_count_vector_beats_it():
    problem = library.get("hot-pair").problem()
    # Pairs: with two slots a GPU and equal replicas, the heaviest half meets the lightest half.
    best = min(
        paired_peak(problem.load[0].tolist(), count)
        for count in product(range(1, 9), repeat=8)
        if sum(count) == 16
    )
    assert best == Fraction(590, 3) == WORKED_OPTIMA["hot-pair"][0]


def paired_peak(load, count):
    replicas = sorted(Fraction(w, c) for w, c in zip(load, count, strict=True) for _ in range(c))
    return max(replicas[i] + replicas[-1 - i] for i in range(len(replicas) // 2))


def test_a_published_plan_of_the_readme_is_no_better_than_its_optimum():
    greedy = [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    problem = library.get("readme-h").problem()
    plan = Plan(np.array(greedy), 8)
    plan.check(problem)
    assert plan.objectives(problem) == [156, Fraction(359, 2)]
    assert WORKED_OPTIMA["readme-h"] == (151, Fraction(359, 2))


def test_the_better_of_old_and_new_stays_layer_by_layer(unsolved):
    name, many = "mixtral-8x7b-16-8", 32
    update_best_known(
        name,
        source="a",
        objective=[200] * many,
        lower_bound=[100] * many,
        date="2026-01-01",
        folder=unsolved,
    )
    known = update_best_known(
        name,
        source="b",
        objective=[Fraction(399, 2), 201, None] + [None] * (many - 3),
        lower_bound=[99, Fraction(301, 3), None] + [None] * (many - 3),
        date="2026-01-02",
        folder=unsolved,
    )
    assert known == load_best_known(unsolved)[name]
    found = [(k.objective.value, k.objective.source, k.lower_bound.value) for k in known[:3]]
    assert found == [(Fraction(399, 2), "b", 100), (200, "a", Fraction(301, 3)), (200, "a", 100)]
    assert known[1].lower_bound.date == "2026-01-02"
    assert load_best_known(unsolved)["readme"] == load_best_known()["readme"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": [135, None]}, r"readme, layer 0: the lower bound 136 .* the objective 135"),
        ({"lower_bound": [None, 173]}, r"readme, layer 1: the lower bound 173 .* objective 172"),
        ({"objective": [140, 180], "lower_bound": [141, 1]}, "layer 0: the lower bound 141"),
    ],
)
def test_contradictions_are_refused_and_nothing_is_written(folder, values, message):
    before = (folder / best_known.FILE_NAME).read_bytes()
    with pytest.raises(Contradiction, match=message):
        update_best_known("readme", source="a liar", folder=folder, **values)
    assert (folder / best_known.FILE_NAME).read_bytes() == before


def test_a_false_pair_does_not_hide_behind_better_old_values(unsolved):
    name, rest = "mixtral-8x7b-16-8", [None] * 31
    update_best_known(name, source="a", objective=[200, *rest], folder=unsolved)
    with pytest.raises(Contradiction):
        update_best_known(
            name, source="b", objective=[210, *rest], lower_bound=[205, *rest], folder=unsolved
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {"objective": [1]},
        {"objective": [-1, 2]},
        {"objective": [1000.5, 1000]},
        {"objective": [1000, 1000], "date": "today"},
    ],
)
def test_values_are_exact_and_one_a_layer(folder, arguments):
    with pytest.raises(FormatError):
        update_best_known("readme", source="a", folder=folder, **arguments)


def test_an_unknown_instance_is_not_taken_in(folder):
    with pytest.raises(ProblemError, match="unknown"):
        update_best_known("nope", source="a", folder=folder)


def test_without_a_file_nothing_is_known(tmp_path):
    ledger = load_best_known(tmp_path)
    assert set(ledger) == set(library.names())
    assert ledger["hot-pair"] == (best_known.Known(),)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"nope": []}',
        '{"readme": [{}]}',
        '{"readme": 2}',
        '{"readme": [{}, {"gap": 1}]}',
        '{"readme": [{}, {"objective": ["1.5", "a", "2026-01-01"]}]}',
        '{"readme": [{}, {"objective": ["1/0", "a", "2026-01-01"]}]}',
        '{"readme": [{}, {"objective": ["1", "a", 3]}]}',
        '{"readme": [{}, {"objective": ["1", "a", "2026-01-01"], '
        '"lower_bound": ["2", "a", "2026-01-01"]}]}',
        '{"readme": ',
    ],
)
def test_a_damaged_ledger_is_refused_and_reported(folder, content):
    (folder / best_known.FILE_NAME).write_text(content)
    with pytest.raises(FormatError, match=best_known.FILE_NAME):
        load_best_known(folder)
    assert len(verify(folder)) == 1


def test_verification_finds_what_was_changed(folder):
    (folder / "kimi-k2.npz").unlink()
    (folder / "mixtral-8x7b.npz").write_bytes((folder / "readme.npz").read_bytes())
    damaged = bytearray((folder / "deepseek-v3.npz").read_bytes())
    damaged[10] ^= 1  # the date of a member: the loads stay
    (folder / "deepseek-v3.npz").write_bytes(damaged)
    ledger = json.loads((folder / best_known.FILE_NAME).read_text())
    ledger["hot-pair"][0]["objective"][0] = "205"
    (folder / best_known.FILE_NAME).write_text(json.dumps(ledger))
    found = "\n".join(verify(folder))
    for part in (
        "kimi-k2.npz: there is no such file",
        "mixtral-8x7b.npz: its SHA-256",
        "mixtral-8x7b.npz: its loads",
        "deepseek-v3.npz: its SHA-256",
        "hot-pair, layer 0: objective and bound must be 590/3",
    ):
        assert part in found
    assert len(verify(folder)) == 5
