"""The section `shaping` of the campaign file: what protects the sender, and others from him."""

from __future__ import annotations

from bulkmail.campaign.config_fields import Count, RateField
from bulkmail.campaign.config_section import Section, default


class ShapingDefault(Section):
    connections: Count = default(10, "open at once to one site")
    message_rate: RateField = default("100/s", "messages to one site")
    connection_rate: RateField = default("20/s", "new connections to one site")
    recipients_per_transaction: Count = default(100, "at most, where the bytes are the same")
    messages_per_connection: Count = default(100, "then a new connection is made")
    messages_in_flight: Count = default(8, "at most, on a connection: so many are in doubt if it breaks")


class Shaping(Section):
    default: ShapingDefault = default({}, "the limits of a site that has no others")
