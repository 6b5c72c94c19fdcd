"""The foreign mail servers by name."""

from __future__ import annotations

from foreign_exim import exim
from foreign_postfix import postfix

__all__ = ["exim", "postfix"]
