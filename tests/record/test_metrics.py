import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.record import jsonl, metrics_writer
from hpo_cli.record.metrics import MetricsWriter, best_of_each, best_row, names, read_metrics, series


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [{"step": k, "epoch": 0, "train/loss": k / 3} for k in range(5000)]
    with MetricsWriter(tmp_path / "m") as writer:
        for row in rows:
            writer.append(row)
    assert read_metrics(tmp_path / "m") == rows


def test_rows_are_buffered_until_flushed(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / "m")
    writer.append({"step": 1})
    assert (tmp_path / "m").read_bytes() == b""
    writer.flush()
    assert read_metrics(tmp_path / "m") == [{"step": 1}]
    writer.append({"step": 2})
    writer.close()
    writer.close()
    assert [row["step"] for row in read_metrics(tmp_path / "m")] == [1, 2]


def test_what_was_synced_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from hpo_cli.record.metrics import MetricsWriter\n"
        "w = MetricsWriter(sys.argv[1]); w.append({'step': 1}); w.sync(); w.append({'step': 2})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m")], check=False)
    assert read_metrics(tmp_path / "m") == [{"step": 1}]


def test_a_torn_last_line_is_skipped_and_never_merged(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'{"step": 1, "a": 2}\n{"step": 2, "a')
    assert read_metrics(tmp_path / "m") == [{"step": 1, "a": 2}]
    with MetricsWriter(tmp_path / "m") as writer:
        writer.append({"step": 3, "a": 4})
    assert read_metrics(tmp_path / "m") == [{"step": 1, "a": 2}, {"step": 3, "a": 4}]


def test_garbage_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'\xff\x00\n{"a": 1}\n[1]\n\n{"step": "x"}\n{"step": true}\n{"step": 7, "a": NaN}\n')
    assert read_metrics(tmp_path / "m") == [{"step": 7, "a": None}]


@given(st.dictionaries(st.text(), st.floats() | st.integers(), max_size=5))
def test_lines_are_strict_json(row: dict[str, float]) -> None:
    line = jsonl.encode(row)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert line.isascii()
    expected = {key: value if math.isfinite(value) else None for key, value in row.items()}
    assert json.loads(line, parse_constant=pytest.fail) == expected


def test_numpy_values_are_numbers() -> None:
    row = {
        "a": np.float32(0.5),
        "b": np.float64("nan"),
        "c": np.int64(3),
        "d": np.float32("inf"),
        "e": np.array([1, 2]),
    }
    assert json.loads(jsonl.encode(row)) == {"a": 0.5, "b": None, "c": 3, "d": None, "e": [1, 2]}


def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    calls = 0

    def nearly_full(descriptor: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(content[:7]) if calls == 1 else content)

    writer = MetricsWriter(tmp_path / "m")
    rows = [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0}]
    for row in rows:
        writer.append(row)
    monkeypatch.setattr(metrics_writer.os, "write", nearly_full)
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    writer.close()
    assert read_metrics(tmp_path / "m") == rows


def test_series_of_a_metric_that_some_rows_have() -> None:
    rows = [{"step": 1, "epoch": 0, "a": 1.0}, {"step": 2, "epoch": 0}, {"step": 3, "a": None}, {"step": 4, "a": "x"}]
    found = series(rows, "a")
    assert found.steps == (1, 3, 4)
    assert found.epochs == (0, None, None)
    assert found.values == (1.0, None, None)
    assert names(rows) == ["a"]


def test_the_best_respects_mode_and_ignores_null() -> None:
    rows = [{"step": 1, "a": 3.0}, {"step": 2, "a": None}, {"step": 3, "a": 1.0}, {"step": 4, "a": float("nan")}]
    assert best_row(rows, "a", mode="min") == {"value": 1.0, "step": 3}
    assert best_row(rows, "a", mode="max") == {"value": 3.0, "step": 1}
    assert best_row(rows, "b", mode="max") == {}
    both = [{"step": 1, "val/loss": 2.0, "val/accuracy": 0.1}, {"step": 2, "val/loss": 3.0, "val/accuracy": 0.2}]
    found = best_of_each(both, modes={})
    assert (found["val/loss"]["step"], found["val/accuracy"]["step"]) == (1, 2)
