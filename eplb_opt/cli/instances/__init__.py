"""`eplb-opt instances`: the stored instances and what is known of them, one command a module."""

from eplb_opt.cli.help import App
from eplb_opt.cli.instances.generate import generate_command
from eplb_opt.cli.instances.importing import import_command
from eplb_opt.cli.instances.improve import improve_command
from eplb_opt.cli.instances.listing import list_command
from eplb_opt.cli.instances.show import show_command
from eplb_opt.cli.instances.verify import verify_command

app = App(help="The stored instances: list, show, generate, verify, improve, import.")
app.command("list")(list_command)
app.command("show")(show_command)
app.command("generate")(generate_command)
app.command("verify")(verify_command)
app.command("improve")(improve_command)
app.command("import")(import_command)
