"""The store: reading of many records, for the first time and again, and the commands that read all of them."""

from __future__ import annotations

import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

from ampbench.cli.compare import show
from ampbench.results import load
from ampbench.results.stamps import SETTLED_S
from ampbench.results.store import Store
from ampbench.results.survey import survey
from ampbench.running.plan import plan
from benchmarks.records import fill, runs_of


class Records:
    """A store of some number of records; its index is in a folder of its own."""

    params = (1_000, 10_000)
    param_names = ("records",)
    timeout = 600

    def setup_cache(self) -> str:
        folder = tempfile.mkdtemp()
        for size in self.params:
            fill(Path(folder) / str(size), size)
        return folder

    def setup(self, folder: str, size: int) -> None:
        self.path = Path(folder) / str(size)
        self.runs = runs_of(size)
        self.environment = mock.patch.dict(os.environ, {"XDG_CACHE_HOME": f"{folder}/cache"})
        self.environment.start()
        with mock.patch("ampbench.results.stamps.SETTLED_S", -SETTLED_S):  # the records are some seconds old
            load(self.path)

    def teardown(self, folder: str, size: int) -> None:
        self.environment.stop()

    def time_load(self, folder: str, size: int) -> None:
        load(self.path)

    def time_load_without_index(self, folder: str, size: int) -> None:
        with mock.patch("ampbench.results.index.place", return_value=None):
            load(self.path)

    def time_status(self, folder: str, size: int) -> None:
        survey(Store(self.path), names=())

    def time_plan(self, folder: str, size: int) -> None:
        plan(self.runs, Store(self.path))

    def time_compare(self, folder: str, size: int) -> None:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            show(self.path, (), noise=False, published=False, mix=False)

    def peakmem_load(self, folder: str, size: int) -> None:
        load(self.path)
