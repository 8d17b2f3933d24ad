"""Fetching a published file: checked against its digest, and in its place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from typing import TYPE_CHECKING

from hpo_cli.components.data.cache import write_atomically
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 60.0


def download_file(url: str, *, path: Path, sha256: str) -> None:
    """Fetch `url` to `path`. Raises ConfigError when it cannot be fetched, or is not what was published."""
    content = _fetched(url)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        rule = f"{url} gave {len(content)} bytes with sha256 {found[:12]}..., published was {sha256[:12]}..."
        raise ConfigError("data.download", value=True, rule=rule, fix="try again, or put the file in data.folder")
    try:
        write_atomically(path, content)
    except OSError as error:
        fix = "set data.folder to a folder that you can write"
        raise ConfigError("data.folder", path.parent, rule=f"cannot be written: {error.strerror}", fix=fix) from None


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 our own table of https urls
            content: bytes = response.read()
            return content
    except (OSError, http.client.HTTPException) as error:
        rule = f"{url} could not be fetched: {error}"
        raise ConfigError("data.download", value=True, rule=rule, fix="put the file in data.folder by hand") from None
