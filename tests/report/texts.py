"""What a table looks like on a terminal."""


def text_of(table, width=200):
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
