"""The coverage-guided fuzzer over the targets of this folder.

    python -m tests.fuzz                            the targets and their laws
    python -m tests.fuzz NAME… --seconds N          each of them for so long; `all` for every one
    python -m tests.fuzz NAME --replay FILE…        inputs again, without the fuzzer
    python -m tests.fuzz --growth                   CPU time by size: what grows faster than its input?

Needs atheris (`pip install -e '.[fuzz]'`) but for the last two. Each target runs in a process of its own,
one after the other, or `--jobs` at once. What it reaches new code with is kept in `--corpus DIR/NAME`, an
input that breaks a law in `--findings DIR`; `--publish` writes some of the corpus to
corpus/NAME.b64, which CI replays. Prints for each: inputs, CPU time, findings. Exit code 1 after a finding.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
MODULES = ("fuzz_smtp", "fuzz_values", "fuzz_dns", "fuzz_files", "fuzz_local")
SLOW_S = 10  # for one input, and it is a finding
MEMORY_MB = 1500
MOST_KEPT = 100  # inputs of a target in corpus/NAME.b64


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60, help="of each target; default 60")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="where new inputs are kept; default: nowhere")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS, metavar="FOLDER")
    given = parser.parse_args()
    if given.child:
        fuzz(given.names[0], Path(given.child), given)
    targets = entered()
    names = list(targets) if given.names == ["all"] else given.names
    if unknown := [name for name in names if name not in targets]:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(targets)}")
    if given.growth:
        return growth(names or list(targets))
    if given.replay:
        for path in given.replay:
            targets[names[0]].run(path.read_bytes())
            print(f"{path}: the laws hold")
        return 0
    if not names:
        for target in targets.values():
            print(f"{target.name:13} {target.laws}")
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -e '.[fuzz]'")
    with ThreadPoolExecutor(given.jobs) as pool:
        found = list(pool.map(lambda name: run(name, given), names))
    return 1 if any(found) else 0


def entered() -> dict[str, object]:
    for module in MODULES:
        importlib.import_module(module)
    return sys.modules["fuzz_target"].TARGETS  # type: ignore[no-any-return]


# --- one target in a process of its own ---------------------------------------------------------------


def run(name: str, given: argparse.Namespace) -> bool:
    """Fuzz one target; whether it was found wanting."""
    given.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"bulkmail-fuzz-{name}-") as scratch:
        folder = (given.corpus / name) if given.corpus else Path(scratch, "corpus")
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(HERE / "__main__.py"), name, "--child", str(folder)]
        for option in ("seconds", "seed", "findings"):
            command += [f"--{option}", str(getattr(given, option))]
        paths = filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")])
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TMPDIR=scratch)
        said = Path(scratch, "said")
        with said.open("wb") as out:
            child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        told = said.read_text(errors="replace")
        stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", told))
        wrong = child.returncode != 0
        kept = len(list(folder.iterdir()))
        print(
            f"{name:13} {int(stats.get('number_of_executed_units', 0)):>10,} inputs  "
            f"{(used.ru_utime + used.ru_stime) / 60:6.1f} CPU minutes  {kept:>5} kept  "
            + ("BROKEN" if wrong else "no finding"),
            flush=True,
        )
        if wrong:
            print(told[max(0, told.find("Uncaught Python exception")) :][:3000], told[-600:], flush=True)
        elif given.publish:
            publish(name, folder)
        return wrong


def fuzz(name: str, folder: Path, given: argparse.Namespace) -> None:
    """In the child: never returns."""
    import atheris

    with atheris.instrument_imports(include=["bulkmail", "yaml"]):
        targets = entered()
    target = targets[name]
    for number, seed in enumerate((*target.seeds, *replayed(name))):
        (folder / f"seed-{number:03}").write_bytes(seed)
    words = folder.parent / f"{name}.dict"
    words.write_text(
        "".join(f'"{"".join(f"{chr(92)}x{octet:02x}" for octet in word[:60])}"\n' for word in target.words)
    )
    options = [
        sys.argv[0], str(folder), f"-dict={words}", f"-max_len={target.longest}",
        f"-max_total_time={given.seconds}",
        f"-timeout={SLOW_S}", f"-rss_limit_mb={MEMORY_MB}", f"-seed={given.seed}", "-print_final_stats=1",
        f"-artifact_prefix={given.findings}/{name}-", "-close_fd_mask=0", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup(options, target.run)
    atheris.Fuzz()


def replayed(name: str) -> list[bytes]:
    """What is committed of this target."""
    kept = HERE / "corpus" / f"{name}.b64"
    lines = kept.read_text("ascii").splitlines() if kept.exists() else []
    found = sorted((HERE / "corpus" / name).glob("*"))
    return [*map(base64.b64decode, lines), *(path.read_bytes() for path in found)]


def publish(name: str, folder: Path) -> None:
    """Of what was kept, which is what reached new code when it was found: short and long ones alike."""
    known = set(entered()[name].seeds) | {path.read_bytes() for path in (HERE / "corpus" / name).glob("*")}
    kept = sorted(
        {path.read_bytes() for path in folder.iterdir()} - known, key=lambda data: (len(data), data)
    )
    spread = kept[:: -(-len(kept) // MOST_KEPT) or 1]
    lines = [base64.b64encode(data).decode("ascii") for data in spread]
    (HERE / "corpus" / f"{name}.b64").write_text("".join(f"{line}\n" for line in lines))
    print(f"{name:13} corpus/{name}.b64 has {len(lines)} of {len(kept)} inputs", flush=True)


# --- growth -------------------------------------------------------------------------------------------

SIZES = (4096, 16_384, 65_536)


def growth(names: Sequence[str]) -> int:
    """Each seed and word, repeated: four times the input may take not much more than four times as long."""
    targets, wrong = entered(), 0
    for name in names:
        target = targets[name]
        worst = (0.0, b"", [])
        for unit in dict.fromkeys((*target.seeds, *target.words)):
            for head in dict.fromkeys((b"", *target.seeds[:2])):
                times = [spent(target.run, (head + unit * (size // len(unit) + 1))[:size]) for size in SIZES]
                ratio = times[-1] / max(times[-2], 0.02)
                worst = max(worst, (ratio, unit[:30], times), key=lambda one: one[0])
        steep = worst[0] > 8
        wrong += steep
        shown = ", ".join(
            f"{size // 1024} KiB {each:.3f} s" for size, each in zip(SIZES, worst[2], strict=True)
        )
        found = f"at worst x{worst[0]:.1f} for four times as much ({shown}) {worst[1]!r}"
        print(f"{name:13} {found}{'  STEEP' if steep else ''}", flush=True)
    return 1 if wrong else 0


def spent(run: object, data: bytes) -> float:
    began = time.process_time()
    run(data)  # type: ignore[operator]
    return time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
