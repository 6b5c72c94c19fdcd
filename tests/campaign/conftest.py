"""The DNS server of tests/dns, which the tests of the signing keys ask too.

pytest puts a folder on the path when it comes to the first module in it, and campaign comes before dns.
"""

from __future__ import annotations

import sys
from pathlib import Path

if (folder := str(Path(__file__).parent.parent / "dns")) not in sys.path:
    sys.path.append(folder)
