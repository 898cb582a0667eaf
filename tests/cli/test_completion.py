"""Completion as a person sees it: keys typed into real shells, and what stands on the line then."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

from ampbench.cli.completion import SCRIPTS
from ampbench.cli.shells import show_completion
from ampbench.errors import UsageError

KEY, COMMITTED_KEY = "0123456789abcdef0123", "89abcdef0123456789ab"
TYPED = {
    "ampbench run --task two_m": "ampbench run --task two_moons",
    "ampbench run --method amp:divergence=f-kl,family=im": "ampbench run --method amp:divergence=f-kl,family=implicit",
    "ampbench run --select method~tsn": "ampbench run --select method~tsnpe",
    "ampbench export out.nc --key 0123": f"ampbench export out.nc --key {KEY}",
    "ampbench export out.nc --key 89ab": f"ampbench export out.nc --key {COMMITTED_KEY}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the command ``ampbench``, the scripts, and a results directory."""
    command = tmp_path / "bin" / "ampbench"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom ampbench.cli import main\nmain()\n")
    command.chmod(0o755)
    for shell, script in SCRIPTS.items():
        (tmp_path / shell).write_text(script)
    (tmp_path / "results" / "runs" / KEY).mkdir(parents=True)
    with ZipFile(tmp_path / "results" / "study.zip", "w") as study:
        study.writestr(f"runs/{COMMITTED_KEY}/record.json", "{}")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "HOME": str(folder), "TERM": "dumb", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def keys(shell: list[str], setup: str, typed: str, wanted: str, folder: Path) -> str:
    """Type a line and a tab into a shell, and return what the terminal shows once the text is there."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, environment(folder))
    shown = ""

    def read_until(text: str) -> None:
        nonlocal shown
        end = time.monotonic() + 60
        while text not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    return

    os.write(terminal, f"PS1='> '; {setup}; echo rea''dy\n".encode())
    read_until("ready")
    shown = ""
    os.write(terminal, f"{typed}\t".encode())
    read_until(wanted)
    os.close(terminal)
    os.waitpid(child, 0)
    return shown


@pytest.mark.parametrize("typed", TYPED)
def test_bash(typed: str, folder: Path) -> None:
    wanted = TYPED[typed]
    shown = keys(["bash", "--norc", "--noprofile", "-i"], "source ./bash", typed, wanted, folder)
    assert wanted in shown, repr(shown)


@pytest.mark.parametrize("typed", ["ampbench run --method amp:divergence=f-kl,family=im"])
def test_zsh(typed: str, folder: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh: apt-get install zsh")
    wanted = TYPED[typed]
    setup = "autoload -Uz compinit; compinit -u -D; source ./zsh"
    shown = keys(["zsh", "-f", "-i"], setup, typed, wanted.rpartition("=")[2], folder)
    assert wanted.rpartition("=")[2].removeprefix(typed.rpartition("=")[2]) in shown, repr(shown)


def test_fish(folder: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("needs fish: apt-get install fish")
    for typed in ("ampbench run --method amp:divergence=f-kl,family=im", "ampbench export out.nc --key 0123"):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source ./fish; complete --do-complete '{typed}'"],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment(folder),
        )
        assert done.stdout.split() == [TYPED[typed].rpartition(" ")[2]], done.stderr


def test_no_torch_is_imported(folder: Path) -> None:
    """Which takes seconds."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print({'torch', 'pandas', 'scipy'} & set(sys.modules), file=sys.stderr))\n"
        "sys.argv = ['ampbench']\n"
        "from ampbench.cli import main\n"
        "main()\n"
    )
    words = {"COMP_WORDS": "ampbench\nrun\n--task\ntwo_", "COMP_CWORD": "3", "_AMPBENCH_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words)
    assert done.stdout.split() == ["two_moons"]
    assert done.stderr.strip() == "set()"


def test_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for shell, script in SCRIPTS.items():
        show_completion(shell, install=True, as_json=False)
        written = Path(capsys.readouterr().out.splitlines()[0])
        assert written.is_relative_to(tmp_path)
        assert written.read_text() == script
    with pytest.raises(UsageError, match="did you mean 'zsh'"):
        show_completion("zhs", install=False, as_json=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "file")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write .*bash.*print the script"):
        show_completion("bash", install=True, as_json=False)
