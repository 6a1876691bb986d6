"""Which line of a TOML text each key is on.

``tomllib`` decides what a text means and keeps no positions. This scanner decides
nothing: it walks a text that ``tomllib`` has accepted, and only notes where keys and
array elements begin. It runs only when there is a problem to be placed, so a good
configuration never pays for it.
"""

from __future__ import annotations

import re
import tomllib

from config.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_STRING = re.compile(
    # Up to two quotes may stand directly before the three that close the string.
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each table, key and array element of a valid TOML text to its line.

    Lines count from 1. A table made only by a dotted key has the line of the first key
    that made it. A text that is not valid TOML gives the lines up to where it breaks.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """A place in the text, and what was seen up to it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.tables_in_array: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.place < len(self.text):
            before = self.place
            if self._at("[["):
                table = self._header(2, is_array=True)
            elif self._at("["):
                table = self._header(1, is_array=False)
            else:
                self._assignment(table)
            self._skip(_BLANK)
            if self.place == before:
                return

    def _at(self, token: str) -> bool:
        return self.text.startswith(token, self.place)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.place)
        if match is None:
            return ""
        self.line += self.text.count("\n", self.place, match.end())
        self.place = match.end()
        return match.group()

    def _header(self, brackets: int, *, is_array: bool) -> KeyPath:
        line = self.line
        self.place += brackets
        keys = self._dotted_key()
        self.place += brackets
        path = self._note((), keys[:-1], line)
        path = (*path, keys[-1]) if keys else path
        if not is_array:
            return self._note(path[:-1], keys[-1:], line)
        count = self.tables_in_array.get(path, 0)
        self.tables_in_array[path] = count + 1
        self.lines.setdefault(path, line)
        self.lines[(*path, count)] = line
        return (*path, count)

    def _note(self, path: KeyPath, keys: list[str], line: int) -> KeyPath:
        """Step down through keys; a name of an array of tables means its last table."""
        for key in keys:
            path = (*path, key)
            count = self.tables_in_array.get(path)
            if count:
                path = (*path, count - 1)
            self.lines.setdefault(path, line)
        return path

    def _dotted_key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACES)
            if self._at('"') or self._at("'"):
                raw = self._skip(_STRING)
                try:
                    keys.extend(tomllib.loads(f"{raw} = 0"))
                except tomllib.TOMLDecodeError:
                    return keys
            else:
                bare = self._skip(_BARE_KEY)
                if not bare:
                    return keys
                keys.append(bare)
            self._skip(_SPACES)
            if not self._at("."):
                return keys
            self.place += 1

    def _assignment(self, table: KeyPath) -> None:
        line = self.line
        path = self._note(table, self._dotted_key(), line)
        self._skip(_SPACES)
        if self._at("="):
            self.place += 1
            self._skip(_SPACES)
            self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._at("["):
            self._array(path)
        elif self._at("{"):
            self._inline_table(path)
        elif self._at('"') or self._at("'"):
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.place += 1
        position = 0
        while True:
            self._skip(_BLANK)
            if self.place >= len(self.text):
                return
            if self._at("]"):
                self.place += 1
                return
            before = self.place
            element = (*path, position)
            self.lines[element] = self.line
            self._value(element)
            position += 1
            self._skip(_BLANK)
            if self._at(","):
                self.place += 1
            if self.place == before:
                return

    def _inline_table(self, path: KeyPath) -> None:
        self.place += 1
        while True:
            self._skip(_BLANK)
            if self.place >= len(self.text):
                return
            if self._at("}"):
                self.place += 1
                return
            before = self.place
            self._assignment(path)
            self._skip(_BLANK)
            if self._at(","):
                self.place += 1
            if self.place == before:
                return
