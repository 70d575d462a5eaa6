"""Shared by the scripts that write a part of the README, between two markers, from a stored result."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"


def replaced(readme: str, name: str, text: str) -> str:
    """The README with `text` between the markers. Raises ValueError if each is not there exactly once, in order."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise ValueError(f"the README needs one line {begin} and after it one line {end}")
    before, after = readme.split(begin)[0], readme.split(end)[1]
    return f"{before}{begin}\n{text}\n{end}{after}"


def main(script: str, description: str | None, name: str, table: Callable[[dict], str]) -> int:
    """Writes or checks the README's part `name`. script: path of the calling script. table: makes the part's text."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS / f"{name}.json")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    flags = parser.parse_args()
    try:
        readme = flags.readme.read_text(encoding="utf-8")
        wanted = replaced(readme, name, table(json.loads(flags.results.read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if flags.check and wanted != readme:
        run = Path(script).resolve().relative_to(ROOT)
        print(f"{flags.readme.name} and {flags.results.name} disagree: run {run}", file=sys.stderr)
        return 1
    if not flags.check:
        flags.readme.write_text(wanted, encoding="utf-8")
    return 0
