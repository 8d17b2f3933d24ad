"""How long `hpo-run ls` takes over many run folders, start of the process included.

Usage: python scripts/bench_ls.py [NUM_RUNS]
Cold: the first call, without any byte code. Warm: the median of five more.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.run_folders import Run, make_run  # noqa: E402

COMMAND = "import sys; from hpo_cli.verbs.ls import main; sys.exit(main(sys.argv[1:]))"
CALLS = {
    "piped, all": [],
    "piped, 30": ["--limit", "30"],
    "json": ["--json"],
    "styled, 30": ["--limit", "30"],
}


def generate(root: Path, num_runs: int) -> None:
    template = make_run(root, Run(id="template"))
    for index in range(num_runs):
        folder = root / f"name{index % 10}" / f"{index:06x}"
        shutil.copytree(template, folder)
        value = (index * 7919 % 1000) / 1000
        for file in ("ledger.jsonl", "result.json"):
            text = (folder / file).read_text().replace("0.9772", str(value)).replace("template", folder.name)
            (folder / file).write_text(text.replace("digits", folder.parent.name))
    shutil.rmtree(template.parent)


def seconds(root: Path, words: list[str], **variables: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **variables}
    begin = time.perf_counter()
    command = [sys.executable, "-c", COMMAND, "--outputs", str(root), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begin


def main() -> None:
    num_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix=f"bench-ls-{secrets.token_hex(2)}-") as folder:
        root = Path(folder)
        generate(root, num_runs)
        print(f"{num_runs} runs")
        print(f"{'cold':12} {seconds(root, [], PYTHONPYCACHEPREFIX=str(root / '.pycache')):6.2f} s")
        for name, words in CALLS.items():
            variables = {"FORCE_COLOR": "1"} if name.startswith("styled") else {}
            times = [seconds(root, words, **variables) for _ in range(5)]
            print(f"{name:12} {statistics.median(times):6.2f} s")


if __name__ == "__main__":
    main()
