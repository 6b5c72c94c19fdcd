"""The files that go with a message: read, and never more of them than the mail servers of the world take.

A server refuses a message that is too large for it, for good: with attachments that hardly anybody takes, a
campaign would bounce as a whole. So they are weighed as they are sent, all together and in base64, before
anything else happens. What is refused is not read: a size is looked up, and reading stops behind the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bulkmail.campaign.config_model import Campaign
from bulkmail.errors import ConfigError, Problem
from bulkmail.message.draft import Attachment

MOST = 25_000_000  # octets as they are sent; the large providers take messages of 25 to 35 MB
MUCH = 10_000_000  # what a default Postfix and many companies take
_LINE, _ENCODED_LINE = 57, 78  # octets of a file, and of the line of base64 that they become (RFC 2045)
_ROOM = MOST // _ENCODED_LINE * _LINE  # octets of files that fit into MOST


def attachments(campaign: Campaign) -> tuple[Attachment, ...]:
    """The files of `content.attachments`, in its order.

    Raises ConfigError with all that cannot be read, or where together they are larger than MOST.
    """
    asked = campaign.content.attachments
    if (octets := weight(campaign)) > MOST:
        raise _too_large(campaign, f"are {_mb(octets)}")
    read: list[Attachment] = []
    problems: list[Problem] = []
    room = _ROOM
    for index, attached in enumerate(asked):
        try:
            content = _beginning(attached.file, room + 1)
        except OSError as error:
            why = f"{attached.file} cannot be read: {error.strerror}"
            problems.append(campaign.problem(f"content.attachments[{index}]", why))
            continue
        room -= len(content)
        if room < 0:  # it has grown since it was weighed, or is no file that has a size
            raise _too_large(campaign, f"are more than {_mb(MOST)}")
        read.append(Attachment(attached.name or attached.file.name, content))
    if problems:
        raise ConfigError(problems)
    return tuple(read)


def doubts(campaign: Campaign) -> Iterator[tuple[str, str]]:
    """A warning, as (key, text), where attachments are large and not yet refused."""
    octets = weight(campaign)
    if MUCH < octets <= MOST:
        yield (
            "content.attachments",
            f"the files are {_mb(octets)} as they are sent (base64), for each recipient, and many servers "
            f"refuse messages of more than {_mb(MUCH)} for good: a link to them reaches everybody",
        )


def weight(campaign: Campaign) -> int:
    """Octets of all attachments in base64, by the sizes of the files; those that are not there have none."""
    return sum(_encoded(_size(attached.file)) for attached in campaign.content.attachments)


def _encoded(octets: int) -> int:
    return -(-octets // _LINE) * _ENCODED_LINE


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _beginning(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most)


def _too_large(campaign: Campaign, how: str) -> ConfigError:
    text = (
        f"the files {how} as they are sent (base64), and not more than {_mb(MOST)} can be: servers would "
        "refuse the message for good, for everybody. Put them on the web and link to them"
    )
    return ConfigError(campaign.problem("content.attachments", text))


def _mb(octets: int) -> str:
    return f"{octets / 1_000_000:.1f} MB".replace(".0 MB", " MB")
