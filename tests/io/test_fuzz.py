"""Whatever is in a file, readers answer or raise FormatError: bytes and values are changed at will.

EPLB_OPT_FUZZ_EXAMPLES asks for more examples than the suite has time for.
"""

import copy
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eplb_opt.errors import FormatError
from eplb_opt.io import (
    VALIDATORS,
    kind_of,
    open_trace,
    read_loads,
    read_plan,
    read_stored_plan,
    read_total,
)
from tests.io.samples import (
    LOAD,
    PLAN,
    config_text,
    expert_counts,
    expert_map,
    jsonl_bytes,
    load_files,
    load_folders,
    load_history,
    model_maps,
    passes,
    plan_files,
    pt_bytes,
    sglang_dump,
    total_files,
    yaml_text,
)
from tests.io.test_read_loads import folder, written

fuzzed = settings(
    max_examples=int(os.environ.get("EPLB_OPT_FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FILES = load_files() | total_files()
FILES |= {f"plan-{name}": content for name, content in plan_files().items()}
FOLDERS = load_folders()


def walk(path):
    for _ in open_trace(path).chunks():
        pass


READERS = [read_loads, read_total, walk, read_plan, read_stored_plan, kind_of, *VALIDATORS.values()]


def read_all(path):
    for read in READERS:
        try:
            read(path)
        except FormatError as error:
            assert str(path) in str(error) or read is walk


@st.composite
def damaged(draw, content):
    """The bytes with a few of them cut, put in, taken out or changed."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        size = draw(st.sampled_from([0, 1, 2, 4, 8, 64]))
        kind = draw(st.sampled_from(["cut", "put", "take", "set", "double"]))
        fresh = draw(st.binary(min_size=size, max_size=size))
        content = {
            "cut": content[:at],
            "put": content[:at] + fresh + content[at:],
            "take": content[:at] + content[at + size :],
            "set": content[:at] + fresh + content[at + size :],
            "double": content[:at] + content[max(at - size, 0) : at] + content[at:],
        }[kind]
    return content


@fuzzed
@given(st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(FILES)))
    content = data.draw(damaged(FILES[name]))
    read_all(written(tmp_path_factory.mktemp("f"), name, content))


@fuzzed
@given(st.data())
def test_a_damaged_file_in_a_folder_is_read_or_refused(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(FOLDERS)))
    files = dict(FOLDERS[name])
    which = data.draw(st.sampled_from(sorted(files)))
    files[which] = data.draw(damaged(files[which]))
    read_all(folder(tmp_path_factory.mktemp("f"), name, files))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@st.composite
def altered(draw, document):
    """The document with some values, keys or entries replaced."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        place, key = changed, None
        for _ in range(draw(st.integers(1, 8))):
            inner = place if key is None else place[key]
            if isinstance(inner, np.ndarray) or not isinstance(inner, dict | list) or not inner:
                break
            place = inner
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = draw(st.sampled_from(list(keys)))
        if key is None:
            return draw(values)
        if draw(st.booleans()):
            place[key] = draw(values)
        elif isinstance(place, dict):
            place[draw(scalars.filter(lambda k: k == k))] = place.pop(key)
        else:
            place.append(place.pop(key))
    return changed


ROWS = PLAN.tolist()
DOCUMENTS = {
    "sglang.json": {"physical_to_logical_map": ROWS},
    "counts.json": {"logical_count": LOAD.tolist()},
    "map.json": expert_map(PLAN, 2),
    "rows.json": ROWS,
    "load.json": {"load": LOAD.tolist(), "layer_ids": [0, 1, 2], "num_hidden_layers": 4},
    "deepseek.pt": {"phy2log": ROWS, "log2phy": ROWS, "logcnt": ROWS},
    "triple.pt": [ROWS, ROWS, ROWS],
    "stat.pt": sglang_dump(),
    "passes.pt": passes(0),
    "expert_counts.pt": expert_counts(LOAD[0]),
    "history.json": load_history(LOAD),
    "models.json": model_maps({"Target": PLAN, "Draft": PLAN[:1]}),
    "ranks.json": {"expert_to_ep_rank": [0, 1, 1, 0]},
}


@fuzzed
@given(st.data())
def test_altered_documents_are_read_or_refused(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    document = data.draw(altered(DOCUMENTS[name]))
    for validate in VALIDATORS.values():
        try:
            validate(document, num_gpus=2, num_experts=4, current=PLAN)
        except FormatError:
            continue
    try:
        content = pt_bytes(document) if name.endswith("pt") else json.dumps(document)
    except (TypeError, ValueError, OverflowError):  # keys that JSON has not
        return
    read_all(written(tmp_path_factory.mktemp("f"), name, content))


@fuzzed
@given(st.data())
def test_altered_lines_are_read_or_refused(tmp_path_factory, data):
    lines = [json.loads(line) for line in jsonl_bytes().splitlines()]
    which = data.draw(st.sampled_from(range(len(lines))))
    lines[which] = data.draw(altered(lines[which]))
    try:
        text = "".join(json.dumps(line) + "\n" for line in lines)
    except TypeError:
        return
    read_all(written(tmp_path_factory.mktemp("f"), "a.jsonl", text))


@fuzzed
@given(st.data())
def test_altered_yaml_is_read_or_refused(tmp_path_factory, data):
    yaml = pytest.importorskip("yaml")
    text = data.draw(st.sampled_from([yaml_text(PLAN), config_text(PLAN)]))
    document = data.draw(altered(yaml.safe_load(text)))
    try:
        text = yaml.safe_dump(document)
    except yaml.YAMLError:
        return
    read_all(written(tmp_path_factory.mktemp("f"), "a.yaml", text))
