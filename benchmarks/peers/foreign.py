"""Programs that others wrote, where tests/foreign/install.sh unpacked them."""

from __future__ import annotations

import os
from pathlib import Path

from .job import CHECKOUT, Missing

FOLDER = Path(os.environ.get("BULKMAIL_FOREIGN") or CHECKOUT / ".cache" / "foreign")


def unpacked(*parts: str) -> Path:
    """The path of something unpacked. Raises Missing."""
    path = FOLDER.joinpath(*parts)
    if not path.exists():
        raise Missing(f"{parts[0]} is not unpacked: run tests/foreign/install.sh")
    return path


def environment(*folders: Path) -> dict[str, str]:
    """For a program from there: it finds its own libraries, and those that this machine lacks."""
    libraries = FOLDER / "lib" / "usr" / "lib"
    places = [*folders, *sorted(libraries.glob("*-linux-gnu*")), libraries]
    return {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "TZ": "UTC",
        "LD_LIBRARY_PATH": ":".join(map(str, places)),
    }
