"""The files of a new plugin, filled in from the templates in this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from string import Template

from ampbench.errors import UsageError
from ampbench.scaffold.names import Names

USES: Mapping[str, str] = {
    "divergence": "ampbench run --task two_moons --method amp:divergence=$name --budget 1000",
    "family": "ampbench run --task two_moons --method amp:family=$name --budget 1000",
    "task": "ampbench run --task $name --method amp --budget 1000",
    "method": "ampbench run --task two_moons --method $name --budget 1000",
    "metric": "ampbench run --task two_moons --method amp --budget 1000 --metric $name",
    "executor": "ampbench run --task two_moons --method amp --budget 1000 --executor $name",
}
"""By kind, a command that uses the component."""


@dataclass(frozen=True)
class Project:
    """The files of a new plugin.

    Attributes:
        names: of its component, module, distribution, ….
        files: the text of each file, by its name.
        use: a command that uses the component.
    """

    names: Names
    files: Mapping[str, str]
    use: str


def project_of(names: Names) -> Project:
    """Return the files of a plugin with one component."""
    use = Template(USES[names.kind]).substitute(name=names.component)
    values = {
        "name": names.component,
        "kind": names.kind.capitalize(),
        "word": names.kind,
        "cls": names.cls,
        "module": names.module,
        "point": names.point,
        "distribution": names.distribution,
        "use": use,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{names.module}.py": f"{names.kind}.py",
        f"test_{names.module}.py": "test.py",
        "README.md": "README.md",
        "LICENSE": "LICENSE",
    }
    folder = resources("ampbench.scaffold") / "templates"
    texts = {
        name: Template((folder / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
        for name, template in templates.items()
    }
    return Project(names, texts, use)


def write(project: Project, folder: Path) -> list[Path]:
    """Write the files into a new folder, and return their paths.

    Raises:
        UsageError: something with the folder's name exists; nothing is written.
        OSError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(
            f"{str(folder)!r} exists already, and nothing in it is changed; name a new folder by --output, or remove it"
        ) from error
    paths = []
    for name, text in project.files.items():
        with (path := folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
        paths.append(path)
    return paths
