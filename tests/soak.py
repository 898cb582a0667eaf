r"""Soak test: 500 short runs for an hour, during which processes are killed at random. Run by hand.

::

    python tests/soak.py [--minutes 60] [--seeds 50] [--folder DIR]

Ten methods, of which one is hostile (``tests/soak_plugin``), infer the slow task of this plugin with 50 seeds each.
The undisturbed sweep comes first, without pauses. Then two sweeps with these runs write to one folder: one on the two
workers of a dask scheduler, the other on two local workers; both take the runs in the same order. Every minute a
process is killed at random, and started again where a user would start it again:

==============  ==================================================================
worker          SIGKILL to a process in which a fit runs
sweep           SIGKILL, SIGTERM, SIGHUP or SIGINT to one of the two sweeps
scheduler       SIGKILL to the scheduler of dask
dask worker     SIGKILL to a worker of dask
==============  ==================================================================

``ampbench status`` is asked every ten seconds. After the last kill both sweeps are ended, and repeated without pauses
until they end by themselves. The script checks at the end, and exits with 1 if a check fails:

- every run has one valid record, equal to that of the undisturbed sweep but for times, and equal samples;
- ``ampbench store check`` finds nothing damaged, and no temporary file is left;
- no process of a sweep is left, ten seconds after the sweep was ended by whatever signal;
- the memory of sweeps, schedulers and workers did not grow;
- ``ampbench status`` and the interrupted sweeps printed no traceback, and exited with the documented statuses.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import psutil
from soak_processes import Launch, runs_fit

from ampbench.results.checksums import Damage
from ampbench.results.store import Store, Stored

PLUGIN = Path(__file__).parent / "soak_plugin"
METHODS = (
    "prior",
    "rejection-abc",
    "npe:max_epochs=3",
    "fmpe:max_epochs=3",
    "amp:steps=20",
    "amp:divergence=forward-kl,family=gaussian,steps=20",
    "amp:divergence=energy,steps=20,particles=2",
    "amp:divergence=mmd,steps=20",
    "amp:divergence=riesz,steps=20,particles=2",
    "hostile",
)
BUDGET = 100
FOLLOWED_S, STATUS_S, KILL_S = 1.0, 10.0, 60.0
"""Seconds between two looks at the processes, two calls of ``ampbench status``, and two kills."""
PATIENCE_S = 10.0
"""Seconds after the end of a sweep within which its processes have to end."""
TIMEOUT_S = 120
CACHE = "torchinductor_"
"""Name of torch's cache, which all processes share and keep."""
GROWTH, SLACK_MIB = 1.2, 50
"""The largest memory in the second half may be 1.2 times that of the first half, and 50 MiB."""
TIMES = {"fit_seconds", "sample_seconds", "metric_seconds", "finished", "traceback"}
"""Fields of a record that differ between equal runs; a traceback names log files."""
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
"""Exit status of a sweep by the signal that ends it."""


