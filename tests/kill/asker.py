"""The other terminal, from which a run is told to pause, to go on, or to give up."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from bulkmail.campaign.control import reachable, socket_path


class Asker:
    """The other terminal: says the word when it is time, and after a pause has been answered, `resume`."""

    def __init__(self, journal: Path, word: str, after: int) -> None:
        self._path, self._after = socket_path(journal), after
        self._words: list[str] = [word, *(["resume"] if word == "pause" else ())]
        self._open: socket.socket | None = None
        self._held = b""
        self.answered: list[str] = []  # the words that it was said to have heeded

    @property
    def listens_to(self) -> list[socket.socket]:
        return [] if self._open is None else [self._open]

    def accepted(self, count: int) -> None:
        if self._open is None and count >= self._after and self._words:
            self._ask()

    def _ask(self) -> None:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._path) as address:
                one.connect(address)
            one.sendall(json.dumps({"do": self._words[0]}).encode() + b"\n")
        except OSError:  # it does not listen any more
            one.close()
            self._words.clear()
            return
        self._open, self._held = one, b""

    def hear(self) -> None:
        """What is there to be read."""
        assert self._open is not None
        data = b""
        with contextlib.suppress(OSError):
            data = self._open.recv(65536)
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            answer: dict[str, Any] = json.loads(line)
            stands = answer["cancelled"] or answer["paused"] is not None
            if stands or answer["did"] == "resume":
                self.answered.append(answer["did"])
            if answer["done"]:
                data = b""
        if not data:
            self._open.close()
            self._open = None
            if self._words.pop(0) in self.answered and self._words:
                self._ask()
            else:
                self._words.clear()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
