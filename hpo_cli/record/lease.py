"""One process trains in a run's folder: who holds its lease. Safe over NFS, and no two clocks are ever compared."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hpo_cli.errors import UserError
from hpo_cli.record.folder import CHECKPOINTS, CONTROL
from hpo_cli.record.lease_file import (
    LeaseState,
    generations,
    lease_path,
    look_anew,
    make_exclusively,
    read_generation,
    read_lease,
    remove_before,
    replace_lease,
)
from hpo_cli.record.ledger import now
from hpo_cli.record.links import refuse_link, refuse_links_in
from hpo_cli.record.process import this_process

__all__ = ["Heartbeat", "Lease", "LeaseState", "read_lease"]

STALE_S = 60.0
"""How long a holder that nothing is known of is watched before its lease is taken."""
BEAT_S = 5.0


class Lease:
    """The right to train in a folder, taken by `Lease.acquire` and given up by `release`.

    Each taking makes a new generation of the lease's file; whoever made the newest holds it. A holder that slept too
    long finds a newer one: it is `lost` then, and has to end without writing anything more.
    """

    def __init__(self, folder: Path, generation: int, content: dict[str, Any]) -> None:
        self.folder, self.generation = folder, generation
        self._content, self._control = content, folder / CONTROL
        self._path = lease_path(self._control, generation)
        self._lock = threading.RLock()
        self._is_lost = self._is_released = False
        self._looked = _clock()

    @classmethod
    def acquire(
        cls,
        folder: Path | str,
        *,
        stale_s: float = STALE_S,
        poll_s: float = 1.0,
        on_wait: Callable[[str], None] | None = None,
    ) -> Lease:
        """The lease of a run's folder, taken over where its holder is gone.

        A holder on another machine is watched for `stale_s`, by this process's own clock; on_wait is told once.
        Raises UserError where another process trains there, or where what is written would land elsewhere, through a
        symbolic link; OSError where nothing can be written.
        """
        place = Path(folder)
        refuse_link(place / CHECKPOINTS)
        refuse_links_in(place / CONTROL)
        (place / CONTROL).mkdir(exist_ok=True)
        taken = 0
        while True:
            newest = max([*generations(place / CONTROL), taken])
            if newest:
                _wait_until_free(place, newest, stale_s=stale_s, poll_s=poll_s, on_wait=on_wait)
            lease = cls(place, newest + 1, _first_content())
            if lease._make():
                return lease
            taken = newest + 1  # a cached listing may not show it yet

    @property
    def lost(self) -> bool:
        """Whether another process has taken over. Cheap; after a sleep it looks at the folder first."""
        if not self._is_lost and _clock() - self._looked > 2 * BEAT_S:
            self.look()
        return self._is_lost

    def look(self) -> bool:
        """Looks for a newer holder now; whether there is one. Before something is written that must be one's own."""
        with self._lock:
            self._looked = _clock()
            self._is_lost = self._is_lost or max(generations(self._control), default=0) > self.generation
            return self._is_lost

    def beat(self, **fields: object) -> None:
        """Shows that the holder lives. fields: `status` ("running", "paused"), `step`, ... are added to the last ones.

        A full disk is waited out: the next beat tries again. Nothing happens when the lease is lost or released.
        """
        with self._lock:
            if self._is_lost or self._is_released:
                return
            self._content["beat"] += 1
            self._content["fields"] = {**self._content["fields"], **fields}
            with contextlib.suppress(OSError):
                replace_lease(self._path, self._content)
            if self.look():
                self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Gives the lease up, so that the next process need not wait; releasing twice is harmless."""
        with self._lock:
            self._content["released"] = True
            self.beat()
            self._is_released = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _make(self) -> bool:
        """Whether this process made the generation and no newer one was there when it did."""
        if not make_exclusively(self._path, self._content):
            return False
        if self.look():  # it was made from an old listing, after its time
            self._path.unlink(missing_ok=True)
            return False
        remove_before(self._control, self.generation)
        return True


class Heartbeat:
    """Beats for a lease in a thread of its own, while the block runs. fields: what to say each time."""

    def __init__(
        self, lease: Lease, fields: Callable[[], Mapping[str, object]] = dict, *, interval_s: float = BEAT_S
    ) -> None:
        self._lease, self._fields, self._interval_s = lease, fields, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Self:
        """Begins, with a beat at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Returns when the thread has ended; the lease is not released."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._lease.lost:
            self._lease.beat(**self._said())
            if self._stop.wait(self._interval_s):
                return

    def _said(self) -> Mapping[str, object]:
        try:
            return self._fields()
        except Exception:  # noqa: BLE001 - a state read in mid-change must not cost the lease
            return {}


def _first_content() -> dict[str, Any]:
    holder = this_process().to_json()
    return {"holder": holder, "since": now(), "token": secrets.token_hex(8), "beat": 0, "released": False, "fields": {}}


def _wait_until_free(
    folder: Path, generation: int, *, stale_s: float, poll_s: float, on_wait: Callable[[str], None] | None
) -> None:
    """Returns when the holder of a generation is gone. Raises UserError when it is seen to live."""
    first = read_generation(folder / CONTROL, generation)
    until = time.monotonic() + stale_s  # awake: a machine that sleeps sees no beats
    if first.standing == "unknown" and on_wait is not None:
        on_wait(f"{_held(folder, first)}; waiting {stale_s:.0f} s for a sign of life from it")
    found = first
    while found.standing not in ("released", "dead"):
        if found.standing == "alive" or (found.token, found.beat) != (first.token, first.beat):
            raise UserError(f"{_held(folder, found)}; {_next_step(folder)}")
        if time.monotonic() >= until:
            return
        time.sleep(min(poll_s, stale_s))
        look_anew(folder / CONTROL)
        newest = max(generations(folder / CONTROL), default=generation)
        found = read_generation(folder / CONTROL, max(newest, generation))


def _held(folder: Path, state: LeaseState) -> str:
    holder, since = state.holder, f"{state.since[:19].replace('T', ' ')} UTC"
    who = f"process {holder.pid} on {holder.host}, since {since}" if holder.host else "a process that left no name"
    return f"{folder}: is being trained by {who}"


def _next_step(folder: Path) -> str:
    return f"`hpo-run watch {folder}` shows it, `hpo-run stop {folder}` ends it"


def _clock() -> float:
    """Seconds of this machine, those that it slept included where they can be had."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None or os.name == "nt" else time.clock_gettime(boot)
