"""A folder with the files that the texts speak of, and the commands of the texts run in it."""

import contextlib
import functools
import importlib
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np

from tests.guide.documents import ROOT, assert_printed, commands

#: Seconds instead of those that a text gives to a search whose answer it does not print.
QUICK_SECONDS = 0.2
#: The same in Python: whole seconds, so that limits of some milliseconds stay.
LIMIT, QUICK_LIMIT = re.compile(r"\btime_limit=\d+(?!\.?\d)"), f"time_limit={QUICK_SECONDS}"
#: A search whose answer is printed ends at the optimum, long before this limit.
PATIENCE = 30
#: Options that make the measurements small; the last of two equal options counts.
SMALL = {
    "bench hot": "--quick --rounds 1 --calls 0",
    "bench dispatch": "--rounds 1 --batches 1 --layers 1",
    "bench moves": "--layers 1 --rounds 1 --offline 0 --drift 0.1",
    "bench plans": "--layers 1 --time-limit 0.1",
    "watch": "--time-limit 0.2",
    "bench deadlines": "--layers 1 --calls 1 --time-limit 0.05",
    "bench prices": "--layers 2",
    "bench anytime": "--layers 1",
    "bench quality": "--time-limit 0.05",
    "bench robust": "--time-limit 0.05",
    "bench topology": "--time-limit 0.05",
    "bench soak": "--calls 4 --plans 1",
    "bench forecast": "--layers 1 --steps 4",
    "bench homes": "--layers 1 --tokens 500 --effort 1",
}
#: Commands that search for ten seconds where nothing else is said.
SEARCHES = ("plan", "gap", "bound", "size", "replay", "topology", "watch")
#: Loads of these layers of the bundled DeepSeek-V3 shape.
LAYERS, OTHER_LAYERS = slice(0, 2), slice(2, 4)


@functools.cache
def stored_loads():
    """The bundled loads, [num_layers, num_experts]."""
    with np.load(ROOT / "instances" / "deepseek-v3.npz") as stored:
        return stored["load"][0].astype(np.int64)


def fill(folder):
    """Write the files that the texts take for given: loads, recordings, plans in force."""
    from eplb_opt.bench.routing import Routing, routed_tokens
    from eplb_opt.io import Loads, write_loads, write_plan, write_tokens

    write_tokens(folder / "tokens.npz", routed_tokens(Routing(num_layers=2), 500))
    load, other = stored_loads()[LAYERS], stored_loads()[OTHER_LAYERS]
    shutil.copytree(ROOT / "instances", folder / "instances")
    np.savez(folder / "loads.npz", load=load)
    np.savez(folder / "other.npz", load=other)
    links(folder, load)
    np.savez(folder / "trace.npz", load=np.array([load, other] * 4))
    np.savez(folder / "passes.npz", load=np.array([load, other // 50, other // 40] * 2))
    np.savez(folder / "snapshots.npz", load=np.array([load, other, load + other]))
    for name in ("recording.pt", "expert_distribution_recorder_1700000000.pt"):
        write_loads(folder / name, Loads(np.array([load, other])), format="sglang")
    statistics(folder / "statistics", load)
    (folder / "dumps").mkdir()
    np.savez(folder / "dumps" / "monday.npz", load=load)
    in_force = round_robin(load, 288)
    write_plan(folder / "current.json", in_force, engine="sglang", num_gpus=32)
    for name in ("current.npz", "target.npz", "draft.npz"):
        write_plan(folder / name, in_force, num_gpus=32)
    write_plan(folder / "expert_map.json", in_force, engine="vllm-ascend", num_gpus=32)


def links(folder, load):
    """What links between 32 GPUs cost, and where tokens come from."""
    node = np.arange(32) // 8
    costs = np.where(node[:, None] == node, 0.2, 1.0) * (1 - np.eye(32))
    (folder / "costs.json").write_text(json.dumps({"rank_cost_matrix": costs.tolist()}))
    shares = np.random.default_rng(0).dirichlet(np.full(32, 0.5), load.shape)
    sources = (shares * load[..., None]).transpose(0, 2, 1).astype(np.int64)
    np.savez(folder / "sources.npz", sources=sources)


def statistics(folder, load):
    """A folder as TensorRT-LLM writes it."""
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "meta_info.json").write_text('{"num_experts": 256, "num_experts_per_token": 8}')
    names = {f"0_{layer_idx + 3}": row for layer_idx, row in enumerate(load)}
    save_file(names, folder / "rank0.safetensors")


def round_robin(load, num_slots):
    """A plan that gives the slots to the experts in turn."""
    return np.tile(np.arange(num_slots) % load.shape[1], (len(load), 1))


def quick(arguments, is_compared):
    """A command's arguments with less to do."""
    limit = PATIENCE if is_compared else QUICK_SECONDS
    small = list(arguments)
    for place, word in enumerate(small[:-1]):
        if word == "--time-limit":
            small[place + 1] = str(min(float(small[place + 1]), limit))
    extra = next((extra for name, extra in SMALL.items() if is_of(small, name)), "")
    if not extra and small[0] in SEARCHES and not {"--time-limit", "--effort"} & set(small):
        extra = f"--time-limit {limit}"
    return small + extra.split()


def is_of(arguments, name):
    return arguments[: len(name.split())] == name.split()


def run_console(block):
    """Run a block's commands; what is printed is compared where the text shows it."""
    printed = ""
    for line in commands(block):
        due = re.search(r"# exit code (\d+)", line)
        out, notes = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(notes):
            code = run_line(shlex.split(line, comments=True), block.promised is not None)
        assert code == (int(due[1]) if due else 0), f"{line}\n{out.getvalue()}{notes.getvalue()}"
        printed += out.getvalue()
    if block.promised is not None:
        assert_printed(printed, block.promised)


def run_line(words, is_compared):
    """Run one command in this process; its exit code."""
    if words[0] == "python":
        return importlib.import_module(words[2]).main(["."])
    from eplb_opt.cli import main

    return main(quick(words[1:], is_compared))


def run_python(block, names):
    """Run a block; `names` is what the blocks before it have defined."""
    out = io.StringIO()
    text = block.text if block.promised is not None else LIMIT.sub(QUICK_LIMIT, block.text)
    with contextlib.redirect_stdout(out):
        exec(compile(text, "guide", "exec"), names)
    if block.promised is not None:
        assert_printed(out.getvalue(), block.promised)


def keep_stored_instances(monkeypatch):
    """Let commands that write into the stored instances find the copies in this folder."""
    from eplb_opt.bench import library

    monkeypatch.setattr(library, "find_folder", lambda: Path("instances"))
