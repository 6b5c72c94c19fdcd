"""The whole road in one call: a campaign file and its list, planned and run against a served sandbox.

Whatever a test asserts itself, every run here is held to the first two promises: everybody is in exactly one
state and the states add up to the source; and what our journal says was delivered is what the other side
counted, one copy each and none for anybody else.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import trio

from bulkmail.campaign import config, runner
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.config_model import Content, Delivery, Recipients, ShapingDefault
from bulkmail.campaign.prepare import Prepared, prepared
from bulkmail.campaign.runner import Outcome, Until
from bulkmail.journal import STATES, History, Store
from bulkmail.sandbox import Ledger, Running, World

PATIENCE_S = 300.0  # nothing here takes long on its own; what hangs is to fail, not to hang
SETTLED = Until()
FIRST_PASS = Until(first_pass=True)

# Under which section of the file a setting of a test belongs; all others stand at the top.
SECTIONS: tuple[tuple[str, type], ...] = (
    ("delivery", Delivery),
    ("recipients", Recipients),
    ("content", Content),
    ("shaping", ShapingDefault),
)
TEXT = "Hello, this is for everybody.\n"


@dataclass(frozen=True)
class Report:
    """What one run brought: the journal's view, the accounting log's, and the other side's."""

    outcome: Outcome
    ledger: Ledger
    states: Mapping[str, str]  # by address
    journal: Path
    left_out: tuple[Any, ...]
    events: list[Mapping[str, object]]
    lines: list[dict[str, Any]]  # of the accounting log, of all runs so far

    @cached_property
    def histories(self) -> Mapping[str, History]:
        """Everything that happened to each of them, as the journal tells it now."""
        found = {}
        with Store.open(self.journal, read_only=True) as store:
            for address in self.states:
                known = (one for one in store.history(address) if isinstance(one, History))
                (found[address],) = (one for one in known if one.address == address)
        return found

    @property
    def totals(self) -> Mapping[str, int]:
        return self.outcome.totals

    @property
    def exit(self) -> int:
        return self.outcome.exit

    def kinds(self) -> dict[str, str]:
        """The state of everybody who was planned."""
        return dict(self.states)

    def last(self, address: str) -> Any:
        """The last thing that happened to a recipient, as the journal has it."""
        return self.histories[address].attempts[-1]

    def reply(self, address: str) -> str:
        return str(self.last(address).reply)

    def dispositions(self, address: str) -> list[str]:
        """Of each attempt, by the accounting log."""
        return [line["disposition"] for line in self.lines if line["recipient"] == address]

    def commands(self, host: str) -> list[str]:
        """Everything that was said to a host, session after session."""
        return [command for session in self.ledger.sessions_at(host) for command in session.commands]

    def content(self) -> bytes:
        """Of the only message that arrived."""
        (message,) = self.ledger.messages
        return message.content


