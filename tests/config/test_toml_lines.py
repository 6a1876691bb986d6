"""Lines of keys: wherever a key can be in TOML, a problem points at its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.problems import KeyPath
from config.toml_lines import key_lines

EVERY_FORM = '''\
# a comment with [brackets] and key = 1
top = "text # no comment"   # a comment

[table]
a.b."c d" = 1
'quoted key' = """
not = "a key"
[nor.a.table]
""""
after = [
  1, # one
  "two ] , #",
  { x = 1, y = [ 2,
    3 ] },
]
literal = \'\'\'
x = 1\'\'\'
date = 1979-05-27 07:32:00

[[row]]
name = "first"
[row.inner]
deep = true
[[row]]
name = "second"
[[row.leaf]]
z = 1
[[row.leaf]]
z = 2
[ spaced . "header" ]
last = 1
'''


def paths_of(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path of a parsed document, its containers included."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from paths_of(item, (*path, place))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("table",), 4),
        (("table", "a", "b", "c d"), 5),
        (("table", "quoted key"), 6),
        (("table", "after"), 10),
        (("table", "after", 0), 11),
        (("table", "after", 1), 12),
        (("table", "after", 2, "y"), 13),
        (("table", "after", 2, "y", 1), 14),
        (("table", "literal"), 16),
        (("table", "date"), 18),
        (("row", 0), 20),
        (("row", 0, "name"), 21),
        (("row", 0, "inner", "deep"), 23),
        (("row", 1, "name"), 25),
        (("row", 1, "leaf", 0, "z"), 27),
        (("row", 1, "leaf", 1, "z"), 29),
        (("spaced", "header", "last"), 31),
    ],
)
def test_each_form_of_key_has_the_line_it_is_written_on(
    path: KeyPath, line: int
) -> None:
    """Tables, arrays of tables, dotted and quoted keys, arrays and strings."""
    assert key_lines(EVERY_FORM)[path] == line


def test_every_path_of_a_parsed_text_has_a_line_and_no_other_path_has_one() -> None:
    """The scanner sees exactly the keys that tomllib sees."""
    assert set(key_lines(EVERY_FORM)) == set(paths_of(tomllib.loads(EVERY_FORM)))


def test_line_ends_of_windows_count_once() -> None:
    """A file with CR LF has the same lines as one with LF."""
    assert key_lines(EVERY_FORM.replace("\n", "\r\n")) == key_lines(EVERY_FORM)


KEYS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=6,
)
TEXTS = st.text(st.sampled_from("ab\"'\\\n#[]{}=,. "), max_size=12)


def quoted(text: str) -> str:
    """Write a string on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def several_lines(text: str) -> str:
    """Write a string over several lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""\n{escaped}"""'


VALUES = st.one_of(
    st.integers(0, 10**9).map(str),
    TEXTS.map(quoted),
    TEXTS.map(several_lines),
    st.lists(TEXTS.map(several_lines), max_size=3).map(
        lambda items: "[ # a list\n" + ",\n".join(items) + "\n]"
    ),
    st.dictionaries(KEYS, TEXTS.map(quoted), max_size=3).map(
        lambda table: (
            "{" + ", ".join(f"{quoted(k)} = {v}" for k, v in table.items()) + "}"
        )
    ),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["[t{}]", "[[rows]]"]), st.dictionaries(KEYS, VALUES)
        ),
        max_size=5,
    )
)
def test_keys_of_any_generated_text_have_their_lines(
    tables: list[tuple[str, dict[str, str]]],
) -> None:
    """Whatever the strings and arrays before it hold, a key is on its own line."""
    text, expected, rows = "", {}, 0
    for place, (header, keys) in enumerate(tables):
        path: KeyPath = ("rows", rows) if header == "[[rows]]" else (f"t{place}",)
        rows += header == "[[rows]]"
        text += header.format(place) + "\n"
        for key, value in keys.items():
            expected[(*path, key)] = text.count("\n") + 1
            text += f"{quoted(key)} = {value}\n"
    lines = key_lines(text)
    assert {path: lines[path] for path in expected} == expected
    assert set(lines) == set(paths_of(tomllib.loads(text)))


@given(st.text(st.sampled_from("ab=.[]{}\"'\\\n#, "), max_size=60))
def test_a_text_that_is_no_toml_is_scanned_to_an_end(text: str) -> None:
    """The scanner neither raises nor hangs, and names no line that is not there."""
    assert all(1 <= n <= text.count("\n") + 1 for n in key_lines(text).values())
