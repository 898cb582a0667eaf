"""``ampbench completion``: print or install the script of a shell."""

from __future__ import annotations

from pathlib import Path

from ampbench.cli.completion import FILES, SCRIPTS
from ampbench.console import document, note, say
from ampbench.errors import UsageError, unknown
from ampbench.text import line

NEXT_STEPS = {
    "bash": "it works in new shells if the package bash-completion is installed; else add to ~/.bashrc: source {}",
    "zsh": "add to ~/.zshrc, before compinit: fpath+=~/.zfunc; without one: autoload -Uz compinit && compinit",
    "fish": "it works in new shells",
}
"""The step that a user takes after the installation."""


def show_completion(shell: str, install: bool, as_json: bool) -> None:
    """Print the script of a shell, or write it where the shell looks for it.

    Raises:
        UsageError: an unknown shell, or the file cannot be written.
    """
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS)
    script, path = SCRIPTS[shell], Path.home() / FILES[shell]
    if install:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cannot write {path}: {reason}; print the script, and put it elsewhere") from error
    if as_json:
        document({"shell": shell, "script": script, "file": str(path) if install else None})
    elif install:
        say(line(str(path)))
        note(NEXT_STEPS[shell].format(line(str(path))))
    else:
        say(script, end="")
