"""Whatever stands in a configuration file, one value of it can be changed, and all others stay."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.services.toml_lines import TomlLines, literal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.booleans() | st.integers(-5, 400) | texts | st.lists(texts, max_size=3)
names = st.sampled_from(["one", "two", "a.x", "a.y", "b.x", "b.\u00e9 \u2028"])


@given(st.dictionaries(names, values), st.lists(texts.map(lambda text: text.split("\n")[0]), max_size=4), names, values)
def test_any_value_comes_back_and_the_others_stay(
    before: dict[str, bool | int | str | list[str]],
    comments: list[str],
    name: str,
    value: bool | int | str | list[str],
) -> None:
    text = ""
    notes = [f"# {comment}" for comment in comments if comment.isprintable()]
    for table in ("", "a", "b"):
        text += "\n".join([*notes, f"[{table}]\n" if table else ""])
        for full, each in before.items():
            if full.rpartition(".")[0] == table:
                text += f'"{full.rpartition(".")[2]}" = {literal(each)} # {len(notes)}\n'
    if "\u2028" in name:
        name = "b.x"
    found = tomllib.loads(TomlLines(text).put((name,), literal(value)))
    expected = tomllib.loads(text)
    table, _, leaf = name.rpartition(".")
    (expected[table] if table else expected)[leaf] = value
    assert found == expected
    without = TomlLines(text).take_out((name,))
    assert set(without.splitlines()) <= set(text.splitlines())
    assert leaf not in (tomllib.loads(without).get(table, {}) if table else tomllib.loads(without))
