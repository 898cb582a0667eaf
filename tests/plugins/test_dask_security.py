"""Credentials for TLS: faults of files, and sides that do not accept each other, are named within seconds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ampbench import registry
from ampbench.errors import UsageError
from ampbench.interfaces import Job
from ampbench.interfaces.events import Event, Note
from ampbench.running import sweep

pytest.importorskip("distributed")

from distributed.comm.core import Comm, Listener, listen
from distributed.security import Security
from distributed.utils import LoopRunner

from ampbench_dask import probe
from ampbench_dask.probe import ANSWER_TIMEOUT_S, check_scheme
from ampbench_dask.scheduler import Dask
from ampbench_dask.security import Credentials, from_configuration, from_folder, none
from ampbench_dask.slurm import Slurm


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make a folder with a self-signed certificate, which is its own authority."""
    folder.mkdir(mode=0o700)
    new = ["-newkey", "rsa:2048", "-nodes", "-days", 1, "-subj", "/CN=test"]
    openssl("req", "-x509", *new, "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    shutil.copy(folder / "cert.pem", folder / "ca.pem")
    return folder


def expired(folder: Path, signer: Path) -> Path:
    """Make a folder with a certificate that another one has signed, and whose last day was yesterday."""
    shutil.copytree(signer, folder)
    openssl("req", "-new", "-key", folder / "key.pem", "-subj", "/CN=old", "-out", folder / "request.pem")
    signed = ["-CA", signer / "cert.pem", "-CAkey", signer / "key.pem", "-CAcreateserial", "-days", "-1"]
    openssl("x509", "-req", "-in", folder / "request.pem", *signed, "-out", folder / "cert.pem")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folders ``ours``, ``other`` and ``expired``."""
    folder = tmp_path_factory.mktemp("credentials")
    authority(folder / "other")
    expired(folder / "expired", authority(folder / "ours"))
    return folder


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def lock(folder: Path) -> None:
    openssl("pkey", "-in", folder / "key.pem", "-aes256", "-passout", "pass:x", "-out", folder / "locked.pem")
    (folder / "locked.pem").replace(folder / "key.pem")


FAULTS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "no folder": (lambda folder, made: shutil.rmtree(folder), "there is no folder"),
    "no authority": (lambda folder, made: (folder / "ca.pem").unlink(), "ca.pem cannot be read .No such file"),
    "no certificate": (lambda folder, made: (folder / "cert.pem").unlink(), "cert.pem cannot be read .No such file"),
    "no key": (lambda folder, made: (folder / "key.pem").unlink(), "key.pem cannot be read .No such file"),
    "a pipe": (lambda folder, made: ((folder / "ca.pem").unlink(), os.mkfifo(folder / "ca.pem")), "no.* regular file"),
    "a device": (
        lambda folder, made: ((folder / "key.pem").unlink(), (folder / "key.pem").symlink_to("/dev/zero")),
        "key.pem is not a regular file",
    ),
    "a folder": (
        lambda folder, made: ((folder / "cert.pem").unlink(), (folder / "cert.pem").mkdir()),
        "cert.pem is not a regular file",
    ),
    "a link to itself": (
        lambda folder, made: ((folder / "key.pem").unlink(), (folder / "key.pem").symlink_to(folder / "key.pem")),
        "key.pem cannot be read .Too many levels",
    ),
    "an empty authority": (lambda folder, made: replace(folder / "ca.pem", b""), "ca.pem holds no certificate in PEM"),
    "bytes as authority": (lambda folder, made: replace(folder / "ca.pem", b"\0\xff" * 99), "ca.pem holds no certif"),
    "an empty certificate": (lambda folder, made: replace(folder / "cert.pem", b""), "cert.pem and .*key.pem are not"),
    "an empty key": (lambda folder, made: replace(folder / "key.pem", b""), "cert.pem and .*key.pem are not"),
    "the key of another": (
        lambda folder, made: shutil.copy(made / "other" / "key.pem", folder / "key.pem"),
        "are not a certificate and its private key .*key values mismatch",
    ),
    "a passphrase": (lambda folder, made: lock(folder), "key.pem has a passphrase.*openssl pkey"),
    "another authority": (
        lambda folder, made: shutil.copy(made / "other" / "ca.pem", folder / "ca.pem"),
        "ca.pem does not accept .*cert.pem: self.signed certificate",
    ),
    "expired": (
        lambda folder, made: shutil.copytree(made / "expired", folder, dirs_exist_ok=True),
        "does not accept .*cert.pem: certificate has expired; .*-dates",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_files_are_named(made: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both executors name option, file and fault before they connect to anything."""
    folder = Path(shutil.copytree(made / "ours", tmp_path / "tls"))
    spoil, message = FAULTS[fault]
    spoil(folder, made)
    executors = [Dask("tls://127.0.0.1:1", security="~/tls"), Slurm(1, security="~/tls")]
    monkeypatch.setenv("HOME", str(tmp_path))
    for check in [lambda: executors[0].execute([], print), lambda: executors[1]._credentials(tmp_path)]:
        with pytest.raises(UsageError, match=f"(?s)^security=~/tls: .*{message}"):
            check()


def test_dasks_configuration_is_checked_alike(made: Path) -> None:
    import dask

    def configured(folder: Path) -> dict[str, str]:
        client = {f"client.{name}": str(folder / f"{name}.pem") for name in ("key", "cert")}
        return {
            f"distributed.comm.tls.{key}": value
            for key, value in (client | {"ca-file": str(folder / "ca.pem")}).items()
        }

    with dask.config.set(configured(made / "ours")):
        assert from_configuration().used
    with (
        dask.config.set(configured(made / "expired")),
        pytest.raises(UsageError, match=r"^dask's configuration distributed.comm.tls: .* certificate has expired"),
    ):
        from_configuration()
    with dask.config.set({"distributed.comm.tls.min-version": 1.0}), pytest.raises(UsageError, match="min-version"):
        from_configuration()
    assert not from_configuration().used


def test_temporary_credentials_need_cryptography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UsageError, match=r"^security=temporary needs cryptography: pip install 'ampbench\[dask\]'"):
        Slurm(1)._credentials(tmp_path)


