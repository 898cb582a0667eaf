"""Dask workers as Slurm jobs.

Each worker is a Slurm job, and works on one fit at a time. The scheduler runs in this process, so that the sweep stops
when this process ends; the same command continues it. If Slurm ends a job at its time limit, another worker repeats its
current fit; stored results are kept.

References:
    dask-jobqueue, https://jobqueue.dask.org.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ampbench.counts import whole
from ampbench.errors import UsageError
from ampbench.interfaces import Executor, Job
from ampbench.interfaces.events import Listener
from ampbench_dask.environment import DAEMON


@final
class Slurm(Executor):
    """Dask workers as Slurm jobs; empty options default to the configuration of Slurm and dask-jobqueue.

    Arguments:
        workers: number of workers, each a Slurm job.
        memory: memory of each job.
        walltime: time limit of each job, as hours:minutes:seconds.
        queue: Slurm partition.
        account: Slurm account that is charged.
        extra: further options of sbatch, separated by spaces, such as ``--gres=gpu:1``.
        interface: network interface of the scheduler, such as ``ib0``.
    """

    def __init__(
        self,
        workers: int,
        memory: str = "4GB",
        walltime: str = "24:00:00",
        queue: str = "",
        account: str = "",
        extra: str = "",
        interface: str = "",
    ) -> None:
        workers = whole("workers", workers)
        if workers < 1:
            raise UsageError(f"executor 'slurm' needs at least 1 worker, got workers={workers}")
        self.workers, self.memory, self.walltime = workers, memory, walltime
        self.queue, self.account, self.extra, self.interface = queue, account, extra, interface

    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """See :class:`Executor`."""
        if not jobs:
            return
        try:
            from dask_jobqueue.slurm import SLURMCluster
            from distributed import Client

            from ampbench_dask.session import serve
        except ImportError as error:
            raise UsageError("executor 'slurm' needs dask-jobqueue: pip install 'ampbench[dask]'") from error
        with SLURMCluster(
            cores=jobs[0].limits.threads,
            processes=1,
            worker_extra_args=["--nthreads", "1"],
            memory=self.memory,
            walltime=self.walltime,
            queue=self.queue or None,
            account=self.account or None,
            interface=self.interface or None,
            job_extra_directives=self.extra.split(),
            job_script_prologue=[f"export {DAEMON}=False"],
            log_directory=str(jobs[0].results / "logs" / "slurm"),
        ) as cluster:
            cluster.scale(self.workers)
            serve(lambda: Client(cluster, set_as_default=False), jobs, listener)
