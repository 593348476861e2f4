"""Changing one value inside a text: that value changes, and not a character beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.edits import EditError, Form, edit_text, form_of, parse_path, value_at
from bridge.model.yaml_edits import assign, load_yaml, same

CONFIG = """\
# The gateway's limits.
rateLimit:
  rps: 50   # a second; raise with care
  burst: "100"
servers:
  - name: web      # first
    host: a.test
  - name: 'api'
    host: b.test
mode: {fast: yes, level: info}
empty:
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        ("rateLimit.rps", 100, "rps: 50   #", "rps: 100   #"),
        ("rateLimit.burst", "200", 'burst: "100"', 'burst: "200"'),
        ("rateLimit.burst", 200, 'burst: "100"', "burst: 200"),
        ("servers[1].host", "c.test", "host: b.test", "host: c.test"),
        ("servers[name=web].host", "c.test", "host: a.test", "host: c.test"),
        ("servers[name=api].name", "x", "name: 'api'", "name: 'x'"),
        ("mode.level", "debug", "level: info}", "level: debug}"),
        ("mode.level", "a, b", "level: info}", 'level: "a, b"}'),
        ("mode.level", "yes", "level: info}", 'level: "yes"}'),
        ("rateLimit.rps", None, "rps: 50 ", "rps: null "),
        ("empty", "60s", "empty:\n", "empty: 60s\n"),
    ],
)
def test_a_plain_value_is_exchanged_and_nothing_else(path: str, value: Any, before: str, after: str) -> None:
    assert edit_text(CONFIG, path, value, "yaml") == CONFIG.replace(before, after)


def test_a_new_key_keeps_the_comments() -> None:
    changed = edit_text(CONFIG, "rateLimit.perClient", 5, "yaml", create=True)
    assert "# a second; raise with care" in changed
    assert "# The gateway's limits." in changed
    assert value_at(changed, "rateLimit.perClient", "yaml") == 5
    assert load_yaml(changed)["servers"] == load_yaml(CONFIG)["servers"]


def test_a_whole_list_can_be_the_value() -> None:
    changed = edit_text(CONFIG, "rateLimit", {"rps": [1, 2]}, "yaml")
    assert value_at(changed, "rateLimit.rps", "yaml") == [1, 2]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("rateLimit.rsp", "there is no rsp in rateLimit, which has rps, burst"),
        ("servers[5].host", "there is no \\[5\\] in servers, a list of 2"),
        ("servers[name=x].host", "there is no \\[name=x\\]"),
        ("rateLimit.rps.x", "in rateLimit.rps, a plain value"),
    ],
)
def test_a_path_that_is_not_there_is_refused_and_told_what_is(path: str, told: str) -> None:
    with pytest.raises(EditError, match=told):
        edit_text(CONFIG, path, 1, "yaml")


@pytest.mark.parametrize("path", ["", ".", "a..b", "a[", "[0]", "a]b", "a[x].b", ".a", "a.b."])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(EditError):
        parse_path(path)


def test_a_dot_within_a_key_has_a_backslash() -> None:
    assert parse_path(r"a\.b.c[0][name=x y].d") == ["a.b", "c", 0, ("name", "x y"), "d"]
    assert edit_text("a.b: 1\n", r"a\.b", 2, "yaml") == "a.b: 2\n"


@pytest.mark.parametrize(
    "text", ["a: 1\n---\na: 2\n", "a: [1\n", "a: 1\na: 2\n", "a: *none\n", "\tx: 1", "a: !!python/object:os.system 1"]
)
def test_what_is_not_one_clean_document_is_refused_without_its_content(text: str) -> None:
    with pytest.raises(EditError) as refused:
        edit_text(f"token: hunter2\n{text}", "token", 3, "yaml")
    assert "hunter2" not in str(refused.value)


def test_a_value_that_an_alias_shares_is_not_changed_for_all_its_users() -> None:
    text = "base: &b {x: 1}\nuser: *b\n"
    with pytest.raises(EditError, match="alias"):
        edit_text(text, "user.x", 2, "yaml")


def test_json_keeps_its_layout() -> None:
    text = '{\n    "cache": {"ttl": 60, "on": true},\n    "list": [1, 2]\n}\n'
    assert edit_text(text, "cache.ttl", 600, "json") == text.replace("60", "600")
    added = edit_text(text, "cache.size", "x", "json", create=True)
    assert added.startswith('{\n    "cache"')
    assert json.loads(added)["cache"] == {"ttl": 60, "on": True, "size": "x"}
    with pytest.raises(EditError):
        edit_text('{"a": NaN}', "a", 1, "json")


