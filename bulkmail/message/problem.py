"""What is wrong with a document that its author wrote, said so that he finds the place."""

from __future__ import annotations


class MarkupProblem(ValueError):
    """A document that cannot be converted. `line` counts from 1; 0 where nobody knows."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {text}" if line else text)
        self.text = text
        self.line = line
