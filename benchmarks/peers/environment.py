"""What peers need and the project does not: an interpreter with their packages, and nodemailer.

Both are installed when first needed, by name and version (requirements.txt, package.json), into a folder that
git ignores (or that BULKMAIL_PEERS names), and again when those files change. `python benchmarks/peer.py
--install` does it at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .job import CACHE, Missing

HERE = Path(__file__).parent
INSIDE = "BULKMAIL_PEERS_ENVIRONMENT"  # set for a process that runs in the environment already


def python() -> Path:
    """The interpreter of the environment. Raises Missing where it cannot be made."""
    folder, wanted = CACHE / "venv", HERE / "requirements.txt"
    with _installing(folder, wanted) as needed:
        if needed:
            _run([sys.executable, "-m", "venv", "--clear", folder], "a virtual environment")
            pip: list[str | Path] = [
                folder / "bin" / "python",
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
            ]
            _run([*pip, "-r", wanted], "the packages of requirements.txt")
    return folder / "bin" / "python"


def node_modules() -> Path:
    """The folder that holds nodemailer beside its script. Raises Missing."""
    folder, wanted = CACHE / "node", HERE / "package.json"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")
    with _installing(folder, wanted) as needed:
        if needed:
            shutil.copy(wanted, folder)
            _run(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund"], "the package nodemailer")
    return folder


@contextmanager
def _installing(folder: Path, wanted: Path) -> Iterator[bool]:
    """Whether there is something to do in `folder`; others wait meanwhile. It counts as done at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = CACHE / f"{folder.name}.stamp"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not stamp.exists() or stamp.read_text() != digest
        yield needed
        if needed:
            stamp.write_text(digest)


def _run(command: Sequence[str | Path], what: str) -> None:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        raise Missing(f"{what} cannot be installed: {said[-1] if said else ended.returncode}")
