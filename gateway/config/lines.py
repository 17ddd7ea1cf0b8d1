"""Which key stands in which line of a TOML text.

The standard library reads TOML but forgets the lines. This scanner reads no values: it
walks over text that ``tomllib`` has already accepted, which is why it checks nothing.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

__all__ = ["Key", "find_lines"]

Key = tuple[str | int, ...]

# Comments and blanks match without a group and are dropped. Multi-line strings come before
# plain ones: their opening quotes would read as an empty string. Up to two quotes may stand
# right before the closing three, hence the look-ahead.
_TOKEN = re.compile(
    r"""
      [ \t\r]+ | \#[^\n]*
    | (?P<token>
          \"{3} (?: [^\\] | \\. )*? \"{3} (?!\")
        | '{3} .*? '{3} (?!')
        | " (?: [^"\\\n] | \\. )* "
        | ' [^'\n]* '
        | [\[\]{},=.\n]
        | [^\s"'\[\]{},=.\#]+
      )
    """,
    re.VERBOSE | re.DOTALL,
)


def find_lines(text: str) -> dict[Key, int]:
    r"""Return the line of every table, key and array item.

    Parameters
    ----------
    text
        Valid TOML.

    Returns
    -------
    dict
        From the path of a key, with the index of an item as a number, to its line,
        counted from 1. A table that is only implied by a longer key has the line of the
        first such key; one with a header has the line of the header. Each table of an
        array has its own header's line, the array that of the first.

    Raises
    ------
    RecursionError
        When values are nested some hundred levels deep.

    Examples
    --------
    >>> find_lines('[spike]\nquantile = 0.9\n')
    {('spike',): 1, ('spike', 'quantile'): 2}
    """
    scanner = _Scanner(_tokens(text))
    scanner.document()
    return scanner.lines


def _tokens(text: str) -> list[tuple[str, int]]:
    """Return the tokens and their lines; a line end at the bottom closes the last line."""
    tokens = []
    line = 1
    for match in _TOKEN.finditer(text):
        if match["token"] is not None:
            tokens.append((match["token"], line))
        line += match[0].count("\n")
    return [*tokens, ("\n", line)]


@dataclass
class _Scanner:
    """Recursive descent over tokens; ``at`` is the next one."""

    tokens: list[tuple[str, int]]
    at: int = 0
    lines: dict[Key, int] = field(default_factory=dict)
    tables: dict[Key, int] = field(default_factory=dict)  # so far, of each array of tables

    @property
    def next(self) -> str:
        return self.tokens[self.at][0]

    def document(self) -> None:
        table: Key = ()
        while self.at < len(self.tokens):
            if self.next == "\n":
                self.at += 1
            elif self.next == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> Key:
        line = self.tokens[self.at][1]
        is_array = self.tokens[self.at + 1][0] == "["
        self.skip("[", "[")
        table = self.located(self.key())
        self.skip("]", "]")
        if is_array:
            index = self.tables.get(table, 0)
            self.tables[table] = index + 1
            table = (*table, index)
        self.record(table, line)
        return table

    def located(self, key: Key) -> Key:
        """Return the path of a header's key: inside an array of tables it means the last one."""
        path: Key = ()
        for part in key:
            inside = (self.tables[path] - 1,) if path in self.tables else ()
            path = (*path, *inside, part)
        return path

    def pair(self, table: Key) -> None:
        line = self.tokens[self.at][1]
        path = table + self.key()
        self.skip("=")
        self.record(path, line)
        self.value(path)

    def key(self) -> Key:
        parts = []
        while self.next not in {"=", "]"}:
            if self.next != ".":
                parts.append(_unquoted(self.next))
            self.at += 1
        return tuple(parts)

    def value(self, path: Key) -> None:
        if self.next == "[":
            self.array(path)
        elif self.next == "{":
            self.inline_table(path)
        else:
            while self.next not in {",", "]", "}", "\n"}:
                self.at += 1

    def array(self, path: Key) -> None:
        self.skip("[")
        index = 0
        while self.next != "]":
            if self.next in {",", "\n"}:
                self.at += 1
                continue
            self.lines[(*path, index)] = self.tokens[self.at][1]
            self.value((*path, index))
            index += 1
        self.skip("]")

    def inline_table(self, path: Key) -> None:
        self.skip("{")
        while self.next != "}":
            if self.next in {",", "\n"}:
                self.at += 1
            else:
                self.pair(path)
        self.skip("}")

    def skip(self, *expected: str) -> None:
        for token in expected:
            self.at += self.next == token

    def record(self, path: Key, line: int) -> None:
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
        self.lines[path] = line


def _unquoted(part: str) -> str:
    """Return the key that a bare, literal or quoted part of a dotted key stands for."""
    return next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part
