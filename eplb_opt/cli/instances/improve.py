"""`eplb-opt instances improve`."""

from __future__ import annotations

from eplb_opt.bench import library
from eplb_opt.bench.improve import improve
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.instances.arguments import Folder, Names


def improve_command(
    instances: Names = None,
    folder: Folder = None,
    time_limit: opt.TimeLimit = 10.0,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Plan instances from the best known plans on, and keep what is better, with its proof.

    Example: eplb-opt instances improve deepseek-v3-288-32 --time-limit 60
    """
    chosen = [library.get(name, folder) for name in instances or library.names(folder)]
    rows = []
    for place, instance in enumerate(chosen):
        heading = f"{instance.name} ({place + 1} of {len(chosen)})"
        with output.progress_bar(time_limit, heading) as progress:
            row = improve(
                instance,
                time_limit=time_limit,
                model=str(model),
                workers=workers,
                progress=progress,
            )
        rows.append(row)
        if not as_json:
            print(
                f"{row.name}, {row.layers} layers: {row.better_plans} plans and "
                f"{row.better_bounds} bounds are better, {row.closed} optima are known; "
                f"{row.seconds:.1f} s"
            )
        if row.without_proof:
            output.warn(
                (f"{row.without_proof} higher bounds have no certificate and are not kept",)
            )
    if as_json:
        output.print_json(rows)
