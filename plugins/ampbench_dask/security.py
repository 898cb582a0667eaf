"""Credentials for TLS between scheduler, workers and sweep.

Dask deserializes what it receives by pickle, so that whoever can send messages to a scheduler, worker or client can
execute code there. With TLS, each side accepts only peers whose certificate is signed by the authority ``ca.pem``: the
private key is the right to execute code on the cluster. Host names are not compared, since workers have none that is
known beforehand; the authority must therefore sign for this cluster only.

A folder of credentials has three files in PEM format:

==============  ====================================================================
``ca.pem``      the certificate of the authority
``cert.pem``    a certificate signed by it; a self-signed one is its own authority
``key.pem``     the private key of ``cert.pem``, without passphrase
==============  ====================================================================

References:
    Rescorla 2018, *The Transport Layer Security (TLS) Protocol Version 1.3*, RFC 8446,
    https://www.rfc-editor.org/rfc/rfc8446;
    dask.distributed, *TLS/SSL*, https://distributed.dask.org/en/stable/tls.html.
"""

from __future__ import annotations

import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distributed.security import Security

from ampbench.errors import UsageError

ADVICE = "see 'TLS on a cluster' in docs/sweeps.md"
"""Where the user finds how credentials are made."""
OPEN_TO_ALL = f"connections are not encrypted, and whoever reaches the scheduler's port can execute code; {ADVICE}"
"""Warning of connections without TLS."""
ROLES = ("client", "scheduler", "worker")
"""Roles of processes in dask, of which each may have a certificate of its own."""
CONFIGURATION = "distributed.comm.tls"
"""The section of dask's configuration that names credentials."""


@dataclass(frozen=True)
class Files:
    """Files of credentials.

    Attributes:
        ca: certificate of the authority.
        cert: own certificate.
        key: private key of ``cert``; the file of ``cert`` itself if that holds both.
    """

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class Credentials:
    """Dask's settings for TLS, which are empty for connections without TLS.

    Attributes:
        security: the settings.
        origin: the option that names the credentials, and its value, for messages.
        files: the files, unless the credentials are in memory only.
    """

    security: Security
    origin: str = ""
    files: Files | None = None

    @property
    def used(self) -> bool:
        """Whether these are credentials."""
        return self.security.get_tls_config_for_role("client")["ca_file"] is not None

    @property
    def warning(self) -> str:
        """A warning if other users may read the private key, as ssh gives it; otherwise an empty text."""
        mode = stat.S_IMODE(self.files.key.stat().st_mode) if self.files else 0
        if not self.files or not mode & (stat.S_IRWXG | stat.S_IRWXO):
            return ""
        return (
            f"other users may read the private key {self.files.key} (mode {mode:04o}), and whoever has it can execute "
            f"code on the cluster: chmod 600 {self.files.key}"
        )


def from_folder(folder: str, serving: bool = False) -> Credentials:
    """Return the credentials in a folder, for a client, scheduler and workers.

    Arguments:
        folder: the folder, which has the files of the table above.
        serving: whether a scheduler and workers are to use them also, not only a client.

    Raises:
        UsageError: a file is missing or unreadable, key and certificate do not belong together, or the authority does
            not accept the certificate, for example because it has expired.
    """
    directory, origin = Path(folder).expanduser().absolute(), f"security={folder}"
    if not directory.is_dir():
        raise UsageError(
            f"{origin}: there is no folder {directory}; it must hold ca.pem, cert.pem and key.pem; {ADVICE}"
        )
    files = Files(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    _check_files(files, origin)
    pairs = {f"tls_{role}_cert": str(files.cert) for role in ROLES} | {
        f"tls_{role}_key": str(files.key) for role in ROLES
    }
    security = Security(require_encryption=True, tls_ca_file=str(files.ca), **pairs)
    _rehearse(security, files, origin, serving)
    return Credentials(security, origin, files)


def from_configuration() -> Credentials:
    """Return the credentials that dask's own configuration names, if it names any.

    Raises:
        UsageError: as :func:`from_folder`, or dask refuses a value of its configuration.
    """
    try:
        security = Security()
    except ValueError as error:
        raise UsageError(f"dask's configuration is wrong: {error}") from error
    origin = f"dask's configuration {CONFIGURATION}"
    named = security.get_tls_config_for_role("client")
    ca, cert, key = named["ca_file"], named["cert"], named["key"] or named["cert"]
    if not (ca and cert) or "\n" in ca + cert + key:  # the text of a certificate rather than its path
        return Credentials(security, origin)
    files = Files(Path(ca).absolute(), Path(cert).absolute(), Path(key).absolute())
    _check_files(files, origin)
    _rehearse(security, files, origin, serving=False)
    return Credentials(security, origin, files)


def temporary() -> Credentials:
    """Return credentials that are made for this process.

    Raises:
        UsageError: the package cryptography is not installed.
    """
    try:
        return Credentials(Security.temporary(), "security=temporary")
    except ImportError as error:
        raise UsageError(
            "security=temporary needs cryptography: pip install 'ampbench[dask]'; "
            f"or give security=FOLDER with your own credentials, {ADVICE}"
        ) from error


def none() -> Credentials:
    """Return the settings for connections without TLS."""
    return Credentials(Security(require_encryption=False, tls_ca_file=None))


def reason(error: ssl.SSLError) -> str:
    """Return the reason of an error of TLS in words, such as ``wrong version number``."""
    return str(error.reason or error.args[-1]).replace("_", " ").lower()


def _check_files(files: Files, origin: str) -> None:
    """Raise :class:`UsageError` for a file that cannot be read or used; the message names the option and the file."""
    for path in (files.ca, files.cert, files.key):
        _check_readable(path, origin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise UsageError(
            f"{origin}: {files.ca} holds no certificate in PEM format ({reason(error)}); {ADVICE}"
        ) from error

    def refuse() -> str:
        raise UsageError(
            f"{origin}: {files.key} has a passphrase, for which dask would ask on each machine; write the key "
            f"without it: openssl pkey -in {files.key} -out NEW.pem"
        )

    try:
        context.load_cert_chain(files.cert, files.key, password=refuse)
    except ssl.SSLError as error:
        fault = f"{files.cert} and {files.key} are not a certificate and its private key in PEM format"
        raise UsageError(f"{origin}: {fault} ({reason(error)}); {ADVICE}") from error


def _check_readable(path: Path, origin: str) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{origin}: {path} is not a regular file; it must be a file in PEM format; {ADVICE}")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{origin}: {path} cannot be read ({error.strerror}); {ADVICE}") from error


def _rehearse(security: Security, files: Files, origin: str, serving: bool) -> None:
    """Perform the handshake of a client and a server in memory, both with these credentials.

    Raises:
        UsageError: the authority does not accept the certificate.
    """
    client: ssl.SSLContext = security.get_connection_args("client")["ssl_context"]
    server: ssl.SSLContext = security.get_listen_args("client")["ssl_context"]
    if not serving:  # a certificate may be for clients only
        client.verify_mode = ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    try:
        for side in sides * 3:  # a handshake has at most two round trips
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise UsageError(
            f"{origin}: {files.ca} does not accept {files.cert}: {error.verify_message}; "
            f"'openssl x509 -in {files.cert} -noout -issuer -dates' shows issuer and dates; {ADVICE}"
        ) from error
    except ssl.SSLError as error:
        raise UsageError(f"{origin}: {files.cert} cannot be used for TLS ({reason(error)}); {ADVICE}") from error
