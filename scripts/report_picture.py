"""Writes the report of a sweep and takes the picture of it that the docs show.

    python scripts/report_picture.py SWEEP [--picture docs/pictures/caviar-report.png] [--size 1180x1400] [--dark]

SWEEP: a sweep's folder.   Needs Chromium (`apt-get install chromium`). The picture is of the top of the page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hpo_cli.report.digest import digest
from hpo_cli.report.html import page
from hpo_cli.sweep.fold import read_sweep

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "caviar-report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--size", default="1180x1400", help="columns x rows of pixels")
    parser.add_argument("--dark", action="store_true")
    args = parser.parse_args()
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.html"
        report.write_text(page(digest(read_sweep(args.sweep))), encoding="utf-8")
        shoot(report, args.picture, size=args.size, scheme="dark" if args.dark else "light")
    print(f"{args.picture}  {args.picture.stat().st_size / 1000:.0f} kB")


def shoot(report: Path, picture: Path, *, size: str, scheme: str) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("report_picture: no Chromium here; apt-get install chromium")
    picture.unlink(missing_ok=True)
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={report.parent / 'profile'}", "--virtual-time-budget=3000",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        f"--screenshot={picture.resolve()}", f"--window-size={size.replace('x', ',')}", report.resolve().as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    if not picture.exists():
        sys.exit("report_picture: Chromium took no picture")


if __name__ == "__main__":
    main()
