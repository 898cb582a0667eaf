"""A new interpreter: the processor time of imports and of commands, the interpreter's own included."""

from __future__ import annotations

from .common import Brief, children, python


class Start(Brief):
    """From the start of the interpreter to its end; ``pass`` is the interpreter alone."""

    params = (
        "pass",
        "import ampbench",
        "import ampbench.interfaces",
        "import ampbench; ampbench.infer",
        "import torch",
    )
    param_names = ("program",)
    timer = staticmethod(children)

    def time_import(self, program: str) -> None:
        python("-c", program)


class Commands(Brief):
    """Commands that compute nothing."""

    params = ("--version", "--help", "run --help", "list tasks", "plugins")
    param_names = ("command",)
    timer = staticmethod(children)

    def time_command(self, command: str) -> None:
        python("-m", "ampbench", *command.split())
