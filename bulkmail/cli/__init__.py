"""The command line: one file per verb, imported only when that verb is called.

`bulkmail --help` must answer in a tenth of a second, so the help texts of the verbs stand here, in VERBS, and
trio, dns and pydantic are imported by nobody until a verb needs them. A verb is a module of its own name here
with a click command named `command`; what it returns is the exit code (None is 0). It prints data on standard
output, everything else on standard error, and lets errors out: they become messages and exit codes in main().
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterator, Sequence

import click

from bulkmail import __version__
from bulkmail.errors import (
    BulkmailError,
    CampaignCancelled,
    CampaignLocked,
    CampaignPaused,
    ConfigError,
    ConversationEnded,
    DiskRefused,
    StoreError,
)

VERBS = {
    "init": "Make a project folder: defaults, a first campaign, its list.",
    "run": "Send a campaign, or go on with it after any interruption.",
    "plan": "Say how many, who is left out and why; freeze nothing.",
    "preview": "Show the message as its recipients will see it.",
    "test": "Send one rendered message to the addresses you name.",
    "status": "Show where a campaign stands.",
    "top": "Show how a run does now, provider by provider.",
    "pause": "Let a campaign begin no new message.",
    "resume": "Let a paused campaign go on.",
    "cancel": "Give up a campaign for everybody who is left.",
    "explain": "Show everything that happened to one recipient.",
    "export": "Print the recipients in a state as CSV.",
    "resolve": "Say what became of those who are in doubt.",
    "suppress": "Keep the addresses that must not be written to.",
    "mx": "Show a domain's mail exchangers, their addresses and site.",
    "probe": "Talk to a host: greeting, EHLO, TLS, certificate.",
    "sandbox": "Run an internet in a box on loopback.",
    "bench": "Measure how fast this machine sends.",
    "schema": "Print the JSON Schema of the campaign file or the events.",
    "completions": "Print the completion script for a shell.",
}
NOT_BUILT = (
    "check",
    "report",
    "bounces",
    "schedule",
    "serve",
)

# Exit codes of INTERFACE.md that errors lead to.
BUG, USAGE, STOPPED, LOCKED, PAUSED, CANCELLED, INTERRUPTED = 1, 2, 5, 6, 7, 8, 130
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)  # nobody's bug: this user, this place
PIPE_CLOSED = 141  # as a shell reports SIGPIPE: the reader of our output went away


class Verbs(click.Group):
    """A group that knows its verbs by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in NOT_BUILT:
            return _refusing(cmd_name)
        if cmd_name not in VERBS:
            return None
        module = f"{__name__}.{cmd_name}"
        try:
            command = importlib.import_module(module).command
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return _refusing(cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if not ctx.resilient_parsing and name not in VERBS and name not in NOT_BUILT:
            from difflib import get_close_matches  # only who mistypes pays for the import

            close = get_close_matches(name, [*VERBS, *NOT_BUILT], 1)
            ctx.fail(f"no such verb: {name}" + (f"; did you mean {close[0]}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        item = click.shell_completion.CompletionItem
        verbs = [item(verb, help=text) for verb, text in VERBS.items() if verb.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


def _refusing(verb: str) -> click.Command:
    def refuse() -> None:
        raise click.UsageError(f"{verb} is not built yet in this version")

    return click.Command(
        verb,
        callback=refuse,
        help="Not built yet in this version.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.group(
    cls=Verbs, subcommand_metavar="VERB ...", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="bulkmail")
def cli() -> None:
    """Deliver a message to a list of recipients, and account for every one.

    Exit codes: 0 everybody settled; 1 a bug; 2 usage or configuration; 3 a check failed; 4 settled, some in
    doubt or expired; 5 some pending, run again; 6 another run holds the campaign; 7 paused; 8 cancelled;
    130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with the code of INTERFACE.md."""
    sys.exit(exit_code(args))


def exit_code(args: Sequence[str] | None = None) -> int:
    """The exit code of a command line. Every error has become a message on standard error."""
    out = sys.stdout
    try:
        code = cli.main(
            args=list(args) if args is not None else None, prog_name="bulkmail", standalone_mode=False
        )
        sys.stdout.flush()
    except SystemExit as error:  # completion ends this way, and click's answer to a closed pipe
        if sys.stdout is not out:  # which click swaps for one that no longer fails
            sys.stdout = out
            return _told(BrokenPipeError())
        return error.code if isinstance(error.code, int) else 0
    except BaseException as error:
        return _told(error)
    return code if isinstance(code, int) else 0


def _told(error: BaseException) -> int:
    """Say what happened and choose the exit code."""
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    expected = [leaf for leaf in leaves if _code(leaf) is not None]
    if not expected or len(expected) < len(leaves):
        return _bug(error, next(leaf for leaf in leaves if _code(leaf) is None))
    first = expected[0]
    if isinstance(first, OSError):
        # what is still buffered would fail once more when Python flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(first, BrokenPipeError):
        pass
    elif isinstance(first, click.ClickException):
        first.show()
    elif isinstance(first, click.Abort):
        interrupted = isinstance(first.__cause__, KeyboardInterrupt)
        say("interrupted" if interrupted else "stopped: nothing was confirmed")
    elif isinstance(first, OSError):
        where = f": {first.filename}" if first.filename else ""
        mend = "Give this user the right to it" if first.errno in NO_RIGHT else "Make room"
        say(f"bulkmail: {first.strerror}{where}. {mend} and run the same command again.")
    elif isinstance(first, ConfigError) and first.problems:
        for problem in first.problems:
            say(str(problem))
    else:
        say(f"bulkmail: {first}")
    return _code(first) or USAGE


def _code(error: BaseException) -> int | None:
    """The exit code of an error that is expected to come this far; None for a bug."""
    match error:
        case CampaignLocked():
            return LOCKED
        case CampaignPaused():
            return PAUSED
        case CampaignCancelled():
            return CANCELLED
        case click.Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        case DiskRefused():
            return STOPPED
        case click.ClickException():
            return error.exit_code if error.exit_code != 1 else USAGE
        case click.Abort() | ConfigError() | StoreError():
            return USAGE
        case ConversationEnded():  # these belong to delivery, which turns them into dispositions
            return None
        case BulkmailError():
            return USAGE
        case BrokenPipeError():
            return PIPE_CLOSED
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return STOPPED
        case OSError() if error.errno in NO_RIGHT and error.filename is not None:
            return USAGE
    return None


def _bug(error: BaseException, leaf: BaseException) -> int:
    if os.environ.get("BULKMAIL_TRACEBACK"):
        sys.excepthook(type(error), error, error.__traceback__)
    say(f"bulkmail: a bug, not your mistake: {type(leaf).__name__}: {leaf}")
    say(
        "What was recorded is safe; running the same command again goes on. BULKMAIL_TRACEBACK=1 shows where."
    )
    return BUG


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What really happened, out of the groups that nurseries wrap it in."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def say(text: str) -> None:
    """A line for people, on standard error. Control characters from files and servers are escaped (G6)."""
    safe = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    click.echo(safe, err=True)
