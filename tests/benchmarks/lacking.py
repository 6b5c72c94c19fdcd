"""What this machine lacks: a test that needs it is skipped, and fails where nothing may be lacking."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacks(reason: str) -> NoReturn:
    """With BULKMAIL_REQUIRE_FOREIGN=1, as in CI, the end of the test; otherwise of no consequence."""
    if os.environ.get("BULKMAIL_REQUIRE_FOREIGN") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
