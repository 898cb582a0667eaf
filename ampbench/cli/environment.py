"""Checks of the machine for ``ampbench doctor``: folders, limits, processes, clock and devices.

Each check tries what ampbench does: it writes a file, binds a socket, makes a semaphore, computes on the GPU.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOCKET_NAME = "pymp-xxxxxxxx/listener-xxxxxxxx"
"""A name as long as those of the sockets that multiprocessing makes in the folder for temporary files."""

MIN_FREE_BYTES = 200_000_000
"""Smallest free space in a folder that is written to; a kept fit has up to some ten megabytes."""

MIN_OPEN_FILES = 256
"""Smallest limit of open files; each worker takes about ten, and torch opens libraries."""

MAX_CLOCK_SKEW_S = 60.0
"""Largest difference between the clock and that of the file system, in seconds; heartbeats of sweeps compare them."""

OLDEST_TIME = 1_760_000_000.0
"""A time (2025-10-09) that lies in the past, in seconds since 1970."""


@dataclass(frozen=True)
class Check:
    """A check: its subject, what was found, whether it is in order, and the command or step that mends it."""

    what: str
    found: str
    ok: bool = True
    mend: str = ""


def check_machine(results: Path) -> list[Check]:
    """Check folders, limits, processes and the clock.

    Arguments:
        results: the results directory; it need not exist.
    """
    return [*_folders(results), *_sockets(), *_limits(), *_processes(), *_clock()]


def _folders(results: Path) -> Iterator[Check]:
    there = results
    while not there.exists() and there != there.parent:
        there = there.parent
    named = {"results folder": there.resolve(), "temporary files": Path(tempfile.gettempdir())}
    for what, folder in named.items():
        option = "--results DIR" if what == "results folder" else "export TMPDIR=DIR"
        if not folder.is_dir():
            yield Check(what, f"{folder} is no folder", False, f"name another one: {option}")
        elif error := _unwritable(folder):
            mend = f"chmod u+rwx {folder}, or take a folder of yours: {option}"
            yield Check(what, f"nothing can be written in {folder}: {error}", False, mend)
        elif (free := shutil.disk_usage(folder).free) < MIN_FREE_BYTES:
            mend = "make room there (ampbench store gc --fits), or take another folder: " + option
            yield Check(what, f"{free / 1e6:.0f} MB are left in {folder}", False, mend)
        else:
            yield Check(what, f"{folder}, {free / 1e9:.1f} GB free")


def _unwritable(folder: Path) -> str:
    """Return why no file can be written in a folder; "" if one can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".ampbench-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _sockets() -> Iterator[Check]:
    folder = tempfile.gettempdir()
    if not hasattr(socket, "AF_UNIX"):
        return
    with tempfile.TemporaryDirectory(prefix="pymp-", dir=folder) as made:
        path = str(Path(made) / Path(SOCKET_NAME).name)
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
        except OSError as error:
            found = f"no socket of a worker can be made in {folder}: {error.strerror or error}"
            yield Check(
                "sockets", f"{found} (its path has {len(os.fsencode(path))} bytes)", False, "export TMPDIR=/tmp"
            )
        else:
            yield Check("sockets", f"in {folder}")


def _limits() -> Iterator[Check]:
    if sys.platform == "win32":
        return
    import resource

    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < MIN_OPEN_FILES:
        within = most == resource.RLIM_INFINITY or most >= MIN_OPEN_FILES
        mend = "ulimit -n 1024" if within else "raise the hard limit of open files: ulimit -Hn, as root"
        yield Check("open files", f"at most {limit}, {MIN_OPEN_FILES} are needed", False, mend)
    else:
        yield Check("open files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}")


def _processes() -> Iterator[Check]:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        found = f"this system ({sys.platform}) cannot fork, which fits in processes of their own need"
        mend = "use Linux, macOS or the Windows Subsystem for Linux; infer and learn of Python work without"
        yield Check("processes", found, False, mend)
        return
    try:
        multiprocessing.get_context("forkserver").Lock()
    except OSError as error:
        mend = "mount a writable /dev/shm (of a container: --shm-size=1g)"
        yield Check("processes", f"no semaphore can be made: {error.strerror or error}", False, mend)
    else:
        yield Check("processes", f"fork server, {os.cpu_count() or 1} cores")


def _clock() -> Iterator[Check]:
    now = time.time()
    mend = "set the clock: timedatectl set-ntp true"
    if now < OLDEST_TIME:
        yield Check("clock", f"it shows {time.strftime('%Y-%m-%d', time.gmtime(now))}", False, mend)
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=".ampbench-doctor-") as file:
            skew = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:  # which the folder's check reports
        return
    if abs(skew) > MAX_CLOCK_SKEW_S:
        yield Check("clock", f"the file system's clock is off by {skew:.0f} s", False, mend)
    else:
        yield Check("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)))


def check_devices() -> Iterator[Check]:
    """Check that torch can compute on the GPUs of the machine."""
    import torch

    build = torch.version.cuda or getattr(torch.version, "hip", None)
    if not torch.accelerator.is_available():
        if not _has_nvidia_gpu():
            yield Check("device", "cpu only")
        elif build:
            found = f"torch is built for CUDA {build}, and the machine has a GPU, which torch cannot use"
            mend = "compare the CUDA version of nvidia-smi; update the driver, or install torch for an older CUDA"
            yield Check("device", found, False, f"{mend}; in a container: --gpus all")
        else:
            found = "cpu; the machine has a GPU, but this torch is built for the CPU only"
            yield Check("device", found, True, "for the GPU: pip install --force-reinstall torch, in its CUDA build")
        return
    accelerator = torch.accelerator.current_accelerator()
    try:
        (torch.ones(2, device=accelerator) + 1).sum().item()
    except Exception as error:  # whatever a driver raises
        found = f"{accelerator} is there, but does not compute: {error}"
        yield Check("device", found, False, "install a torch that is built for this GPU, or use --device cpu")
    else:
        yield Check("device", f"cpu, {accelerator}")


def _has_nvidia_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None
