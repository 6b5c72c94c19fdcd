"""What is planned, what was tried and what came of it: on disk before anything depends on it."""

from __future__ import annotations

from bulkmail.journal.learned import Fact, LearnedSites, Remembered
from bulkmail.journal.leases import Holder, Leases, Sender
from bulkmail.journal.lock import CampaignLock
from bulkmail.journal.log import Log
from bulkmail.journal.log_file import LogName, told
from bulkmail.journal.plan_writer import PlanWriter
from bulkmail.journal.queries import Which
from bulkmail.journal.records import (
    LEFT_OUT,
    OPEN,
    SETTLED,
    STATES,
    AttemptRow,
    Due,
    Exported,
    Failure,
    History,
    Intent,
    Interval,
    LeftOut,
    Mark,
    Planned,
    Ranges,
    Record,
    Undelivered,
)
from bulkmail.journal.roll import Recipient, Roll, by_column
from bulkmail.journal.sites import SiteFile, at_last, dispensable, site_store
from bulkmail.journal.store import Store
from bulkmail.journal.suppressions import Suppression, Suppressions, suppression_key
from bulkmail.journal.writer import Journal

__all__ = [
    "LEFT_OUT",
    "OPEN",
    "SETTLED",
    "STATES",
    "AttemptRow",
    "CampaignLock",
    "Due",
    "Exported",
    "Fact",
    "Failure",
    "History",
    "Holder",
    "Intent",
    "Interval",
    "Journal",
    "LearnedSites",
    "Leases",
    "LeftOut",
    "Log",
    "LogName",
    "Mark",
    "PlanWriter",
    "Planned",
    "Ranges",
    "Recipient",
    "Record",
    "Remembered",
    "Roll",
    "Sender",
    "SiteFile",
    "Store",
    "Suppression",
    "Suppressions",
    "Undelivered",
    "Which",
    "at_last",
    "by_column",
    "dispensable",
    "site_store",
    "suppression_key",
    "told",
]
