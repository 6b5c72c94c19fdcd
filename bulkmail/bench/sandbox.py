"""A sandbox in another process, seen from the bench."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from bulkmail.errors import BulkmailError

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What the sandbox has taken so far, and its processor time. `copies`: of different recipients."""

    recipients: int
    messages: int
    copies: int
    cpu_s: float


class Sandbox:
    """`with Sandbox() as sandbox`: its ports, and `counted()`. It is gone behind the block."""

    smtp: int
    dns: tuple[str, int]

    def __enter__(self) -> Sandbox:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bulkmail.bench.world"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        try:
            ready = self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        host, port = ready["dns"]
        self.smtp, self.dns = ready["smtp"], (host, port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def counted(self) -> Counted:
        """Raises BulkmailError where the sandbox has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
        except BrokenPipeError:
            raise BulkmailError("the sandbox has ended") from None
        return Counted(**self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BulkmailError("the sandbox has ended")
        found: dict[str, Any] = json.loads(line)
        return found
