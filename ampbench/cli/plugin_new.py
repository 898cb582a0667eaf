"""``ampbench plugin new``: the project of a new plugin."""

from __future__ import annotations

import shlex
from pathlib import Path

from ampbench import registry
from ampbench.cli.terminal import remark
from ampbench.console import document, note, say
from ampbench.hookspecs import KINDS
from ampbench.scaffold import project_of, write
from ampbench.scaffold.names import names_of
from ampbench.text import line


def new_plugin(name: str, kind: str, output: Path | None, as_json: bool) -> None:
    """Write the project of a new plugin, and print its files and the next commands.

    Raises:
        UsageError: the name cannot be that of a component or is taken, the kind is unknown, or the folder exists.
    """
    loaded = registry.load(lambda fault: None)  # also where another plugin is broken
    names = names_of(name, kind, {each: loaded.entries(each) for each in KINDS})
    project = project_of(names)
    folder = output or Path(names.distribution)
    paths = write(project, folder)
    where = shlex.quote(str(folder))
    steps = [f"pip install -e {where}", f"ampbench plugin check {names.component}", project.use]
    if as_json:
        document({"folder": str(folder), "files": [str(path) for path in paths], "next": steps})
        return
    for path in paths:
        say(line(str(path)))
    remark(f"next, edit {names.module}.py; these commands work from the beginning:")
    for step in steps:
        note(f"    {line(step)}")
