"""The sum of several runs' coverage, by lines: some were measured with branches, and some without.

Run as a program, with the data file to write and the data files to read as arguments.
"""

import sys
from collections import defaultdict
from pathlib import Path

from coverage import CoverageData


def main(total: str, *parts: str) -> None:
    lines: defaultdict[str, set[int]] = defaultdict(set)
    for part in parts:
        if not Path(part).exists():
            sys.exit(f"{part} is missing: that run comes first")
        data = CoverageData(part)
        data.read()
        for file in data.measured_files():
            lines[file].update(data.lines(file) or ())
    summed = CoverageData(total)
    summed.erase()
    summed.add_lines(lines)
    summed.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
