"""One of the further processes of a run: `python -m hpo_cli.engine.rank FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.ranks import ranks_from_environment
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.train import Training
from hpo_cli.plan import plan_from_dict
from hpo_cli.record.contents import read_plan


def main(folder: Path) -> int:
    """Train beside the first process, from the same plan."""
    plan = plan_from_dict(read_plan(folder))
    try:
        Training(plan, reporter=SilentReporter(), stop=StopFlag()).run(folder, ranks=ranks_from_environment())
    except StoppedError as stop:
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
