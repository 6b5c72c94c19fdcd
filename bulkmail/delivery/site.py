"""What a run knows of each site: its pace, what it taught us, how it does.

A destination ends whenever nothing waits for its site; this record outlives it (`sites`), so that limits hold
and a refusal is remembered across all of them.
Plain values and plain functions of a given monotonic `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.evidence import is_proof, names_address
from bulkmail.delivery.level import Level
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.paced import BELIEVED_S, JUST_S, Paced, Pacing
from bulkmail.delivery.provider import suffix_of
from bulkmail.delivery.shaping import Bounds, Limits, least
from bulkmail.delivery.view import Seen
from bulkmail.smtp.extension import NO_LIMITS, Extensions

SMALL = 10_000_000  # octets: a SIZE below that is worth to be told of
STRIKES = 3  # conversations in a row that brought nothing before the site is left alone
UNLUCKY = 10  # recipients in a row for whom a message is refused, where it was taken for others


@dataclass(frozen=True, slots=True)
class Learned:
    """What a site taught us by refusing: limits narrower than shaping's. None is nothing learned.

    How fast and over how many connections its provider takes mail is found together: see `Allowed`.
    """

    recipients: int | None = None  # in a transaction (X5)
    messages: int | None = None  # on a connection (X10)
    lockstep: bool = False  # PIPELINING is announced and does not work (X9)
    no_chunking: bool = False  # nor does CHUNKING (X12)
    size: int | None = None  # octets of a message, where that is few; for people: it is announced anew


NOTHING = Learned()


class Site(Paced):
    """One site. `messages` and `connections` are the buckets of its own rates.

    `standing` counts connections that sessions hold. `divided`: domains of it may have limits of their own,
    and then several destinations share it. `outer`: its provider, where that has limits.
    """

    __slots__ = (
        "_divided",
        "_held_by",
        "_held_until",
        "_keeps",
        "_learned",
        "_learned_until",
        "_limits",
        "_on_learned",
        "_window",
        "chunks",
        "connections",
        "messages",
        "pooled",
        "prober",
        "seen",
        "strikes",
        "struck",
        "takes",
        "wary",
        "was_held",
    )

    def __init__(
        self,
        name: str,
        limits: Limits,
        now: float,
        known: Learned = NOTHING,
        on_learned: Callable[[str, Learned], None] = lambda name, new: None,
        *,
        outer: Level | None = None,
        divided: bool = False,
        pacing: Pacing | None = None,
    ) -> None:
        """`known`: what another run has learned; `on_learned` is told of what this one learns. `pacing`: of
        its provider, if another site of that may be known."""
        self._limits = limits
        self._divided = divided
        super().__init__(name, _shared(limits), now, outer)
        self.messages = self.sending.each
        self.connections = self.dialling.each
        self.pooled = True  # connections may be kept idle; not where others would have their places
        self.begin(pacing or Pacing(suffix_of(name), now))
        self.strikes = 0
        self.struck = 0  # recipients who were refused in these
        self.takes = False  # it has taken mail of ours
        self.wary = False  # left alone because it refused us for good, and took nothing since: one is tried
        self._window = 1
        self._keeps = False
        self.chunks: bool | None = None  # whether BDAT works here as announced; None: nobody has seen it yet
        self.prober: object = None  # the session that is about to see
        self._learned = known
        self._learned_until = now + BELIEVED_S
        self._on_learned = on_learned
        self.seen = Seen()
        self.was_held = False  # ever: most never are, and then nobody need look at the clock
        self._held_by: Disposition | None = None
        self._held_until = 0.0

    def limit(self, limits: Limits) -> None:
        """Keep to these from now on."""
        self._limits = limits
        self.limit_to(_shared(limits))
        self.pacing.follow()

    def link(self) -> None:
        """See Level; who is alone needs neither doors nor seats, his destination counts for itself."""
        super().link()
        if self.outer is None and self.sending.people is None:
            self.paces = None
        if self.outer is None:
            self.calling = None
        if not self._divided:
            self.seating = self.seating[1:]

    def around(self, outer: Level | None, *, divided: bool) -> None:
        """It stands in this one from now on."""
        self._divided = divided
        self.stand_in(outer)

    @property
    def many_sites(self) -> bool:
        return False

    def most(self, now: float) -> int | None:
        return self.connections_limit(now)

    # --- its limits: what shaping says, or what the site taught us ---------------------------------

    def learned(self, now: float) -> Learned:
        """What is believed of it; to be asked anew, as it changes."""
        return self._learned if now < self._learned_until else NOTHING

    def learn(
        self,
        now: float,
        *,
        recipients: int | None = None,
        messages: int | None = None,
        lockstep: bool = False,
        no_chunking: bool = False,
        size: int | None = None,
    ) -> None:
        """Believe these limits, at least 1 each, from now on; what is not named stays as it was."""
        known = self.learned(now)
        self._learned_until = now + BELIEVED_S
        self._learned = Learned(
            max(1, recipients) if recipients is not None else known.recipients,
            max(1, messages) if messages is not None else known.messages,
            lockstep or known.lockstep,
            no_chunking or known.no_chunking,
            size if size is not None else known.size,
        )
        self._on_learned(self.name, Learned(recipients, messages, lockstep, no_chunking, size))

    def announced(self, now: float, extensions: Extensions) -> None:
        """What a host says of itself on a new connection: learned where it is narrower than what is known."""
        said, known, size = extensions.limits, self.learned(now), extensions.size
        few = size is not None and size < SMALL and (known.size is None or size < known.size)
        if said is NO_LIMITS and not few:
            return
        recipients = said.rcptmax is not None and 0 < said.rcptmax < self.recipients_limit(now)
        messages = said.mailmax is not None and 0 < said.mailmax < self.messages_limit(now)
        if recipients or messages or few:
            self.learn(
                now,
                recipients=said.rcptmax if recipients else None,
                messages=said.mailmax if messages else None,
                size=size if few else None,
            )

    def unlearn_messages(self) -> None:
        """It ends connections, and not for that many messages on one."""
        self._learned = replace(self._learned, messages=None)

    def recipients_limit(self, now: float) -> int:
        """Recipients in a transaction (X5)."""
        if self.wary:
            return 1
        return least(self._limits.recipients_per_transaction, self.learned(now).recipients)

    def messages_limit(self, now: float) -> int:
        """Transactions on a connection (X10)."""
        return least(self._limits.messages_per_connection, self.learned(now).messages)

    def connections_limit(self, now: float) -> int:
        most, pacing = self._limits.connections, self.pacing
        return most if pacing.room is None else min(most, pacing.room.limit(pacing.standing, now))

    def window(self, now: float) -> int:
        """Messages that may be in flight on a connection: 1, twice as many after each time it went well.

        What is in flight when a conversation breaks is in doubt, so a site must first have shown that it
        keeps connections, and begins anew after any trouble.
        """
        if self.learned(now).lockstep or (self.finder is not None and self.finder.backing_off):
            return 1
        return min(self._window, self._limits.messages_in_flight)

    @property
    def grown(self) -> bool:
        """The window is as large as it may become."""
        return self._window >= self._limits.messages_in_flight

    @property
    def keeps_connections(self) -> bool:
        """It has answered a second transaction on a connection: it does not close after each of them."""
        return self._keeps

    def unprobed(self, session: object) -> None:
        """This one is not about to see whether BDAT works; another may."""
        if self.prober is session:
            self.prober = None

    def is_full(self, why: Disposition, now: float) -> bool:
        """A connection was refused: True if that only says that those which stand are all we may have.

        Then no more are opened than stand now, and nobody is charged for the refusal.
        """
        pacing = self.pacing
        if not (pacing.standing or pacing.calling or now - pacing.left_at < JUST_S):
            return False
        self.pacing.full(why.text, now)
        return True

    # --- how it does -------------------------------------------------------------------------------

    def went_well(self, transactions: int = 1, at_once: int = 1) -> None:
        """So many transactions were answered on one connection, and nothing speaks against more.

        `at_once`: how many of the last were in flight together. Fewer than might have been prove nothing.
        """
        self.strikes = 0
        self.wary = False
        self._keeps = self._keeps or transactions > 1
        if self._keeps and at_once >= self._window:
            self._window = min(2 * self._window, self._limits.messages_in_flight)

    def took_mail(self, *, whole: bool) -> None:
        """A message was taken, `whole` by BDAT: it is not that nobody here would have it."""
        self.takes = True
        self.struck = 0
        if whole:
            self.chunks = True

    def shrink(self) -> None:
        """Something went wrong: one message at a time, until it has gone well again."""
        self._window = 1
        self._keeps = False

    def met_trouble(self, disposition: Disposition, now: float) -> bool:
        """A conversation brought nothing; True if the site is from now on to be left alone."""
        if self.held(now) is not None:
            return False  # what was open when it was given up says nothing new
        if disposition.consequence is Consequence.PAUSE and self.takes and self.struck < UNLUCKY:
            return False  # one here and one there, by filters that each recipient sets
        self.strikes += 1
        plain = disposition.refuses_us and is_proof(disposition) and names_address(disposition)
        return disposition.scope is Scope.SITE or self.strikes >= STRIKES or self.wary or plain

    def hold(self, disposition: Disposition, until: float) -> Disposition:
        """Leave it alone until then, then begin anew. Returns what that means for the untried: a deferral."""
        self.shrink()
        if disposition.fate is not Fate.DEFERRED:
            note = f"{disposition.note}; " if disposition.note else ""
            disposition = disposition._replace(
                fate=Fate.DEFERRED, note=f"{note}so were others: the site is left alone for now"
            )
        self.was_held = True
        self.wary = self.wary or disposition.refuses_us
        self._held_by = disposition._replace(scope=Scope.SITE)
        self._held_until = until
        self.strikes = self.struck = 0
        self.takes = False
        return self._held_by

    def held_for(self, now: float) -> float:
        """Seconds for which it is still left alone."""
        return max(0.0, self._held_until - now)

    def held(self, now: float) -> Disposition | None:
        """Why it is left alone, or None."""
        return self._held_by if now < self._held_until else None


def _shared(limits: Limits) -> Bounds:
    return Bounds(limits.connections, limits.message_rate, limits.connection_rate, limits.recipient_rate)