@pytest.mark.parametrize("name", ["a b", "a;touch c", "$(touch c)", "é"])
def test_paths_that_a_shell_would_read_otherwise(made: Path, tmp_path: Path, name: str) -> None:
    """Dask-jobqueue writes paths without quotes into scripts."""
    folder = Path(shutil.copytree(made / "ours", tmp_path / name))
    with pytest.raises(UsageError, match="stands in Slurm scripts"):
        Slurm(1, security=str(folder))._credentials(tmp_path)


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    runs = sweep.runs(
        sweep.check({"tasks": ["two_moons"], "methods": ["npe"], "budgets": [10]}, "test"), registry.load()
    )
    with pytest.raises(UsageError, match="needs Slurm's command 'sbatch', which is not in PATH on "):
        Slurm(1).execute([Job(tuple(runs[:1]), tmp_path)], print)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_that_others_may_read_gets_a_warning(made: Path, tmp_path: Path, mode: int, warned: bool) -> None:
    folder = Path(shutil.copytree(made / "ours", tmp_path / "tls"))
    (folder / "key.pem").chmod(mode)
    events: list[Event] = []
    Dask("tls://127.0.0.1:1", security=str(folder)).execute([], events.append)
    texts = [event.text for event in events if isinstance(event, Note)]
    assert [f"mode {mode:04o}" in text and "chmod 600" in text for text in texts] == [True] * warned


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1"])
def test_a_sweep_without_tls_says_so(address: str) -> None:
    events: list[Event] = []
    Dask(address).execute([], events.append)
    assert [event.text for event in events if isinstance(event, Note)] == [
        f"address={address}: connections are not encrypted, and whoever reaches the scheduler's port can execute code; "
        "see 'TLS on a cluster' in docs/sweeps.md"
    ]


