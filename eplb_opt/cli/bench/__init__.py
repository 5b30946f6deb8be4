"""`eplb-opt bench`: measurements, one command a module.

`suites` has the commands that plan stored instances with every method (`quality`, `robust`,
`topology`), and `figure` draws what a ledger holds. The other modules are named after their
command.
"""

from eplb_opt.cli.bench.anytime import anytime_command
from eplb_opt.cli.bench.deadlines import deadlines_command
from eplb_opt.cli.bench.dispatch import dispatch_command
from eplb_opt.cli.bench.figure import figure_command
from eplb_opt.cli.bench.forecast import forecast_bench_command
from eplb_opt.cli.bench.homes import homes_bench_command
from eplb_opt.cli.bench.hot import hot_command
from eplb_opt.cli.bench.moves import moves_command
from eplb_opt.cli.bench.overshoot import overshoot_command
from eplb_opt.cli.bench.plans import plans_command
from eplb_opt.cli.bench.prices import prices_command
from eplb_opt.cli.bench.replay import replay_bench_command
from eplb_opt.cli.bench.soak import soak_command
from eplb_opt.cli.bench.suites import quality_command, robust_command, topology_command
from eplb_opt.cli.help import App

app = App(help="Measurements.")
app.command("quality")(quality_command)
app.command("robust")(robust_command)
app.command("topology")(topology_command)
app.command("plans")(plans_command)
app.command("hot")(hot_command)
app.command("moves")(moves_command)
app.command("prices")(prices_command)
app.command("dispatch")(dispatch_command)
app.command("anytime")(anytime_command)
app.command("replay")(replay_bench_command)
app.command("forecast")(forecast_bench_command)
app.command("homes")(homes_bench_command)
app.command("overshoot")(overshoot_command)
app.command("deadlines")(deadlines_command)
app.command("soak")(soak_command)
app.command("figure")(figure_command)
