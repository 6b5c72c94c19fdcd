"""A million rows that mean harm, over the whole way and before all judges, without a network.

    python -m tests.injection --rows 1000000 [--seed N] [--first BLOCK] [--jobs N]
    python -m tests.injection --seed N --block BLOCK        one block again

Rows are taken in blocks, each a campaign of its own; what a block holds depends on seed and number alone, so
that a run that was interrupted goes on with `--first`. Exit code 1, with seed and block, at the first thing
on the wire that was not meant. What is judged is told in injection_block.py.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from injection_block import Tally, run_block  # noqa: E402

BLOCK = 2_000  # rows
TELL = 25  # blocks


def one(seed: int, number: int) -> Tally | str:
    """In a process of the pool; a finding as text."""
    from aiosmtpd_judge import Aiosmtpd

    aiosmtpd = Aiosmtpd()
    try:
        return run_block(seed, number, BLOCK, aiosmtpd=aiosmtpd)
    except Exception:
        return traceback.format_exc()
    finally:
        aiosmtpd.close()


def results(seed: int, numbers: range, jobs: int) -> Iterator[Tally | str]:
    """In order; a few blocks ahead."""
    with ProcessPoolExecutor(jobs) as pool:
        rest = iter(numbers)
        ahead = [pool.submit(one, seed, number) for number in islice(rest, 2 * jobs)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(one, seed, number) for number in islice(rest, 1)]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.injection", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="BLOCK", help="go on with this block")
    parser.add_argument("--block", type=int, help="this one alone")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    blocks = -(-given.rows // BLOCK)
    numbers = range(given.first, blocks) if given.block is None else range(given.block, given.block + 1)
    print(f"seed {given.seed}, blocks {numbers.start} to {numbers.stop - 1} of {BLOCK} rows", flush=True)
    total, began = Tally(), time.monotonic()
    for done, (number, found) in enumerate(
        zip(numbers, results(given.seed, numbers, given.jobs), strict=True), 1
    ):
        if isinstance(found, str):
            print(found)
            return 1
        total.add(found)
        if done % TELL == 0 or done == len(numbers):
            print(f"up to block {number}: {told(total)}", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, clock_s = used.ru_utime + used.ru_stime, time.monotonic() - began
    print(f"{cpu_s:.0f} s of CPU, {clock_s:.0f} s by the clock; nothing forged")
    return 0


def told(total: Tally) -> str:
    ways = ", ".join(f"{count:,} {way}" for way, count in sorted(total.transactions.items()))
    return (
        f"{total.rows:,} rows, {total.left_out:,} left out, {total.letters:,} letters; transactions: {ways}; "
        f"{total.octets:,} octets on the wire; of the letters of a row aiosmtpd refused {total.refused:,}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
