"""One of the further processes of a run: `python -m hpo_cli.engine.rank FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from hpo_cli.engine.course import with_machine
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.ranks import ranks_from_environment
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.train import Training
from hpo_cli.plan import plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.contents import read_plan


def main(folder: Path) -> int:
    """Train beside the first process, from the same plan."""
    plan = with_machine(plan_from_dict(read_plan(folder)), ledger.read_ledger(folder).events)
    training = Training(plan, reporter=SilentReporter(), stop=StopFlag(), folder=folder)
    try:
        training.run(folder, ranks=ranks_from_environment())
    except StoppedError as stop:
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