LINES = "# settings\nexport LEVEL=info   # for all\nNAME='a b'\nURL=\"http://x\"\nEMPTY=\n"


@pytest.mark.parametrize(
    ("name", "value", "before", "after"),
    [
        ("LEVEL", "debug", "LEVEL=info ", "LEVEL=debug "),
        ("NAME", "c d", "'a b'", "'c d'"),
        ("URL", "https://y", '"http://x"', '"https://y"'),
        ("EMPTY", True, "EMPTY=", "EMPTY=true"),
        ("LEVEL", "a b", "LEVEL=info ", 'LEVEL="a b" '),
        ("NAME", "it's", "'a b'", '"it\'s"'),
    ],
)
def test_a_line_of_an_env_file_changes_alone(name: str, value: Any, before: str, after: str) -> None:
    assert edit_text(LINES, name, value, "env") == LINES.replace(before, after)


def test_lines_of_properties_are_found_by_each_separator() -> None:
    text = "# x\nrate.limit = 50\ncache.ttl: 60\nmaxmemory 100mb\r\n! end\n"
    assert edit_text(text, "rate.limit", 100, "properties") == text.replace("50", "100")
    assert edit_text(text, "cache.ttl", 600, "properties") == text.replace("60", "600")
    assert edit_text(text, "maxmemory", "2gb", "properties") == text.replace("100mb", "2gb")
    assert edit_text(text, "new.one", 1, "properties", create=True) == f"{text}new.one=1\n"
    assert value_at(text, "rate.limit", "properties") == "50"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("A=1\nA=2\n", "A", 3),
        ("A=1\n", "B", 3),
        ("A=1\n", "A", "x\ny"),
        ("A=1\n", "A", [1]),
        ("A=1\n", "A=1\nB", 2),
        ("a=1\\\n  2\n", "a", 3),
    ],
)
def test_a_line_that_is_not_clear_is_refused(text: str, name: str, value: Any) -> None:
    with pytest.raises(EditError):
        edit_text(text, name, value, "properties")


def test_the_form_is_told_by_the_ending() -> None:
    assert [form_of(key) for key in ("a.yaml", "a.b.yml", "x.JSON", ".env", "x.properties", "x.conf", "yaml")] == [
        "yaml", "yaml", "json", "env", "properties", None, None,
    ]  # fmt: skip


_NAMES = st.text("abcXYZ_09-.", min_size=1, max_size=6)
_SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12) | st.floats(-1e6, 1e6)
_TREES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3)
)


def _paths(data: Any, way: str = "") -> list[str]:
    if isinstance(data, dict):
        steps = [(f".{key}".replace("\\", "\\\\"), value) for key, value in data.items()]
        steps = [("." + key[1:].replace(".", "\\."), value) for key, value in steps]
    elif isinstance(data, list):
        steps = [(f"[{index}]", value) for index, value in enumerate(data)]
    else:
        return []
    found = []
    for step, value in steps:
        here = way + step
        found += [here.removeprefix("."), *(_paths(value, here))]
    return found


@settings(max_examples=80, deadline=None)
@given(
    tree=st.dictionaries(_NAMES, _TREES, min_size=1, max_size=4),
    value=_SCALARS,
    flow=st.booleans(),
    form=st.sampled_from(["yaml", "json"]),
    data=st.data(),
)
def test_any_value_of_any_tree_can_be_changed_and_nothing_else_changes(
    tree: dict[str, Any], value: Any, flow: bool, form: Form, data: st.DataObject
) -> None:
    if form == "json":
        text = json.dumps(tree, indent=None if flow else 2)
    else:
        import io

        from ruamel.yaml import YAML

        out = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = flow
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.dump(tree, out)
        text = out.getvalue()
        tree = load_yaml(text)
    path = data.draw(st.sampled_from(_paths(tree)))
    load = load_yaml if form == "yaml" else json.loads
    changed = edit_text(text, path, value, form)
    assert same(load(changed), assign(tree, parse_path(path), value))


@settings(max_examples=80, deadline=None)
@given(
    text=st.text(max_size=60), path=st.text(max_size=12), form=st.sampled_from(["yaml", "json", "env", "properties"])
)
def test_any_text_is_changed_or_refused(text: str, path: str, form: Form) -> None:
    try:
        edit_text(text, path, "x", form, create=True)
    except EditError:
        return
