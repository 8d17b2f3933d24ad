"""Whose runs are they? Those that a process began that is no more are given back to the sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo_cli.record.lease import STALE_S
from hpo_cli.record.lease_file import read_lease
from hpo_cli.record.process import Process, is_from_an_earlier_boot, life_of


@dataclass
class Watchman:
    """Remembers when it last saw a sign of life of each run of others, by this process's own clock."""

    stale_s: float = STALE_S
    _seen: dict[Path, tuple[object, float]] = field(default_factory=dict)

    def is_gone(self, folder: Path, driver: Mapping[str, Any]) -> bool:
        """Whether nobody trains in `folder` any more, nor will. driver: the process that began it, by the log."""
        lease = read_lease(folder)
        if lease is not None and lease.standing == "alive":
            return False
        who = process_of(driver)
        life = "dead" if is_from_an_earlier_boot(who) else life_of(who)
        if life == "alive":
            return False
        if life == "dead" and (lease is None or lease.standing in ("dead", "released")):
            return True
        return self._is_quiet(folder, None if lease is None else (lease.token, lease.beat))

    def _is_quiet(self, folder: Path, sign: object) -> bool:
        """Whether the sign of life has been the same for as long as a lease may be silent."""
        now = time.monotonic()
        known, since = self._seen.get(folder, (object(), now))
        if known != sign:
            since = now
        self._seen[folder] = (sign, since)
        return now - since > self.stale_s


def process_of(saved: Mapping[str, Any]) -> Process:
    """The process that a log names."""
    texts = {key: str(saved.get(key, "")) for key in ("host", "boot", "namespace", "start")}
    pid = saved.get("pid")
    return Process(pid=pid if isinstance(pid, int) else 0, **texts)
