"""The long texts about the program: one Markdown file a topic, shipped with the package.

`eplb-opt guide` lists the topics and prints one. A test runs what the texts show.
"""

from __future__ import annotations

from importlib.resources import files

from eplb_opt.errors import ProblemError

#: Topics in the order in which a newcomer reads them.
TOPICS = (
    "choosing",
    "serving",
    "deploying",
    "forecast",
    "workloads",
    "clusters",
    "topology",
    "links",
    "tokens",
    "step-time",
    "model",
    "units",
    "formats",
    "glossary",
    "benchmarks",
    "architecture",
    "changes",
)


def read_topic(topic: str) -> str:
    """The Markdown text of a topic.

    Parameters
    ----------
    topic
        A name of `TOPICS`.

    Raises
    ------
    ProblemError
        When there is no such topic; the message lists those that there are.
    """
    if topic not in TOPICS:
        raise ProblemError(f"guide topic {topic!r} is unknown; known: {', '.join(TOPICS)}.")
    return files(__name__).joinpath(f"{topic}.md").read_text(encoding="utf-8")


def summary_of(topic: str) -> str:
    """What a topic is about, in one line: the first heading of its text, without the topic's name.

    Parameters
    ----------
    topic
        A name of `TOPICS`.
    """
    heading, _, _ = read_topic(topic).partition("\n")
    return heading.partition(": ")[2]
