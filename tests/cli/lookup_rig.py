"""`bulkmail mx` and `bulkmail probe`, run beside a sandbox in the same process."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

import trio

from bulkmail import cli, sandbox


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def codes(self) -> list[str]:
        """Of the findings of a probe, under --json."""
        return [finding["code"] for finding in self.json["findings"]]

    def row(self, head: str) -> str:
        """The row of a summary that begins so; "" where there is none."""
        return next((line for line in self.out.splitlines() if line.startswith(head)), "")


def say(*arguments: str) -> Told:
    """A command line and what it tells."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.exit_code(arguments)
    return Told(code, out.getvalue(), err.getvalue())


class Bulkmail:
    """Verbs that ask the sandbox's name server. They have a loop of their own, in a thread."""

    def __init__(self, running: sandbox.Running) -> None:
        self._running = running

    async def _say(self, *arguments: str) -> Told:
        host, port = self._running.dns
        resolver = f"--resolver={host}:{port}"
        return await trio.to_thread.run_sync(say, *arguments, resolver, "--ehlo=out.test")

    async def mx(self, domain: str, *arguments: str, private: bool = True) -> Told:
        return await self._say("mx", domain, *arguments, *(["--allow-private"] if private else []))

    async def probe(self, host: str, *arguments: str, trusting: bool = True) -> Told:
        """`trusting`: the sandbox's authority is known."""
        ca = [f"--ca={self._running.ca_pem_path}"] if trusting else []
        return await self._say("probe", host, f"--port={self._running.smtp_port}", *arguments, *ca)
