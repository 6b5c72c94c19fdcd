"""The command line: one file per verb, imported only when that verb is called."""


def main() -> None:
    raise SystemExit("not built yet")
