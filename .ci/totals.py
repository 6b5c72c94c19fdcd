"""Does the welcome campaign add up? Reads `bulkmail status --json` after a run, and the list itself.

python .ci/totals.py BULKMAIL FOLDER
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

# What people.csv says of its last rows; everybody else must have been delivered.
EXPECTED = {"invalid": 1, "duplicate": 1, "filtered": 4, "excluded": 1, "bounced": 4}
SEEDS = 1


def main() -> None:
    bulkmail, folder = sys.argv[1], Path(sys.argv[2])
    command = [bulkmail, "status", str(folder / "campaign.yaml"), "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    totals: dict[str, int] = json.loads(printed.splitlines()[-1])["totals"]
    print(totals)
    with (folder / "people.csv").open(encoding="utf-8", newline="") as lines:
        source = sum(1 for _ in csv.DictReader(lines)) + SEEDS
    expected = dict.fromkeys(totals, 0) | EXPECTED | {"source": source}
    expected["delivered"] = source - sum(EXPECTED.values())
    if totals != expected:
        raise SystemExit(f"expected {expected}")


if __name__ == "__main__":
    main()
