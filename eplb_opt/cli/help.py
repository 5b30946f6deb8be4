"""How the command line explains itself: options by what they are for, examples ready to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from eplb_opt.cli import config
from eplb_opt.cli.needs import check_packages
from eplb_opt.cli.outputs import check_outputs

Made = TypeVar("Made", bound=Callable[..., Any])

#: Wider lines are hard to read.
MAX_WIDTH = 110
EXAMPLE = "Example:"
#: Headings of a command's options, in this order; what stands nowhere comes under the last.
PANELS: dict[str, tuple[str, ...]] = {
    "Machine": ("gpus", "slots", "slots-per-gpu", "nodes", "groups", "colocation", "dispatch"),
    "GPUs that differ": ("lost-gpus", "gpu-slots", "gpu-speeds", "pin", "ban", "spread"),
    "Loads": (
        *(
            "format",
            "map",
            "experts",
            "held-out",
            "scenarios",
            "phase",
            "weight",
            "newest",
            "every",
            "once",
        ),
    ),
    "What a step sees": ("batch-tokens", "experts-per-token", "bursts"),
    "Target and memory": ("target-balancedness", "expert-bytes"),
    "Planning": ("of", "time-limit", "effort", "target-gap", "noise", "model", "workers", "start"),
    "Long jobs": ("cluster", "job", "resume"),
    "Near the plan in force": (
        *("current", "max-moves", "move-tolerance", "move-cost", "cross-node-price", "min-gain"),
    ),
    "Output": (
        *("output", "engine", "certificate", "report", "plot"),
        *("metrics", "ledger", "dispatch-weights", "transfers", "json", "csv", "verbose"),
    ),
    "Options": (),
}
#: Commands in the order of their use; others follow.
ORDER = (
    *("plan", "gap", "check", "bound", "size", "replay", "watch", "frontier", "plan-for-loss"),
    *("convert", "example", "guide", "warmup"),
)


class Command(TyperCommand):
    """A command whose options come by what they are for, and whose example can be copied."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.help, self.example = split_example(self.help or "")

    def invoke(self, ctx: Any) -> Any:
        """Run the command as Typer does, once it is known that it can be done to the end."""
        _, named = config.take_option(ctx.obj or [])
        check_outputs(ctx.params, config.find(named))
        check_packages(ctx)
        return super().invoke(ctx)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The command's purpose, then its example, folded to the width of the terminal."""
        super().format_help_text(ctx, formatter)
        if self.example:
            with formatter.section("Example"):
                for line in folded(self.example, formatter.width - 4):
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options under the headings of `PANELS`."""
        sections: dict[str, list[tuple[str, str]]] = {p: [] for p in ("Arguments", *PANELS)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                left = re.sub(r"<list\[(.*)\]>", r"<\1>", record[0]).replace("<Path>", "<path>")
                sections[panel_of(param)].append((left, record[1]))
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(TyperGroup):
    """Commands in the order of their use, each with its whole first sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, those of `ORDER` first."""
        given = super().list_commands(ctx)
        return [*(name for name in ORDER if name in given), *(n for n in given if n not in ORDER)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A line for each command that is not hidden, with its first sentence."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class App(typer.Typer):
    """A Typer whose commands explain themselves as `Command` does."""

    def __init__(self, **keywords: Any) -> None:
        options: dict[str, Any] = {
            "cls": Group,
            "no_args_is_help": True,
            "context_settings": {"max_content_width": MAX_WIDTH},
        }
        super().__init__(**options, rich_markup_mode=None, **keywords)

    def command(self, name: str | None = None, **keywords: Any) -> Callable[[Made], Made]:
        """As of Typer."""
        return super().command(name, **{"cls": Command} | keywords)


def panel_of(param: Any) -> str:
    """The heading that an option or an argument comes under."""
    if param.param_type_name == "argument":
        return "Arguments"
    asked = getattr(param, "rich_help_panel", None)
    if asked in PANELS:
        return str(asked)
    names = {text.removeprefix("--") for text in param.opts}
    return next((panel for panel, known in PANELS.items() if names & set(known)), "Options")


def split_example(text: str) -> tuple[str, str]:
    """A docstring without its example, and the example on one line; "" where there is none."""
    before, _, example = text.partition(f"\n\n{EXAMPLE}")
    return before, " ".join(example.split())


def folded(command: str, width: int) -> list[str]:
    r"""A command on lines of at most `width` characters, to be pasted into a shell as they are.

    >>> folded("eplb-opt plan loads.npz --gpus 32 --slots 288", 36)
    ['eplb-opt plan loads.npz --gpus 32 \\\\', '    --slots 288']
    """
    lines, line = [], ""
    for part in _parts(command):
        if line and len(line) + len(part) + 3 > width:
            lines.append(f"{line} \\")
            line = "   "
        line = f"{line} {part}" if line else part
    return [*lines, line]


def _parts(command: str) -> list[str]:
    """Words, with each option's value kept beside it."""
    parts: list[str] = []
    for word in shlex.split(command):
        if parts and parts[-1].startswith("--") and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
