"""The proofs of a result: saved, and the command that proves anew what they claim."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from eplb_opt.certificates import CertificateError, verify
from eplb_opt.cli import output
from eplb_opt.io import WRITERS, write_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.certificates import Certificate
    from eplb_opt.cli.options import Asked
    from eplb_opt.cli.outputs import Saving
    from eplb_opt.result import Result

#: Stands for a plan's file where none was written.
PLACEHOLDER = "PLAN"


def provable(result: Result) -> tuple[list[Certificate | None], tuple[str, ...]]:
    """The certificates of a result that `check` will accept, and a word on those it would not.

    A proof may take the planner more work than whoever verifies it is asked for.
    """
    kept: list[Certificate | None] = []
    refused: list[str] = []
    for layer_idx, certificate in enumerate(result.certificates):
        try:
            if certificate is not None:
                verify(result.problem.layer(layer_idx), certificate)
            kept.append(certificate)
        except CertificateError as error:
            kept.append(None)
            refused.append(f"layer {layer_idx}: the proof of its bound is left out: {error}")
    return kept, tuple(refused)


def save_proofs(saving: Saving, path: Path | None, result: Result) -> None:
    """Write the certificates of a result, and warn of those that `check` would not accept."""
    if path is not None:
        proofs, refused = provable(result)
        saving.save(path, lambda to: write_certificates(to, proofs))
        output.warn(refused)


def announce_check(
    asked: Asked, certificate: Path, plan_file: Path | None = None, engine: str = "npz"
) -> None:
    """Tell the command that proves the certificates anew; the arguments are `check_line`'s."""
    line = check_line(asked, certificate, plan_file, engine)
    output.warn((f"the proofs are checked anew by: {line}",))


def check_line(
    asked: Asked, certificate: Path | None, plan_file: Path | None = None, engine: str = "npz"
) -> str:
    """A line for the shell: `eplb-opt check` with all that the problem was made of.

    Every option that shapes the problem is given, so that no config file can change it.

    Parameters
    ----------
    asked
        The loads, and how a problem was made of them.
    certificate
        The file of the proofs; None for none.
    plan_file
        Any plan of the problem; None leaves its place to the reader.
    engine
        The format that it was written in.
    """
    files, machine = asked.files, asked.machine
    words = [PLACEHOLDER if plan_file is None else _path(plan_file), *map(_path, files.loads)]
    options = {
        "gpus": machine.num_gpus,
        "slots": machine.num_slots,
        "nodes": machine.num_nodes,
        "groups": machine.num_groups,
        "colocation": machine.colocation,
        "dispatch": machine.dispatch,
        "format": files.load_format,
        "map": None if files.map_file is None else _path(files.map_file),
        "experts": files.experts,
        "phase": files.phase,
        "plan-format": _plan_format(plan_file, engine),
        "cost": None if machine.cost is None else machine.cost.name,
        "batch-tokens": machine.batch_tokens,
        "experts-per-token": machine.experts_per_token,
        "certificate": None if certificate is None else _path(certificate),
    }
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    words += asked.rules.words() + asked.topology.words()
    words += ["--scenarios"] * files.with_scenarios
    words += [word for weight in files.weights for word in ("--weight", repr(weight))]
    return shlex.join(["eplb-opt", "check", *words])


def _path(path: Path) -> str:
    """A path that cannot be taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _plan_format(path: Path | None, engine: str) -> str | None:
    """The format's name where the file's name does not tell it."""
    if path is None or path.suffix.lower() in WRITERS[engine].packings:
        return None
    return engine
