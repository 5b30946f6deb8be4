"""The HTML report says what the result holds, asks for nothing, and trusts no name."""

import base64
import hashlib
import re
import sys
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import eplb_opt
from eplb_opt.io import read_loads
from eplb_opt.report.deployment import Deployment
from eplb_opt.report.html import write_report
from eplb_opt.report.steps import Batch
from tests.report.pages import HOSTILE, data_of, planned, write_full_page

pytest.importorskip("jinja2")
ROOT = Path(__file__).parent.parent.parent


class Elements(HTMLParser):
    """Names and attributes of all elements, and the text of the page."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = write_full_page(path)
    return result, path.read_text("utf-8")


def page_of(path, result, **options):
    write_report(path, result, **options)
    return path.read_text("utf-8")


def test_figures_are_those_of_the_result(full):
    result, page = full
    data = data_of(page)
    ours = data["gaps"][0]
    assert ours["kind"] == "ours"
    assert ours["gap"] == pytest.approx(result.gap.tolist(), rel=1e-3)
    assert data["moves"] == result.moves.tolist()
    peak = np.array(data["after"]["ratio"]).max(axis=1) * np.array(data["mean"])
    assert peak == pytest.approx(result.objective, rel=1e-5)
    seconds, objective, lower = data["history"][-1]
    assert seconds == pytest.approx(result.elapsed, abs=1e-3)
    assert objective / lower - 1 == pytest.approx(result.model_gap)
    counts = result.plan.logical_count
    for layer_idx, experts in enumerate(data["hottest"]["expert"]):
        assert data["hottest"]["after"][layer_idx] == counts[layer_idx, experts].tolist()
    assert data["layerIds"] == [3, 4, 5, 7]


def test_a_name_from_a_file_stays_text(full):
    _, page = full
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert not [name for _, attrs in elements.found for name in attrs if name.startswith("on")]
    text = "".join(elements.text)
    assert text.count(HOSTILE) >= 4  # the tables, the note, the figure, the command


def test_its_policy_admits_its_own_style_and_script_and_nothing_else(full):
    _, page = full
    policy = dict(Elements(page).found[3][1])["content"]
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_in_it_points_elsewhere(full):
    _, page = full
    for _, attrs in Elements(page).found:
        assert "src" not in attrs
        assert "style" not in attrs
        assert attrs.get("href", "data:,") == "data:,"
    assert not re.findall(r"@import|url\(", page)
    assert set(re.findall(r"https?://[^\"\s]+", page)) == {"http://www.w3.org/2000/svg"}


def test_tables_hold_the_prices_the_layers_and_the_broken_plan(full):
    result, page = full
    text = " ".join("".join(Elements(page).text).split())
    assert "equal counts" in text
    assert "price of slots" in text
    assert "expert 1 is on no GPU" in text
    assert f"{int(result.moves.sum()):,}" in text
    assert "(held out)" in text


def test_it_tells_the_command_and_the_versions_and_no_path_of_the_machine(tmp_path):
    page = page_of(tmp_path / "a.html", planned()[0], command="eplb-opt plan loads.npz --gpus 4")
    text = "".join(Elements(page).text)
    assert "eplb-opt plan loads.npz --gpus 4" in text
    assert f"numpy {np.__version__}" in text
    assert f"python {sys.version.split()[0]}" in text
    for path in (tmp_path, ROOT, Path.home(), Path(sys.prefix)):
        assert f"{path}/" not in page


def words_of(page):
    return " ".join("".join(Elements(page).text).split())


def test_it_tells_when_from_which_files_and_how_to_deploy(tmp_path):
    page = page_of(
        tmp_path / "a.html",
        planned()[0],
        made=datetime(2026, 2, 3, 4, 5, tzinfo=UTC),
        inputs={"day.npz": "0123456789abcdef" * 4},
        deployment=Deployment("plan.json", "sglang", "fedc" * 16, "eplb-opt check plan.json"),
        batches=[Batch(64, 2)],
    )
    text = words_of(page)
    assert "Made on 2026-02-03 04:05 UTC" in text
    assert "0123456789abcdef day.npz" in text
    assert "fedcfedcfedcfedc." in text
    assert "eplb-opt check plan.json" in text
    assert "--init-expert-location plan.json --ep-num-redundant-experts 4" in text
    assert "At 64 tokens a GPU" in text.replace("\u00a0", " ")


def test_without_a_file_it_says_what_to_add_and_without_a_plan_nothing(tmp_path):
    result, _ = planned()
    unsaved = words_of(page_of(tmp_path / "a.html", result, deployment=Deployment("", "npz")))
    assert "The plan was not saved." in unsaved
    assert "Deploy this" not in words_of(page_of(tmp_path / "b.html", result))


def test_no_line_begins_with_a_unit_and_commands_can_be_copied(tmp_path):
    result, _ = planned()
    command = "eplb-opt plan 'a 5 s.npz'  --time-limit 10"
    page = page_of(tmp_path / "a.html", result, command=command)
    assert command in "".join(Elements(page).text)
    body = re.sub(r"<(script|style|pre|svg).*?</\1>", "", page, flags=re.S)
    assert not re.findall(r"\d (?:%|s\b|ms\b)", body)


def test_each_map_has_numbers_of_its_own(full):
    _, page = full
    data = data_of(page)
    shown = re.findall(r"([\d.]+) to ([\d.]+) of the mean", page)
    for side, (low, high) in zip(("before", "after"), shown, strict=True):
        ratios = np.array(data[side]["ratio"])
        assert float(low) == pytest.approx(ratios.min(), rel=1e-6)
        assert float(high) == pytest.approx(ratios.max(), rel=1e-6)


def test_several_loads_are_on_one_scale_and_that_is_said(tmp_path):
    result, greedy = planned((3, 4, 12))
    load = result.problem.scenario(0).load[:, ::-1]
    page = page_of(tmp_path / "a.html", result, current=greedy, held_out={"new": load})
    text = words_of(page)
    assert "One scale: 3 loads are planned for" in text
    peak = f"{np.mean(1 / result.balancedness):.4f}"
    # The first figures, what is won, and the last row of the layers.
    assert text.count(peak) >= 3
    for i in range(3):
        score = eplb_opt.evaluate(result.problem.scenario(i), result.plan)
        whole = score.objective.sum() / (score.objective * score.balancedness).sum()
        assert f"{whole:.4f}" in text
    assert "One scale" not in words_of(page_of(tmp_path / "b.html", planned()[0]))


def test_without_a_plan_in_force_it_says_what_stands_for_it(tmp_path):
    page = page_of(tmp_path / "a.html", planned()[0])
    assert "No plan was given as the one in force" in page
    assert data_of(page)["before"]["name"] == "deepseek"
    apart = planned(colocation="forbid")[0]
    assert data_of(page_of(tmp_path / "b.html", apart))["before"]["name"] == "greedy"


def test_a_plan_in_force_that_breaks_a_rule_is_shown_with_the_rule(tmp_path):
    result, _ = planned()
    current = np.tile(np.arange(16) % 11, (4, 1))
    held_out = {"same": result.problem.load}
    page = page_of(
        tmp_path / "a.html", result, current=current, current_name="old", held_out=held_out
    )
    assert data_of(page)["before"]["name"] == "old"
    assert "expert 11 is on no GPU" in page
    assert "is not scored" in page


@pytest.mark.parametrize("current", [np.zeros((4, 20), int), np.full((4, 16), 99), "nonsense"])
def test_a_plan_in_force_that_cannot_be_shown_gives_way_to_the_greedy(tmp_path, current):
    page = page_of(tmp_path / "a.html", planned()[0], current=current, current_name="odd")
    assert "odd cannot be shown" in page
    assert data_of(page)["before"]["name"] == "deepseek"


@pytest.mark.parametrize(
    ("dispatch", "words"), [("uniform", "uniform split"), ("optimal", "optimal dispatch")]
)
def test_the_heading_says_which_dispatch(tmp_path, dispatch, words):
    problem = eplb_opt.Problem([[6, 4, 2]], 4, 2, dispatch=dispatch)
    page = page_of(tmp_path / "report.html", eplb_opt.plan(problem, effort=1, workers=1))
    assert f"under {words}</h1>" in page


def test_scenarios_have_a_column_each(tmp_path):
    result, _ = planned((3, 4, 12))
    text = "".join(Elements(page_of(tmp_path / "a.html", result)).text)
    assert all(f"load {i}" in text for i in (1, 2, 3))


def test_a_layer_without_load_makes_a_page_too(tmp_path):
    empty = eplb_opt.plan(eplb_opt.Problem(np.zeros((2, 4), dtype=int), 4, 2), effort=0)
    data = data_of(page_of(tmp_path / "a.html", empty))
    assert data["gaps"][0]["gap"] == [0, 0]


def test_a_model_of_58_layers_takes_less_than_6_mb(tmp_path):
    loads = read_loads(ROOT / "instances" / "deepseek-v3.npz")
    result = eplb_opt.plan(eplb_opt.Problem(loads.total, 288, 144), time_limit=0)
    write_report(tmp_path / "a.html", result, layer_ids=loads.layer_ids)
    assert (tmp_path / "a.html").stat().st_size < 6e6


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(eplb_opt.MissingDependency, match="report"):
        write_report(tmp_path / "a.html", planned()[0])
    assert not list(tmp_path.iterdir())


def test_the_parts_of_the_page_are_installed_with_the_package():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]
    assert "eplb_opt" in build["wheel"]["packages"]
    pages = [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "eplb_opt/report/page").iterdir()
    ]
    assert len(pages) == 3
    assert not [p for p in pages for pattern in build["wheel"]["exclude"] if fnmatch(p, pattern)]
