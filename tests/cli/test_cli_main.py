"""The command line as a whole: verbs, exit codes, what is said of errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from bulkmail import cli
from bulkmail.errors import CampaignLocked, ConfigError, ConnectionLost, Problem, StoreError

INTERFACE = {
    *("init", "run", "plan", "check", "preview", "test", "status", "top", "explain", "export", "resolve"),
    *("pause", "resume", "cancel", "report", "suppress", "bounces", "schedule", "serve", "sandbox", "bench"),
    *("mx", "probe", "schema", "completions"),
}


def loaded_after(program: str, modules: set[str]) -> str:
    """Which of `modules` a new process has imported after `program`, and what else it said on stderr."""
    told = f"print(sorted({modules!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; {told}"], capture_output=True, text=True, check=True
    )
    return done.stderr


def test_help_imports_nothing_heavy() -> None:
    """What makes --help slow is what it imports; the clock of a busy machine says less."""
    heavy = {"trio", "anyio", "dns", "pydantic", "yaml", "rich", "apsw", "jinja2", "ssl"}
    assert loaded_after("from bulkmail.cli import exit_code; exit_code(['--help'])", heavy) == "[]\n"


def test_the_version_is_told_without_what_mail_needs() -> None:
    """As near to a bare `import click` as can be."""
    heavy = {"trio", "pydantic", "apsw", "rich", "ssl", "bulkmail.smtp", "difflib", "email", "asyncio"}
    program = "from bulkmail.cli import exit_code; exit_code(['--version'])"
    assert loaded_after(program, heavy) == "[]\n"


def test_a_run_imports_only_what_it_needs() -> None:
    """Keys, HTML, queries, the sandbox and the live line are for who has them: the first RCPT is soon."""
    program = "from bulkmail.cli import run; from bulkmail.campaign import prepare, runner"
    heavy = {"bulkmail.sandbox", "cryptography", "trustme", "rich", "apsw.ext", "duckdb", "asyncio"}
    heavy |= {"mrml", "css_inline", "inscriptis", "lxml", "markdown_it", "multiprocessing"}
    assert loaded_after(program, heavy) == "[]\n"


def test_every_verb_of_the_interface_is_known() -> None:
    assert {*cli.VERBS, *cli.NOT_BUILT} == INTERFACE


@pytest.mark.parametrize("verb", cli.NOT_BUILT)
def test_a_verb_that_is_not_built_yet_is_refused_as_such(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.exit_code([verb, "campaign.yaml", "--as", "x"])
    assert (code, f"{verb} is not built yet in this version" in capsys.readouterr().err) == (2, True)


def test_an_unknown_verb_is_told_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.exit_code(["supress"])
    assert (code, "no such verb: supress; did you mean suppress?" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("arguments", [[], ["--nonsense"], ["init", "--nonsense"], ["schema", "too", "many"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert (cli.exit_code(arguments), capsys.readouterr().out) == (2, "")


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """A verb that fails with the given error; its exit code."""

    def with_error(error: BaseException) -> int:
        verb = click.Command("schema", callback=raising(error))
        monkeypatch.setattr(cli.Verbs, "get_command", lambda self, ctx, name: verb)
        return cli.exit_code(["schema"])

    return with_error


PROBLEMS = [
    Problem("c.yaml", 3, 5, "delivery.tls", "wrong"),
    Problem("c.yaml", 7, 1, "lgo", "unknown\x1b[2J key"),
]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError(PROBLEMS), 2, "c.yaml:3:5: delivery.tls: wrong\nc.yaml:7:1: lgo: unknown\\x1b[2J key\n"),
        (ConfigError("no journal"), 2, "bulkmail: no journal\n"),
        (CampaignLocked("held by 7"), 6, "bulkmail: held by 7\n"),
        (StoreError("disk full"), 2, "bulkmail: disk full\n"),
        (click.ClickException("no"), 2, "Error: no\n"),
        (click.Abort(), 2, "stopped: nothing was confirmed\n"),
        (BaseExceptionGroup("", [ExceptionGroup("", [CampaignLocked("held")])]), 6, "bulkmail: held\n"),
    ],
)
def test_an_expected_error_is_a_message_and_its_exit_code(
    error: BaseException,
    code: int,
    told: str,
    fail: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = fail(error)
    captured = capsys.readouterr()
    assert (found, captured.err, captured.out) == (code, told, "")


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt(), ValueError("x")])]
)
def test_an_interrupt_is_exit_code_130(error: BaseException, fail: Callable[[BaseException], int]) -> None:
    assert fail(error) == 130


@pytest.mark.parametrize(
    "error",
    [ValueError("odd"), ConnectionLost("odd"), ExceptionGroup("", [ConfigError("x"), ValueError("odd")])],
)
def test_a_bug_is_exit_code_1_and_no_traceback(
    error: Exception, fail: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = fail(error), capsys.readouterr().err
    assert (code, "odd" in told, "Traceback" in told, "BULKMAIL_TRACEBACK=1" in told) == (
        1,
        True,
        False,
        True,
    )


def test_a_traceback_is_shown_to_who_asks_for_it(
    fail: Callable[[BaseException], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BULKMAIL_TRACEBACK", "1")
    code = fail(ValueError("odd"))
    assert (code, "Traceback" in capsys.readouterr().err) == (1, True)


def test_a_reader_who_goes_away_is_no_bug() -> None:
    """`bulkmail schema | head -1`"""
    writer = subprocess.Popen(
        [sys.executable, "-m", "bulkmail", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.stderr is not None
    told = writer.stderr.read()
    writer.stderr.close()
    assert (writer.wait(), told) == (141, b"")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert (cli.exit_code(["--version"]), capsys.readouterr().out.split()[0]) == (0, "bulkmail,")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.exit_code(["completions", shell])
    assert (code, "_BULKMAIL_COMPLETE" in capsys.readouterr().out) == (0, True)


def test_verbs_are_completed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bulkmail"],
        env={"_BULKMAIL_COMPLETE": "zsh_complete", "COMP_WORDS": "bulkmail s", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert [line for line in done.stdout.splitlines() if line in cli.VERBS] == [
        verb for verb in cli.VERBS if verb.startswith("s")
    ]
