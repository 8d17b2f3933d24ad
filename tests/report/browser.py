"""A headless Chromium: what it says, asks the network for, and makes of a page."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--no-first-run", "--disable-extensions",
    "--virtual-time-budget=4000", "--enable-logging=stderr", "--v=0",
)  # fmt: skip
_BROWSER = "not an origin"


def chromium() -> str | None:
    """Where a browser is, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Visit:
    """dom: the page after its scripts.   said: lines of its console.   asked: addresses that it loaded."""

    dom: str
    said: tuple[str, ...]
    asked: tuple[str, ...]


def visit(page: Path, scratch: Path, *, width: int = 1180) -> Visit:
    """Load a page from disk. scratch: a folder for the browser's own files."""
    log = scratch / "net.json"
    done = _run(page, scratch, f"--log-net-log={log}", "--dump-dom", f"--window-size={width},900")
    said = tuple(line for line in done.stderr.splitlines() if ":CONSOLE" in line)
    return Visit(done.stdout, said, tuple(_asked(log)))


def shoot(page: Path, picture: Path, scratch: Path, *, size: tuple[int, int], scheme: Literal["light", "dark"]) -> None:
    """A screenshot of the top of a page. size: columns and rows of pixels."""
    colours = [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"]
    _run(page, scratch, *colours, f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}")


def _run(page: Path, scratch: Path, *switches: str) -> subprocess.CompletedProcess[str]:
    browser = chromium()
    assert browser is not None
    command = [browser, *SWITCHES, f"--user-data-dir={scratch / 'profile'}", *switches, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def _asked(log: Path) -> list[str]:
    """Addresses that the page asked for, files apart. What the browser asks for itself has no origin."""
    requests = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    found = {one["url"] for one in requests if one.get("initiator", _BROWSER) != _BROWSER and "url" in one}
    return sorted(url for url in found if not url.startswith(("file:", "data:")))
