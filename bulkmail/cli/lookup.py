"""What `mx` and `probe` share: whom to ask, as whom to speak, how to read what was typed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bulkmail.dns.resolver import Resolver

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
FINDINGS = 3  # exit code


def read_by(module: str, function: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of click's: `module.function` reads each value, its ValueError is a usage error.

    By name, because the module is imported only when there is something to read.
    """

    def read(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is None:
            return None
        reader = getattr(importlib.import_module(module), function)
        try:
            return tuple(map(reader, value)) if isinstance(value, tuple) else reader(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return read


EHLO = read_by("bulkmail.campaign.config_values", "parse_ehlo")


def resolver_option(function: F) -> F:
    """`--resolver`, any number of times."""
    return click.option(
        "--resolver",
        "resolvers",
        metavar="ADDRESS[:PORT]",
        callback=read_by("bulkmail.campaign.config_values", "parse_endpoint"),
        multiple=True,
        help="Ask this name server instead of the system's; may be repeated.",
    )(function)


def name_servers(chosen: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Those that were chosen, else the system's."""
    from bulkmail.dns.resolver import system_nameservers

    return tuple(chosen) or system_nameservers()


def asking(servers: Sequence[tuple[str, int]], question: Callable[[Resolver], Any], *, result: type[T]) -> T:
    """Run `question` (async) with a resolver of these servers; its result."""
    import trio

    from bulkmail.dns.resolver import Resolver

    async def ask() -> T:
        resolver = Resolver(servers)
        try:
            found = await question(resolver)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await resolver.aclose()
        assert isinstance(found, result)
        return found

    return trio.run(ask, restrict_keyboard_interrupt_to_checkpoints=True)


def endpoint(server: tuple[str, int]) -> str:
    """As it is written on the command line."""
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def both_spellings(name: str) -> str:
    """An international name as it is written and as it travels: `bücher.example (xn--bcher-kva.example)`."""
    if "xn--" not in name:
        return name
    import idna

    try:
        shown = idna.decode(name)
    except UnicodeError:  # an A-label registered under older rules
        return name
    return f"{shown} ({name})"