@pytest.mark.parametrize(
    ("address", "secured", "message"),
    [
        ("tls://h:1", False, "address=tls://h:1 is encrypted, but there are no credentials; give security=FOLDER"),
        ("tcp://h:1", True, "address=tcp://h:1 is not encrypted, but security=.*; write address=tls://h:1"),
        ("h:1", True, "address=h:1 is not encrypted, but security=.*; write address=tls://h:1"),
        ("http://h:1", False, "'http://h:1' is no address of a dask scheduler: .*'http'"),
        ("tls://h", True, "'tls://h' is no address of a dask scheduler: missing port"),
        ("tcp://h:99999", False, "no address of a dask scheduler: its port 99999 is not in 1, …, 65535"),
        ("", False, "'' is no address of a dask scheduler"),
    ],
)
def test_addresses_that_contradict_the_credentials(made: Path, address: str, secured: bool, message: str) -> None:
    credentials = from_folder(str(made / "ours")) if secured else none()
    with pytest.raises(UsageError, match=message):
        check_scheme(address, credentials)


@contextmanager
def scheduler(security: Security | None) -> Iterator[str]:
    """A server in a thread that greets as a scheduler does."""
    listened = (security or Security()).get_listen_args("scheduler")

    async def ignore(comm: Comm) -> None:
        await comm.close()

    async def start() -> Listener:
        return await listen(f"{'tls' if security else 'tcp'}://127.0.0.1:0", ignore, **listened)

    async def stop(listener: Listener) -> None:
        listener.stop()

    runner = LoopRunner()
    runner.start()
    listener = runner.run_sync(start)
    try:
        yield listener.contact_address
    finally:
        runner.run_sync(stop, listener)
        runner.stop()


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def of(folder: Path, ca: Path | None = None) -> Security:
    """Credentials that are not checked, unlike those of :func:`from_folder`."""
    pair = {
        f"tls_{role}_{name}": str(folder / f"{name}.pem")
        for role in ("client", "scheduler")
        for name in ("cert", "key")
    }
    return Security(tls_ca_file=str((ca or folder) / "ca.pem"), require_encryption=True, **pair)


def answer(address: str, credentials: Credentials) -> str:
    """Return the text of the error if a scheduler does not answer, or is not accepted; an empty text if it is."""
    begun = time.monotonic()
    try:
        probe.probe(address, credentials)
    except (UsageError, OSError) as error:
        return str(error)
    finally:
        assert time.monotonic() - begun < 2 * ANSWER_TIMEOUT_S
    return ""


def test_sides_that_accept_each_other(made: Path) -> None:
    with scheduler(of(made / "ours")) as address:
        assert answer(address, from_folder(str(made / "ours"))) == ""
    with scheduler(None) as address:
        assert answer(address, none()) == ""


def test_sides_that_do_not_accept_each_other(made: Path) -> None:
    ours = from_folder(str(made / "ours"))
    with scheduler(of(made / "ours")) as address:
        other = answer(address, from_folder(str(made / "other")))
        plain = answer(address.replace("tls", "tcp"), none())
    assert "other does not accept the certificate of the scheduler" in other
    assert "self-signed certificate" in other
    assert f"uses TLS; write address={address} and security=FOLDER" in plain
    with scheduler(of(made / "expired")) as address:
        assert "ours does not accept the certificate of the scheduler" in (text := answer(address, ours))
        assert "expired" in text
    with scheduler(of(made / "ours", ca=made / "other")) as address:
        assert "does not accept the certificate of security=" in (text := answer(address, ours))
        assert "unknown ca" in text
    with scheduler(None) as address:
        text = answer(address.replace("tcp", "tls"), ours)
    assert "no dask scheduler with TLS (" in text


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_server_that_sends_nothing(made: Path, encrypted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(probe, "ANSWER_TIMEOUT_S", 1.0)
    with silent() as address:
        secured = from_folder(str(made / "ours")) if encrypted else none()
        text = answer(address.replace("tcp", "tls" if encrypted else "tcp"), secured)
    assert "sends nothing" in text or "timed out" in text