class Soak:
    """The processes of a soak, and the faults that were found.

    Arguments:
        folder: for results, logs and temporary files.
        seeds: number of seeds, and of runs of a method.
        minutes: time until the last kill.
        seed: of the order of the kills.
    """

    def __init__(self, folder: Path, seeds: int, minutes: float, seed: int) -> None:
        self.folder, self.seeds, self.minutes = folder, seeds, minutes
        self.random = random.Random(seed)
        self.faults: list[str] = []
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        workers = 2  # of each sweep; both take the runs in the same order
        self.pause = minutes * 60 * workers * 0.8 / (len(METHODS) * seeds * BUDGET)
        self.scheduler = self._launch("scheduler", "distributed.cli.dask_scheduler", "--host", self.address)
        flags = ("--nthreads", "1", "--nworkers", "1", "--no-dashboard")
        self.workers = [
            self._launch(f"dask worker {i}", "distributed.cli.dask_worker", self.address, *flags) for i in (1, 2)
        ]
        dask = ("--executor", f"dask:address={self.address}")
        self.sweeps = [
            self._sweep("sweep on dask", METHODS, "together", *dask),
            self._sweep("second sweep", METHODS, "together", "--workers", "2"),
        ]

    def run(self) -> None:
        """Run both parts, and check."""
        self.say(
            f"{len(METHODS) * self.seeds} runs, {self.pause * BUDGET:.1f} s of pauses each; {psutil.cpu_count()} cores"
        )
        began = time.monotonic()
        alone = self._sweep("undisturbed", METHODS, "undisturbed", "--workers", "2")
        alone.environment = {**alone.environment, "SOAK_PAUSE": "0"}
        self._until_ended(alone)
        self.say(f"undisturbed sweep: {time.monotonic() - began:.0f} s, exit status {alone.ended()}")
        self._disturb()
        for each in self.sweeps:  # what is left is done without pauses
            if each.process and each.ended() is None:
                each.process.send_signal(signal.SIGTERM)
                each.process.wait()
            each.process = None
            each.environment = {**each.environment, "SOAK_PAUSE": "0"}
        for each in self.sweeps:
            self._until_ended(each)
        self.say(f"all sweeps have ended: exit statuses {', '.join(str(each.ended()) for each in self.sweeps)}")
        for each in (*self.workers, self.scheduler):
            if each.process:
                each.process.send_signal(signal.SIGTERM)
        for each in (*self.workers, self.scheduler, *self.sweeps, alone):
            self._check_left(each)
        self._check_files()
        self._check_records()
        self._check_memory()

    def say(self, text: str) -> None:
        """Print a line with the time."""
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def fault(self, text: str) -> None:
        """Note what should not be."""
        self.faults.append(text)
        self.say(f"FAULT: {text}")

    def _launch(self, role: str, *command: str) -> Launch:
        path = os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")])
        environment = {
            "PYTHONPATH": path.rstrip(os.pathsep),
            "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
            "SOAK_PAUSE": str(self.pause),
            "TMPDIR": str(self.temporary),
            "DASK_TEMPORARY_DIRECTORY": str(self.folder / "dask"),  # dask's own, which it cleans up by itself
        }
        return Launch(role, command, environment, self.folder)

    def _sweep(self, role: str, methods: Sequence[str], results: str, *more: str) -> Launch:
        path = self.folder / f"{role.replace(' ', '-')}.toml"
        listed = ", ".join(f'"{each}"' for each in methods)
        path.write_text(
            f'tasks = ["paced"]\nmethods = [{listed}]\nmetrics = ["mmd"]\nbudgets = [{BUDGET}]\n'
            f"samples = 100\nseeds = {list(range(self.seeds))}\n"
        )
        limits = ("--timeout", str(TIMEOUT_S), "--memory", "4", "--retries", "5")
        return self._launch(role, "ampbench", "run", str(path), "--results", results, *limits, *more)

    def _disturb(self) -> None:
        """Run both sweeps; kill a process every minute, and ask for the status every ten seconds."""
        for each in (self.scheduler, *self.workers, *self.sweeps):
            each.start()
        began = time.monotonic()
        kill, ask = began + KILL_S, began + STATUS_S
        kills = (self._kill_worker, self._kill_sweep, self._kill_scheduler, self._kill_dask_worker)
        while time.monotonic() < began + self.minutes * 60:
            time.sleep(FOLLOWED_S)
            for each in (self.scheduler, *self.workers, *self.sweeps):
                each.follow()
            if time.monotonic() > ask:
                ask += STATUS_S
                self._ask_status()
            if time.monotonic() > kill:
                kill += KILL_S
                self.random.choice(kills)()
            if all(each.ended() in (0, 1) for each in self.sweeps):
                self.say(f"both sweeps ended after {(time.monotonic() - began) / 60:.1f} minutes")
                return
            self._keep_cluster()
            for each in self.sweeps:
                if each.ended() not in (None, 0, 1):
                    self.fault(f"{each.role} ended with {each.ended()}; see {each.output.name}")
                    each.start()

    def _keep_cluster(self) -> None:
        """Start scheduler and workers of dask again if they have ended, as workers do that lose their scheduler."""
        for each in (self.scheduler, *self.workers):
            if each.process and each.ended() is not None:
                self.say(f"{each.role} ended with {each.ended()}; it is started again")
                each.start()

    def _ask_status(self) -> None:
        command = [sys.executable, "-m", "ampbench", "status", "--results", "together"]
        environment = os.environ | self.sweeps[0].environment
        asked = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        if asked.returncode or asked.stderr:
            self.fault(f"status exited with {asked.returncode}: {asked.stderr[-500:]}")

    def _kill_worker(self) -> None:
        """Kill a process in which a fit runs: a child of a fork server."""
        launches = (*self.sweeps, *self.workers)
        alive = [each for each in launches if each.ended() is None]
        found = [(launch.role, each) for launch in alive for each in launch.left() if runs_fit(each)]
        if not found:
            self.say("no worker is running that could be killed")
            return
        role, victim = self.random.choice(found)
        self.say(f"SIGKILL to a worker of the {role}")
        with suppress(psutil.Error):
            victim.kill()

    def _kill_sweep(self) -> None:
        """End a sweep by a signal, look for what it left behind, and start it again."""
        running = [each for each in self.sweeps if each.ended() is None]
        if not running:
            return
        each, number = self.random.choice(running), self.random.choice(list(SIGNALS))
        assert each.process
        self.say(f"{number.name} to the {each.role}")
        each.process.send_signal(number)
        try:
            status = each.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.fault(f"the {each.role} did not end within 60 s after {number.name}")
            each.process.kill()
        else:
            if status not in (SIGNALS[number], 0, 1):  # it had ended by itself
                self.fault(f"the {each.role} exited with {status} after {number.name}, not with {SIGNALS[number]}")
        self._check_left(each)
        each.start()

    def _kill_scheduler(self) -> None:
        self._kill_and_restart(self.scheduler)

    def _kill_dask_worker(self) -> None:
        self._kill_and_restart(self.random.choice(self.workers))

    def _kill_and_restart(self, each: Launch) -> None:
        if each.process and each.ended() is None:
            self.say(f"SIGKILL to the {each.role}")
            each.process.kill()
            each.process.wait()
            self._check_left(each)
            each.start()

    def _until_ended(self, each: Launch) -> None:
        """Let a sweep end by itself; runs that had failed are repeated by a new start."""
        if each.ended() is not None or not each.process:
            each.start()
        while each.ended() is None:
            time.sleep(FOLLOWED_S)
            self._keep_cluster()
        if each.ended() not in (0, 1):
            self.fault(f"the {each.role} ended with {each.ended()}; see {each.output.name}")

    def _check_left(self, each: Launch) -> None:
        """Check that no process of an ended launch is left."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := each.left()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in left:
            with suppress(psutil.Error):
                self.fault(f"{each.role} left process {process.pid}: {' '.join(process.cmdline())[:150]}")
                process.kill()

    def _check_files(self) -> None:
        for name in ("undisturbed", "together"):
            command = [sys.executable, "-m", "ampbench", "store", "check", "--results", name]
            checked = subprocess.run(
                command, cwd=self.folder, env=os.environ | self.sweeps[0].environment, capture_output=True, text=True
            )
            self.say(f"store check of {name}: {' '.join(checked.stdout.split())}")
            if checked.returncode:
                self.fault(f"store check of {name} exited with {checked.returncode}: {checked.stderr[-500:]}")
        unfinished = [*self.folder.rglob(".writing-*"), *(self.folder / "together" / "active").glob("*")]
        temporary = [path for path in self.temporary.iterdir() if not path.name.startswith(CACHE)]
        for path in (*unfinished, *temporary):
            self.fault(f"the file {path.relative_to(self.folder)} is left")
        for each in self.sweeps:  # dask's own processes log tracebacks when a connection is lost
            if "Traceback" in each.output.read_text(errors="replace"):
                self.fault(f"{each.output.name} has a traceback")

    def _check_records(self) -> None:
        """Check that both stores have equal records."""
        alone, together = (dict(_records(self.folder / name)) for name in ("undisturbed", "together"))
        wanted = len(METHODS) * self.seeds
        kinds = sorted(stored.record.kind for stored in together.values() if stored.record.kind)
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        self.say(f"{len(together)} records of {wanted} runs: {len(together) - len(kinds)} ok, {counts}")
        if not len(alone) == len(together) == wanted or alone.keys() != together.keys():
            self.fault(f"{len(alone)} runs undisturbed and {len(together)} together, where {wanted} should be")
        for key in alone.keys() & together.keys():
            if different := list(_differences(alone[key], together[key])):
                self.fault(f"{key} ({alone[key].record.run.method}): {'; '.join(different)}")

    def _check_memory(self) -> None:
        """Check that the largest memory of the second half is about that of the first half."""
        for each in (self.scheduler, *self.workers, *self.sweeps):
            middle = (each.memory[0][0] + each.memory[-1][0]) / 2
            first = max(used for when, used in each.memory if when <= middle)
            second = max(used for when, used in each.memory if when >= middle)
            halves = f"{first:.0f} MiB in the first half, {second:.0f} MiB in the second"
            self.say(f"largest memory of the {each.role}: {halves} ({each.starts} starts)")
            if second > GROWTH * first + SLACK_MIB:
                self.fault(f"the memory of the {each.role} grew")


def _records(results: Path) -> Iterator[tuple[str, Stored]]:
    for each in Store(results).scan():
        if isinstance(each, Damage):
            raise SystemExit(str(each))
        yield each.record.run.key, each


def _differences(first: Stored, second: Stored) -> Iterator[str]:
    """Return the fields that differ between two records of a run."""
    if first.samples != second.samples:
        yield "other samples"
    for name in (each.name for each in fields(first.record) if each.name not in TIMES):
        one, other = getattr(first.record, name), getattr(second.record, name)
        if one != other:
            yield f"{name} {str(one)[:150]!r} and {str(other)[:150]!r}"


def main() -> None:
    """Run the soak, and exit with 1 if a check fails."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background commands of a shell ignore it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the kills")
    parser.add_argument("--folder", type=Path, default=None, help="a new folder; by default a temporary one")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(folder.resolve(), chosen.seeds, chosen.minutes, chosen.seed)
    soak.run()
    soak.say(f"{len(soak.faults)} faults")
    sys.exit(bool(soak.faults))


if __name__ == "__main__":
    main()
