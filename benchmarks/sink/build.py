"""Builds the small C programs beside this file when they are wanted, once for each change of sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CACHE = FOLDER / ".cache"  # ignored by git: the first build says so to it
SOURCES = {"sink": ("sink.c", "smtp.c", "dns.c", "process.c"), "delay": ("delay.c", "process.c")}
LIBRARIES = {"sink": ("-lssl", "-lcrypto"), "delay": ()}
FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Wshadow", "-Werror")


class CannotBuild(Exception):
    """What is missing on this machine, in a sentence for whoever started the benchmark."""


def built(name: str) -> Path:
    """The program of this name, not older than its sources. Raises CannotBuild."""
    sources = [FOLDER / source for source in SOURCES[name]]
    newest = max(path.stat().st_mtime_ns for path in (*sources, *FOLDER.glob("*.h")))
    program = CACHE / name
    # What is built bears the time of its sources, so that a change during the build is seen by the next.
    if not program.exists() or program.stat().st_mtime_ns != newest:
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        with tempfile.TemporaryDirectory(prefix=name, dir=CACHE) as folder:
            fresh = Path(folder) / name
            compile_one([*map(str, sources), "-o", str(fresh), *LIBRARIES[name]])
            os.utime(fresh, ns=(newest, newest))
            fresh.replace(program)  # at once: others may be building or running it
    return program


def compile_one(arguments: list[str]) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise CannotBuild("the benchmarks' sink is a C program: it needs a C compiler (cc, or CC=…)")
    done = subprocess.run([compiler, *FLAGS, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return
    if "openssl/" in done.stderr or "-lssl" in done.stderr:
        raise CannotBuild(
            "the benchmarks' sink needs OpenSSL's headers and library (libssl-dev, openssl-devel)"
        )
    raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr}")
