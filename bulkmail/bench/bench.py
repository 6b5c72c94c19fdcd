"""The whole of it: each scenario so many times, each run in a folder of its own that is gone afterwards."""

from __future__ import annotations

import ipaddress
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bulkmail.bench.measure import Sample, run
from bulkmail.bench.result import Result, result
from bulkmail.bench.sandbox import Sandbox
from bulkmail.bench.scenario import SCENARIOS, Scenario, Way, write
from bulkmail.errors import ConfigError

WARM_UP = 500  # recipients of the run that nobody counts: bytecode is written, files are read

Progress = Callable[[str, int, Sample], None]  # (scenario, which repeat, what it measured)


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the mail goes, other than to a sandbox. `address`: what `host` stands for."""

    host: str
    port: int
    address: str

    @property
    def local(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_sink(text: str) -> Sink:
    """HOST:PORT or [IPV6]:PORT, looked up once: what was judged is what is used. Raises ConfigError."""
    host, colon, number = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ConfigError(f"--sink {text}: write HOST:PORT")
    try:
        found = socket.getaddrinfo(host, int(number), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"--sink {text}: {error.strerror}") from None
    return Sink(host, int(number), str(found[0][4][0]))


@dataclass(frozen=True, slots=True)
class Bench:
    """What is asked for. `recipients`: None is what each scenario finds right. `directory`: for journals."""

    scenarios: Sequence[str]
    sink: Sink | None
    recipients: int | None
    connections: int
    repeats: int
    workers: str | None
    tls: bool
    directory: Path | None

    def results(self, tell: Progress) -> list[Result]:
        """Raises BulkmailError where a run fails or delivers to nobody."""
        self._once(SCENARIOS[self.scenarios[0]], min(WARM_UP, self.recipients or WARM_UP))
        found = []
        for name in self.scenarios:
            scenario = SCENARIOS[name]
            recipients = self.recipients or scenario.recipients
            samples = []
            for repeat in range(1, self.repeats + 1):
                samples.append(self._once(scenario, recipients))
                tell(name, repeat, samples[-1])
            found.append(result(name, recipients, samples))
        return found

    def _once(self, scenario: Scenario, recipients: int) -> Sample:
        with ExitStack() as stack:
            made = tempfile.TemporaryDirectory(prefix="bulkmail-bench-", dir=self.directory)
            folder = Path(stack.enter_context(made))
            sandbox = stack.enter_context(Sandbox())  # names are looked up there in any case
            host, port = (self.sink.address, self.sink.port) if self.sink else ("127.0.0.1", sandbox.smtp)
            way = Way(host, port, sandbox.dns, self.connections, self.tls)
            campaign = write(scenario, recipients, way, folder)
            return run(campaign, workers=self.workers, sandbox=None if self.sink else sandbox)
