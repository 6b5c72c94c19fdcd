"""What a site's answers say of its pace: how fast it takes mail, and over how many connections at once.

Nothing of this exists for a site that never complained. The first complaint makes a `Finder`, which looks
for the rate that the site enforces, and holds it just below:

* From one throttling to the next the site has let in exactly what it allows in that time: whatever it counts
  with (a bucket of tokens, a quota of a minute or an hour), it was used up at the first and is again at the
  second. So what was accepted in between, over the time in between, is the *ceiling*, to within one over the
  count; and HELD of it is the rate from now on.
* Before there is a ceiling the rate doubles each second, from half of what was seen to go, until there is a
  second throttling. Where two come so close that what lies in between is too little to be counted, the rate
  is cut, and they are counted together with what comes next: so a limit that is halved is found in a few
  steps.
* After a quiet while the rate creeps up until it is a little above the ceiling, for most limits stay as they
  are: that costs one throttled message or so. Where nothing happens there, the limit has been raised, and the
  rate grows ever faster until it meets the new one. What was seen to have a long period (a quota of an hour)
  is given as much more time.
* Throttled without anything accepted since the last time: all wait, twice as long each time, and one message
  goes first. Where that has become too long, the site is left alone (`Site.hold`), and its mail waits in the
  store.

What was on its way when the rate was cut says nothing new; so whoever asks names messages by their number.

Only what concerns the site counts (`slows`). Each worker finds its own part of what a site allows. Values and
plain functions of a given monotonic `now`.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.transport.stage import Stage

HELD = 0.95  # of what is taken for the ceiling
ENOUGH = 10  # messages between two throttlings that make a rate
LEAST = 0.7  # of the rate, after one throttling
PROOF_S = 2.0  # between two throttlings: so few messages prove something, whatever a round trip takes
LEAST_BEYOND = 0.9  # … where it had grown beyond the ceiling: the new one is near
LOWEST = 1 / 600  # a second
START = 0.5  # of what was seen to go, before anything is known
PAUSE_S = 0.5  # after a throttling: whatever the site counts with has a little room again
LONGEST_PAUSE_S = 40.0
LONGEST_TURN_S = 20.0  # of it, for a low rate
TICK_S = 0.25  # between two changes of the rate,
TICK = 4  # and messages at least
USED = 0.7  # of the rate: a rate that is not used proves nothing
QUIET_S = 15.0  # after a throttling, at the rate that was found
CREEP = 0.005  # a second: how the rate grows then, up to
BEYOND = 1.05  # of the ceiling; and from there on
FASTER_S = 4.0  # twice as fast each time
FASTEST = 0.15  # up to this
RECOVER = 0.10  # a second: up to what is held
BLIND_S = 5.0  # in which the rate doubles where it was cut and nothing was ever counted
PERIOD_S = 240.0  # between two throttlings: so many times longer, so many times slower
QUOTA_S = 15.0  # … where it was a quota that was used up, and its period is what lies in between
LONGEST_PERIODS = 60.0
FEW = 0.75  # a second: below that time is counted in messages
BLOCKED = 0.2  # of the time between two throttlings: there is a quota, and it was used up
IDLE = 0.2  # of the time between two throttlings: then what was accepted in it is no measure
EXCUSED = 3  # times that a message may be throttled while others are not, until that is its own trouble
EXCUSED_OF_ALL = 10 * EXCUSED  # … where the reply is not to anything that names him
REMEMBERED = 1_000  # of these

# That is no pace, but how long a connection lasts (X10)
PER_CONNECTION = re.compile(rb"(?i)\b(?:messages?|mails?|transactions?)\b.{0,30}\b(?:connection|session)\b")


def slows(why: Disposition) -> bool:
    """Whether this asks us to send to the site more slowly.

    Not what concerns a recipient, a mailbox or a message; nor greylisting, which is no matter of pace.
    """
    if why.fate is not Fate.DEFERRED or why.reply is None or not why.reply.transient:
        return False
    if PER_CONNECTION.search(b" ".join(why.reply.lines)):
        return False
    subject = why.reply.enhanced.subject if why.reply.enhanced is not None else None
    if why.consequence is Consequence.SLOW:
        return not (why.stage is Stage.RCPT and subject == 2)  # else it is one mailbox
    unclear = why.meaning is None or why.meaning in (Meaning.OTHER, Meaning.SYSTEM)
    return unclear and subject == 7 and (why.code == 421 or why.stage is Stage.MAIL)


class Finder:
    """The rate that one site takes. `rate` is messages a second; `resumes` is when the next one may go."""

    __slots__ = (
        "_backoff",
        "_before",
        "_blocked_at",
        "_blocked_s",
        "_counted",
        "_excused",
        "_horizon",
        "_idle_s",
        "_known",
        "_mark",
        "_marked",
        "_measured",
        "_quiet_s",
        "_slower",
        "_ticked",
        "_ticked_at",
        "_unhindered_s",
        "ceiling",
        "rate",
        "resumes",
        "since",
        "throttled_at",
        "throttlings",
        "why",
    )

    def __init__(self, seen: float, now: float, number: int, why: str = "") -> None:
        """Throttled for the first time. `seen`: messages a second that went before; `number`: of the next."""
        self.rate = max(LOWEST, START * seen)
        self.ceiling: float | None = None  # what is taken for the site's own limit
        self.since = self.throttled_at = now
        self.throttlings = 1  # episodes, not replies
        self.why = why
        self.resumes = now + PAUSE_S
        self._measured = self._known = False  # the ceiling was counted; or one before it
        self._counted = 0  # accepted since `since`
        self._before = 0  # … until the latest throttling
        self._mark, self._marked = 0, now  # how many there were at a throttling, and when that was
        self._ticked, self._ticked_at = 0, now
        self._horizon = number
        self._backoff = 0  # throttlings in a row with nothing accepted in between
        self._idle_s = 0.0  # of the time since `_marked`: there was less to send
        self._blocked_at = now
        self._blocked_s = 0.0  # … nothing was let in
        self._quiet_s = 0.0  # used time since the last throttling
        self._unhindered_s = 0.0  # and since the rate is beyond the ceiling
        self._slower = 1.0
        self._excused: OrderedDict[int, tuple[int, int]] = OrderedDict()  # how often, and `_counted` then

    @classmethod
    def remembered(cls, rate: float, now: float, why: str) -> Finder:
        """It took so much when it was last seen."""
        finder = cls(rate, now, 0, why)
        finder.ceiling, finder.rate = rate, max(LOWEST, HELD * rate)
        finder.throttlings, finder.resumes = 0, now
        finder._measured = finder._known = True
        return finder

    @property
    def found(self) -> float | None:
        """What it takes, a second, as far as that was counted."""
        return max(self.ceiling, self.rate) if self.ceiling is not None and self._known else None

    def scale(self, factor: float) -> None:
        """So much of it is ours from now on."""
        self.rate = max(LOWEST, factor * self.rate)
        if self.ceiling is not None:
            self.ceiling *= factor

    @property
    def backing_off(self) -> bool:
        """Nothing was accepted lately: one message goes first."""
        return self._backoff > 0

    @property
    def pause_s(self) -> float:
        """How long all wait after the latest throttling: at least until the site has counted one more."""
        return max(float(PAUSE_S * 2**self._backoff), min(LONGEST_TURN_S, 1 / self.rate))

    def accepted(self, count: int, now: float) -> bool:
        """So many messages were let in. True where the rate is another one now."""
        self._counted += count
        if self._backoff:
            self._backoff = 0
            self._blocked_s += now - self._blocked_at
            self._ticked_at = now
        passed, went = now - self._ticked_at, self._counted - self._ticked
        if passed < TICK_S or (went < TICK and passed * self.rate < 2 * TICK):
            return False
        self._ticked, self._ticked_at = self._counted, now
        if went < USED * self.rate * passed:
            self._idle_s += passed
            return False
        before = self.rate
        self._grow(min(passed, 2 * (TICK_S + TICK / self.rate)))
        return self.rate != before

    def _grow(self, passed: float) -> None:
        if self.ceiling is None:
            self.rate *= min(2.0, 2.0**passed)
            return
        if not self._known:
            self.rate *= min(2.0, 2.0 ** (passed / BLIND_S))
            return
        self._quiet_s += passed
        passed /= self._slower
        if self.rate < HELD * self.ceiling:
            self.rate = min(HELD * self.ceiling, self.rate * (1 + RECOVER * passed))
        elif self._quiet_s < QUIET_S * self._slower:
            pass
        elif self.rate < BEYOND * self.ceiling:
            self.rate *= 1 + CREEP * passed
        else:
            self._unhindered_s += passed
            self.rate *= 1 + passed * min(FASTEST, CREEP * 2.0 ** min(32.0, self._unhindered_s / FASTER_S))

    def throttled(self, number: int, next_number: int, now: float, why: str = "") -> bool:
        """The site wants less. `number` is of the message; `next_number` of the next that will be sent.

        False: it was on its way already when the rate was cut.
        """
        if number < self._horizon:
            return False
        if now < self.resumes:  # it had its turn before, and was only slow to go
            self._horizon = next_number
            return False
        self._horizon = next_number
        self.why = why or self.why
        self.throttlings += 1
        self._quiet_s = self._unhindered_s = 0.0
        accepted, passed = self._counted - self._mark, now - self._marked
        # with one more it would have been more than the site allows; that says much where it allows little
        most = (accepted + 1) / passed if accepted > 1 and passed > PROOF_S else self.rate
        if self._counted == self._before:
            if not self._backoff:
                self._blocked_at = self.throttled_at
            self._backoff += 1
            if not self._measured:
                self.rate = max(LOWEST, min(self.rate * LEAST, most))
        elif accepted >= ENOUGH:
            self._found(accepted / passed, passed)
            self._mark, self._marked = self._counted, now
            self._idle_s = self._blocked_s = 0.0
        else:
            near = self._known and passed > PROOF_S
            self.ceiling, self._measured = min(self.rate, most), False
            self.rate = max(LOWEST, min(self.rate * (LEAST_BEYOND if near else LEAST), most))
        self._before = self._ticked = self._counted
        self.throttled_at = self._ticked_at = now
        self.resumes = now + self.pause_s
        return True

    def _found(self, rate: float, passed: float) -> None:
        busy = self._idle_s < IDLE * passed
        quota = self._blocked_s > BLOCKED * passed
        periods = passed / (QUOTA_S if quota else PERIOD_S) if busy else 1.0
        self._slower = max(1.0, FEW / self.rate, min(LONGEST_PERIODS, periods))
        if not quota:
            # what we did not ask for was not refused: with a limit that was raised it says little
            beyond = self.ceiling is not None and self.rate > BEYOND * self.ceiling
            rate = max(rate, (LEAST_BEYOND if beyond else LEAST) * self.rate)
        self._measured = self._known = True
        self.ceiling = min(self.rate, rate)
        self.rate = max(LOWEST, HELD * self.ceiling)

    def excuses(self, recipient: int, most: int = EXCUSED) -> bool:
        """Whether he, who was throttled, goes again soon, for it is the site's pace and not he.

        Not one who was throttled a few times while others were let in.
        """
        times, counted = self._excused.pop(recipient, (0, -1))
        times += counted != self._counted
        self._excused[recipient] = times, self._counted
        if len(self._excused) > REMEMBERED:
            self._excused.popitem(last=False)
        return times <= most

    def knows(self, recipient: int) -> bool:
        """He was throttled before, though others were let in since: that says nothing new of the site."""
        known = self._excused.get(recipient)
        return known is not None and known[1] != self._counted

    def is_moot(self, now: float, believed_s: float) -> bool:
        """It has held nothing back for so long."""
        held = self.ceiling is not None and self.rate < 2 * self.ceiling
        return now - self.throttled_at > believed_s and not held
