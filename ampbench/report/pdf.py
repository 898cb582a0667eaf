"""PDF of a page, printed by a Chromium that is installed.

The charts are drawn by the page's scripts, so that only a browser can print it. The browser reads the page from a
temporary file; the policy of the page allows no requests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ampbench.errors import UsageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
TIMEOUT = 180
"""Longest time, in seconds, that the browser may take."""
WAIT = 10_000
"""Time, in milliseconds of the page's own clock, after which the page is printed."""


def pdf(html: str) -> bytes:
    """Return a page as PDF.

    Raises:
        UsageError: no browser is installed, or it failed; the message gives its last words.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="ampbench-report-") as folder:
        page, target = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        options = [
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            f"--virtual-time-budget={WAIT}",
            f"--print-to-pdf={target}",
            *(["--no-sandbox"] if _is_root() else []),  # Chromium does not start its sandbox as root
        ]
        try:
            made = subprocess.run([browser, *options, page.as_uri()], capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise UsageError(f"{browser} did not print the report within {TIMEOUT} s; use --format html") from None
        if not target.is_file():
            said = " ".join(made.stderr.strip().splitlines()[-1:]) or f"exit code {made.returncode}"
            raise UsageError(f"{browser} did not print the report ({said}); use --format html, and print it yourself")
        return target.read_bytes()


def find_browser() -> str:
    """Return the path of a browser that can print; raises :class:`UsageError` if none is installed."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        raise UsageError(
            f"--format pdf needs a Chromium, and none of {', '.join(BROWSERS)} is on the PATH; install one (Debian: "
            "apt-get install chromium), or use --format html and print the page in any browser"
        )
    return found[0]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
