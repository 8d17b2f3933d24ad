import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_cli.errors import UserError
from hpo_cli.record import lease as lease_module
from hpo_cli.record import lease_file, process
from hpo_cli.record.lease import Heartbeat, Lease, read_lease
from hpo_cli.record.process import life_of, this_process

HOLD = (
    "import sys, time; from hpo_cli.record.lease import Lease\n"
    "lease = Lease.acquire(sys.argv[1]); print(lease.generation, flush=True); time.sleep(60)"
)
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of `tmp_path` and does nothing else."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        yield child
        child.kill()


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any process, as from another machine."""
    monkeypatch.setattr(lease_file, "life_of", lambda _: "unknown")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "control").iterdir())


def quick(folder: Path, stale_s: float = 0.15) -> Lease:
    return Lease.acquire(folder, stale_s=stale_s, poll_s=0.02)


# -- one holder ------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_in_one_line(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError, match=f"process {holder.pid} on .*, since 20.* UTC; `hpo-run watch ") as caught:
        Lease.acquire(tmp_path, stale_s=0.01)
    assert str(caught.value).startswith(f"{tmp_path}: is being trained")
    assert f"`hpo-run stop {tmp_path}`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_second_taking_in_one_process_is_refused_too(tmp_path: Path) -> None:
    with Lease.acquire(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        Lease.acquire(tmp_path)


def test_a_released_lease_is_taken_at_once_and_old_files_go(tmp_path: Path) -> None:
    assert read_lease(tmp_path) is None
    for generation in (1, 2, 3):
        with Lease.acquire(tmp_path) as lease:
            assert lease.generation == generation
            assert files(tmp_path) == [f"lease-{generation:08d}.json"]
        lease.release()
        state = read_lease(tmp_path)
        assert state is not None
        assert state.standing == "released"


def test_of_many_that_try_at_once_one_gets_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from hpo_cli.record.lease import Lease, UserError; from pathlib import Path\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: lease = Lease.acquire(sys.argv[1]); print('won', flush=True)\n"
        "except UserError: print('refused', flush=True)\n"
        "sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(6)
    ]
    pipes = [(child.stdin, child.stdout) for child in children]
    for _, out in pipes:
        assert out is not None
        assert out.readline() == "ready\n"
    for into, _ in pipes:
        assert into is not None
        into.write("go\n")
    said = [out.readline().strip() for _, out in pipes if out is not None]
    for child in children:
        child.communicate("end\n")
    assert sorted(said) == ["refused"] * 5 + ["won"]
    assert files(tmp_path) == ["lease-00000001.json"]


@LINUX
@pytest.mark.parametrize("leave", ["dead", "released"])
def test_of_many_threads_that_find_a_free_lease_one_gets_it(tmp_path: Path, leave: str) -> None:
    for generation in range(1, 12):
        won: list[Lease] = []
        barrier = threading.Barrier(4)

        def take(won: list[Lease] = won, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(UserError):
                won.append(Lease.acquire(tmp_path))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [lease.generation for lease in won] == [generation]
        assert not won[0].look()
        if leave == "released":
            won[0].release()
        else:
            won[0]._content["holder"]["start"] = "1"  # as left by a process whose number another one has now
            won[0].beat()
        assert standing(tmp_path) == leave


# -- taking over -----------------------------------------------------------------------------------------------------


@LINUX
def test_the_lease_of_a_killed_process_is_taken_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not asked yet
    assert standing(tmp_path) == "dead"
    holder.wait()
    assert standing(tmp_path) == "dead"
    begin = time.monotonic()
    with Lease.acquire(tmp_path) as lease:
        assert lease.generation == 2
    assert time.monotonic() - begin < 1


@LINUX
def test_a_stopped_process_lives(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(UserError):
        quick(tmp_path)
    holder.send_signal(signal.SIGCONT)


def standing(folder: Path) -> str:
    state = read_lease(folder)
    assert state is not None
    return state.standing


@LINUX
def test_only_the_same_machine_boot_and_container_tell_a_dead_process() -> None:
    me = this_process()
    assert life_of(me) == "alive"
    assert life_of(replace(me, start="1")) == "dead"
    assert life_of(replace(me, pid=2**22 - 1)) == "dead"
    assert life_of(replace(me, pid=2**90)) == "dead"
    for other in ({"host": "elsewhere"}, {"boot": "x"}, {"namespace": "pid:[1]"}, {"pid": 0}, {"pid": -1}):
        assert life_of(replace(me, start="1", **other)) == ("unknown")  # type: ignore[arg-type]


def test_without_proc_nothing_is_known_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_read", lambda _: "")
    assert life_of(this_process()) == "unknown"


@pytest.mark.usefixtures("foreign")
def test_a_silent_holder_elsewhere_is_watched_first(tmp_path: Path) -> None:
    first = Lease.acquire(tmp_path)
    told: list[str] = []
    begin = time.monotonic()
    second = Lease.acquire(tmp_path, stale_s=0.3, poll_s=0.02, on_wait=told.append)
    assert time.monotonic() - begin >= 0.3
    assert len(told) == 1
    assert "waiting 0 s for a sign of life" in told[0]
    assert second.generation == 2
    assert not second.lost
    assert first.look()


@pytest.mark.usefixtures("foreign")
def test_a_beating_holder_elsewhere_is_found_alive(tmp_path: Path) -> None:
    lease = Lease.acquire(tmp_path)
    with Heartbeat(lease, interval_s=0.05), pytest.raises(UserError, match="is being trained"):
        quick(tmp_path, stale_s=5)
    assert not lease.look()


@pytest.mark.usefixtures("foreign")
def test_a_clock_that_is_wrong_misleads_nobody(tmp_path: Path) -> None:
    lease = Lease.acquire(tmp_path)
    path = tmp_path / "control" / "lease-00000001.json"
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.02):
            lease.beat()
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (1, 1))

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(UserError):
        quick(tmp_path, stale_s=5)
    stop.set()
    thread.join()


@pytest.mark.usefixtures("foreign")
def test_a_holder_that_slept_too_long_is_lost_and_writes_nothing_more(tmp_path: Path) -> None:
    sleeper = Lease.acquire(tmp_path)
    second = quick(tmp_path)
    assert not sleeper._is_lost
    sleeper.beat(step=9)
    assert sleeper.lost
    before = {path: path.read_bytes() for path in (tmp_path / "control").iterdir()}
    sleeper.beat(step=10)
    sleeper.release()
    assert {path: path.read_bytes() for path in (tmp_path / "control").iterdir()} == before
    assert files(tmp_path) == ["lease-00000002.json"]
    assert not second.look()


@pytest.mark.usefixtures("foreign")
def test_after_a_sleep_the_holder_looks_before_it_believes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = Lease.acquire(tmp_path)
    quick(tmp_path)
    assert not sleeper.lost
    awake = lease_module._clock()
    monkeypatch.setattr(lease_module, "_clock", lambda: awake + 60)
    assert sleeper.lost


# -- network file systems --------------------------------------------------------------------------------------------


def test_an_old_listing_makes_no_second_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        Lease.acquire(tmp_path).release()
    holder = Lease.acquire(tmp_path)
    real = lease_module.generations
    old: list[list[int]] = [[]]  # as it was long ago
    monkeypatch.setattr(lease_module, "generations", lambda folder: old.pop() if old else real(folder))
    with pytest.raises(UserError):
        quick(tmp_path)
    assert not holder.look()
    assert files(tmp_path) == ["lease-00000004.json"]


def test_a_listing_that_stays_old_does_not_hide_the_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        Lease.acquire(tmp_path).release()
    holder = Lease.acquire(tmp_path)
    lists = iter([[2]] * 20)
    monkeypatch.setattr(lease_module, "generations", lambda _: next(lists))
    released = lease_file.read_generation(tmp_path / "control", 3)
    real = lease_module.read_generation
    monkeypatch.setattr(
        lease_module,
        "read_generation",
        lambda control, number: replace(released, standing="released") if number == 2 else real(control, number),
    )
    with pytest.raises(UserError, match="is being trained"):
        quick(tmp_path)
    assert holder.generation == 3


def test_a_link_whose_answer_was_lost_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def lost_answer(source: Path, target: Path) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(lease_file.os, "link", lost_answer)
    with Lease.acquire(tmp_path) as lease:
        assert lease.generation == 1


def test_without_hard_links_it_is_exclusive_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(lease_file.os, "link", refuse)
    content = {"token": "a"}
    (tmp_path / "control").mkdir()
    path = tmp_path / "control" / "lease-00000001.json"
    assert lease_file.make_exclusively(path, content)
    assert not lease_file.make_exclusively(path, {"token": "b"})
    assert json.loads(path.read_text()) == content
    path.unlink()
    with Lease.acquire(tmp_path), pytest.raises(UserError):
        Lease.acquire(tmp_path)


def test_an_error_of_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lease_file.os, "link", refuse)
    with pytest.raises(OSError, match="Input/output"):
        Lease.acquire(tmp_path)
    assert files(tmp_path) == []


# -- beats -----------------------------------------------------------------------------------------------------------


def test_beats_tell_what_the_holder_does(tmp_path: Path) -> None:
    with Lease.acquire(tmp_path) as lease:
        lease.beat(status="running", step=3, total=10)
        lease.beat(status="paused", step=4)
        state = read_lease(tmp_path)
    assert state is not None
    assert (state.standing, state.beat, state.holder, state.is_paused) == ("alive", 2, this_process(), True)
    assert state.fields == {"status": "paused", "step": 4, "total": 10}
    assert state.age_s < 5


def test_a_thread_beats_by_itself_and_errors_of_what_it_asks_do_not_stop_it(tmp_path: Path) -> None:
    answers: Iterator[dict[str, Any]] = iter([{"step": 1}, {"step": 2}])
    lease = Lease.acquire(tmp_path)
    with Heartbeat(lease, lambda: next(answers), interval_s=0.01):
        wait_for(lambda: beat_of(tmp_path) > 5)
    quiet = beat_of(tmp_path)
    state = read_lease(tmp_path)
    time.sleep(0.05)
    assert beat_of(tmp_path) == quiet
    assert state is not None
    assert state.fields == {"step": 2}


@pytest.mark.usefixtures("foreign")
def test_the_thread_ends_when_the_lease_is_lost(tmp_path: Path) -> None:
    lease = Lease.acquire(tmp_path)
    quick(tmp_path)
    heart = Heartbeat(lease, interval_s=0.01).start()
    heart._thread.join(timeout=5)
    assert not heart._thread.is_alive()
    assert lease.lost
    heart.stop()


def beat_of(folder: Path) -> int:
    state = read_lease(folder)
    return state.beat if state else 0


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_on_a_full_disk_the_heart_beats_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.acquire(tmp_path)
    real = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if "x" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    size = (tmp_path / "control" / "lease-00000001.json").stat().st_size
    lease.beat(status="paused", step=10**9)
    assert beat_of(tmp_path) == 1
    assert (tmp_path / "control" / "lease-00000001.json").stat().st_size == size


# -- distrust --------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KEYS = st.sampled_from(["holder", "since", "token", "beat", "released", "fields", "pid", "host", "boot", "start"])
CLAIMED = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.binary(max_size=80) | CLAIMED.map(lambda value: json.dumps(value).encode()))
def test_no_content_of_a_lease_raises(tmp_path: Path, content: bytes) -> None:
    control = tmp_path / "control"
    control.mkdir(exist_ok=True)
    (control / "lease-00000007.json").write_bytes(content)
    state = read_lease(tmp_path)
    assert state is not None
    assert state.generation == 7


def test_a_lease_of_garbage_is_taken_after_watching_it(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "lease-00000003.json").write_bytes(b"\xff\x00")
    (tmp_path / "control" / "lease-0000000x.json").write_bytes(b"not one")
    with quick(tmp_path) as lease:
        assert lease.generation == 4
    assert "lease-0000000x.json" in files(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["control", "control/inbox", "control/acks", "control/set-aside", "control/lease-00000001.json", "checkpoints"],
)
def test_nothing_is_taken_where_a_link_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = folder / name
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(UserError, match=rf"{Path(name).name}: is a symbolic link") as caught:
        Lease.acquire(folder)
    assert "\n" not in str(caught.value)
    assert list(elsewhere.iterdir()) == []
    place.unlink()
    Lease.acquire(folder).release()
