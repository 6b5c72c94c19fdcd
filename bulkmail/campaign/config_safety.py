"""The section `safety` of the campaign file: what stands between a mistake and a mailing."""

from __future__ import annotations

from bulkmail.campaign.config_fields import Count, Flag, Percent, PercentOrNever, Whole
from bulkmail.campaign.config_section import Section, default


class PauseIf(Section):
    bounced: Percent | None = default(None, "more than this of those who are settled bounced")
    blocked: PercentOrNever | None = default(
        None, "more than this were told first that our mail is blocked; else 5%, by ten sites, for good"
    )
    refused: PercentOrNever = default(
        "50%", "more than this were refused first for the message or the campaign itself"
    )
    after: Count = default(500, "judged over at least so many recipients")


class Safety(Section):
    confirm_above: Whole = default(0, "a real send of more than this asks first")
    max_recipients: Whole | None = default(None, "a plan with more is refused")
    pause_if: PauseIf = default({}, "when the campaign pauses itself")
    suppress_unknown: Flag = default(
        True, "addresses that their hosts call unknown or disabled, for good, are suppressed"
    )
    wait_after_seeds: Flag = default(False, "send to the seeds, then pause until `bulkmail resume`")
