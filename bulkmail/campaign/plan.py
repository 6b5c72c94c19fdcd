"""The plan: who gets the message, in which order, and who does not and why.

One pass over the list, as a stream: each row becomes a candidate or a left-out row (`admission`), candidates
are spilled into partitions by domain (`spill`), and each partition becomes intervals of dense ids
(`placing`). Memory holds one batch of rows and one partition, whatever the length of the list. Nothing is
sent from a plan that is not complete: any error leaves the store without one.

All of it is plain code without `await`; the caller runs it in a thread. It stops where `progress` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, Protocol

from bulkmail.campaign.admission import Admission, Composer
from bulkmail.campaign.candidates import SEED, Candidates
from bulkmail.campaign.forecast import forecast
from bulkmail.campaign.listing import EMAIL, ListSpec
from bulkmail.campaign.partition import hot_among
from bulkmail.campaign.placing import Placing, Sink
from bulkmail.campaign.ranking import Ranking
from bulkmail.campaign.settling import Settling, Suppressed
from bulkmail.campaign.sources import expand, read_list
from bulkmail.campaign.spill import Budget, spill_folder
from bulkmail.errors import ConfigError

Progress = Callable[[str, int], None]  # ("read" | "placed", how many so far); called about every thousand


class PlannedStore(Protocol):
    def write_plan(self) -> AbstractContextManager[Sink]: ...


def make_plan(
    spec: ListSpec,
    composer: Composer,
    store: PlannedStore,
    suppressions: Suppressed,
    *,
    folder: Path,
    on_missing: str = "fail",
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
    budget: Budget | None = None,
) -> None:
    """Write the plan of a campaign into its store.

    `folder` is a path of this campaign's own in the state directory, for what does not fit into memory; it
    is made and removed here, and what a crash left there is removed first. Raises ConfigError, with every
    problem up to a bound, where the list or the message cannot be used, and StoreError where the disk
    refuses.
    """
    with store.write_plan() as sink:
        write_plan(
            spec,
            composer,
            sink,
            suppressions,
            folder=folder,
            on_missing=on_missing,
            progress=progress,
            stdin=stdin,
            budget=budget,
        )


def write_plan(
    spec: ListSpec,
    composer: Composer,
    sink: Sink,
    suppressions: Suppressed,
    *,
    folder: Path,
    on_missing: str = "fail",
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
    budget: Budget | None = None,
) -> None:
    """As `make_plan`, into any sink."""
    files: list[str] = []
    shapes: dict[str, tuple[str, ...]] = {}

    def shape(columns: Sequence[str]) -> str:
        number = sink.shape(columns)
        shapes[number] = tuple(columns)
        return number

    tell = _Teller(progress)
    room_for = budget or Budget()
    with spill_folder(folder), closing(Admission(spec, composer, files)) as admission:
        settling = Settling(
            sink,
            suppressions,
            files=files,
            shapes=shapes,
            dedupe=spec.dedupe == "address",
            skip=on_missing == "skip",
        )
        placing = Placing(
            sink,
            settling,
            personal=composer.personal,
            keyed=admission.keyed,
            folder=folder,
            budget=room_for,
            moved=tell.placed,
            ranking=None if spec.first is None else Ranking(spec.first, shapes),
        )
        with closing(placing):
            sources, excluded = expand(spec, spec.source), expand(spec, spec.exclude, "exclude")
            expected = forecast([*sources, *excluded])
            size = None if expected.octets is None else room_for.filled(expected.rows, expected.memory)
            hot = hot_among(expected.domains, size) if expected.domains else None
            candidates = placing.spill(hot=hot, size=size)
            # first: of a seed who is in the list, the seed is kept
            candidates.extend(Candidates.of(SEED, 0, admission.seeds(), keyed=admission.keyed))
            for batch in read_list(_exclusion_spec(spec), excluded, folder, stdin, shape):
                candidates.extend(admission.exclusions(batch))
            admission.unreadable.finish()
            source = len(spec.seeds)
            room = spec.limit
            fields: set[str] = set()
            for batch in read_list(spec, sources, folder, stdin, shape):
                found, left_out = admission.columns(batch, room)
                fields.update(batch.fields)
                source += len(found) + len(left_out)
                room = None if room is None else room - len(found)
                candidates.extend(found)
                for row in left_out:
                    sink.left_out(row)
                tell.read(source)
                if room is not None and room <= 0:
                    break
            if spec.first is not None and fields and spec.first not in fields:
                raise _no_field(spec, spec.first, fields)
            sink.count("source", source)
            placing.place(candidates)
            settling.refusals.finish()


def _exclusion_spec(spec: ListSpec) -> ListSpec:
    """An exclusion list needs an address and nothing else: in our column, in `email`, or in its only one."""
    column = spec.columns.get(EMAIL, EMAIL)
    return replace(spec, columns={EMAIL: column}, where=None, limit=None, address_only=True)


def _no_field(spec: ListSpec, first: str, fields: AbstractSet[str]) -> ConfigError:
    near = get_close_matches(first, fields, 1)
    hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(sorted(fields - {''}))}"
    return ConfigError(spec.locate("shaping.warmup.first", f"no row has the field {first}: {hint}"))


class _Teller:
    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._placed = 0

    def read(self, rows: int) -> None:
        if self._progress is not None:
            self._progress("read", rows)

    def placed(self, more: int) -> None:
        self._placed += more
        if self._progress is not None:
            self._progress("placed", self._placed)
