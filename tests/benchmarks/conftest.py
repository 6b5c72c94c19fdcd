"""The benchmarks are scripts in a folder of their own; what they share is imported by its plain name."""

from __future__ import annotations

import sys
from pathlib import Path

# At the end: no file there may stand before an installed module.
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
