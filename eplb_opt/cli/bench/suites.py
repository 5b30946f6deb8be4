"""`eplb-opt bench quality`, `robust` and `topology`: stored instances, every method on each."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import library
from eplb_opt.bench.ledger_tables import rows_table
from eplb_opt.bench.suites import Asked, suite_names, suite_rows
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Heuristics, Ledger, Models, keep
from eplb_opt.cli.instances.arguments import Folder, Names
from eplb_opt.planner.warmup import warmup

Limits = Annotated[
    list[float], typer.Option("--time-limit", help="Seconds an instance; a row for each.")
]
Seeds = Annotated[list[int], typer.Option("--seed", help="Of the solvers; a row for each.")]
ONE_SECOND, FIRST_SEED, GREEDY = [1.0], [0], ["greedy"]


def quality_command(
    instances: Names = None,
    folder: Folder = None,
    limits: Limits = ONE_SECOND,
    seeds: Seeds = FIRST_SEED,
    models: Models = [],  # noqa: B006
    heuristics: Heuristics = GREEDY,
    engine_files: opt.EngineFiles = None,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Plan stored instances of one load with every method; gaps to the best bound known.

    Example: eplb-opt bench quality twelve-16-4 --time-limit 1 --model cpsat --ledger ledger.jsonl
    """
    asked = Asked(limits, models, heuristics, seeds, engine_files)
    _run("quality", instances, folder, asked, ledger_file, as_json)


def robust_command(
    instances: Names = None,
    folder: Folder = None,
    limits: Limits = ONE_SECOND,
    seeds: Seeds = FIRST_SEED,
    models: Models = [],  # noqa: B006
    heuristics: Heuristics = GREEDY,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Plan stored instances of several loads; the heuristics plan for their blend.

    Example: eplb-opt bench robust mixtral-8x7b-day-16-8-mean --time-limit 1
    """
    asked = Asked(limits, models, heuristics, seeds)
    _run("robust", instances, folder, asked, ledger_file, as_json)


def topology_command(
    instances: Names = None,
    folder: Folder = None,
    limits: Limits = ONE_SECOND,
    seeds: Seeds = FIRST_SEED,
    heuristics: Heuristics = GREEDY,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Plan stored instances where serving off home has a price; the heuristics know none.

    Example: eplb-opt bench topology twelve-16-4-price --time-limit 1
    """
    asked = Asked(limits, (), heuristics, seeds)
    _run("topology", instances, folder, asked, ledger_file, as_json)


def _run(
    suite: str,
    names: list[str] | None,
    folder: Folder,
    asked: Asked,
    ledger_file: Ledger,
    as_json: bool,
) -> None:
    chosen = [library.get(name, folder) for name in names or suite_names(suite)]
    with output.spinner("loading kernels"):
        warmup(everything=True)
    rows, done = [], dict.fromkeys(instance.name for instance in chosen)
    with output.counting_bar(len(done), "planning") as show:
        for row in suite_rows(suite, chosen, asked):
            rows.append(row)
            keep(ledger_file, [row])  # at once: what was measured is not lost with the rest
            show(list(done).index(row.case))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(rows_table(suite, rows))
