"""A site that has refused us as a whole is left alone for a while, whatever else is planned for it."""

from __future__ import annotations

from road_rig import FIRST_PASS


async def test_a_site_that_throttles_is_asked_once_for_all_its_domains(world, send):
    world.host("mx.shared.test").reply("MAIL", b"451 4.7.0 too many messages, rate limited")
    people = [f"ann@d{number}.test" for number in range(30)]
    for number in range(30):
        world.domain(f"d{number}.test").host("mx.shared.test")
    report = await send(*people, until=FIRST_PASS, retry={"first": "1h"})
    mails = [command for command in report.commands("mx.shared.test") if command.startswith("MAIL")]
    assert (report.totals["deferred"], len(mails)) == (30, 1)