@dataclass
class Road:
    """A served world and a folder with one campaign in it, which may be run again."""

    running: Running
    folder: Path
    defaults: dict[str, Any] = field(default_factory=dict)
    patience_s: float = PATIENCE_S

    def file(self, *addresses: str, **settings: Any) -> Path:
        """Write the campaign and its list. `rows` or `listed` (text or bytes) may stand for `addresses`."""
        settings = self.defaults | settings
        name = settings.pop("list_name", "people.csv")
        listed = settings.pop("listed", None)
        rows: Iterable[Mapping[str, str]] = settings.pop("rows", [{"email": one} for one in addresses])
        text = settings.pop("text_of_message", TEXT)
        if listed is None:
            listed = _csv(list(rows))
        (self.folder / name).write_bytes(listed if isinstance(listed, bytes) else listed.encode())
        template = settings.pop("template_name", "message.txt")
        (self.folder / template).write_bytes(text if isinstance(text, bytes) else text.encode())
        tree: dict[str, Any] = {
            "campaign": "road",
            "from": "Acme News <news@acme.test>",
            "to": "Readers <news@acme.test>",
            "subject": "Hello",
            "recipients": {"source": name},
            "content": {"template": template, "text": "none" if template.endswith(".txt") else "auto"},
            "delivery": self.delivery(),
            "shaping": {"default": {"message_rate": "100000/s", "connection_rate": "100000/s"}},
            "log": "accounting.jsonl",
        }
        if template.endswith(".txt"):
            del tree["content"]["text"]
        for key, value in settings.items():
            self._put(tree, key, value)
        path = self.folder / "campaign.yaml"
        path.write_text(json.dumps(tree, indent=1, ensure_ascii=False), encoding="utf-8")
        return path

    @property
    def world(self) -> World:
        return self.running.world

    def delivery(self) -> dict[str, Any]:
        host, port = self.running.dns
        return {
            "via": "mx",
            "ehlo": "out.test",
            "port": self.running.smtp_port,
            "resolvers": [f"{host}:{port}"],
            "allow_private": True,
            "retry": {"first": "50ms", "factor": 1, "max": "50ms", "give_up": "1h"},
        }

    @staticmethod
    def _put(tree: dict[str, Any], key: str, value: Any) -> None:
        for section, model in SECTIONS:
            if key in model.model_fields:
                place = tree[section]
                (place["default"] if section == "shaping" else place)[key] = value
                return
        tree["from" if key == "from_" else key] = value

    def load(self, *addresses: str, **settings: Any) -> Campaign:
        return config.load(self.file(*addresses, **settings), environ=os.environ)

    async def send(
        self,
        *addresses: str,
        until: Until = SETTLED,
        only: int | None = None,
        accept: Iterable[str] = (),
        copies: Mapping[str, int] | None = None,
        tell: Any = None,
        **settings: Any,
    ) -> Report:
        """Write, plan and run the campaign. `only` is `--limit`, `accept` what `--accept-changes` says.

        `copies`: how many copies somebody got, where that is not what the state says.
        """
        campaign = self.load(*addresses, **settings)
        events: list[Mapping[str, object]] = []

        def told(event: Mapping[str, object]) -> None:
            events.append(event)
            if tell is not None:
                tell(event)

        with (
            trio.fail_after(self.patience_s),
            prepared(campaign, accept=frozenset(accept), tell=told) as ready,
        ):
            ready.freeze()
            outcome = await runner.run(ready, tell=told, until=until, limit=only)
            return self._report(campaign, ready, outcome, events, copies or {})

    def _report(
        self,
        campaign: Campaign,
        ready: Prepared,
        outcome: Outcome,
        events: list[Mapping[str, object]],
        copies: Mapping[str, int],
    ) -> Report:
        store = ready.store
        assert sum(outcome.totals[state] for state in STATES) == outcome.totals["source"]
        assert outcome.totals == store.totals()
        states, left_out = states_of(store)
        ledger = self.world.ledger
        for address, state in states.items():
            expected = {copies[address]} if address in copies else COPIES.get(state, {0})
            assert ledger.copies[address] in expected, (
                f"{address} is {state}: {ledger.copies[address]} copies"
            )
        log = campaign.log
        lines = log.read_text("utf-8").splitlines() if log is not None and log.exists() else []
        return Report(
            outcome, ledger, states, store.path, left_out, events, [json.loads(line) for line in lines]
        )


COPIES = {"delivered": {1}, "in_doubt": {0, 1}}  # of whoever is in another state, none


def states_of(store: Store) -> tuple[dict[str, str], tuple[Any, ...]]:
    """Everybody who was planned, each in one state only, and the rows that were left out."""
    states: dict[str, str] = {}
    left_out: list[Any] = []
    for state in STATES:
        for one in store.export(state):
            if hasattr(one, "row"):
                left_out.append(one)
            else:
                assert one.address not in states, f"{one.address} is {states[one.address]} and {state}"
                states[one.address] = state
    return states, tuple(left_out)


def people(count: int, domain: str = "a.test") -> list[str]:
    return [f"p{n:05}@{domain}" for n in range(count)]


def _csv(rows: list[Mapping[str, str]]) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["email"]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
