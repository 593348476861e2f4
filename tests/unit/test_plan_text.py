"""A plan as people read it: as YAML, and what is several lines long line by line."""

from __future__ import annotations

import io

import pytest
from ruamel.yaml import YAML

from bridge.model.plan_text import diff_lines, yaml_lines

FILE = "cache:\n  ttl:\n    pools: 300s\n    # how long\n    resources: 30s\n"


def test_a_file_in_a_configmap_is_compared_line_by_line() -> None:
    before, after = ({"data": {"config.yaml": text}} for text in (FILE, FILE.replace("30s", "60s")))
    changed = [line for line in diff_lines(before, after) if line[0] in "+-"]
    assert changed == ["-        resources: 30s", "+        resources: 60s"]


@pytest.mark.parametrize(
    "text",
    ["", "one", "a\nb", "a\nb\n", "\n\na\n\n", "  led\nin", "end \nhere", "a\tb\nc", "\x1b[31m\nred", "a\u2028b\nc"],
)
def test_every_text_is_read_back_as_it_was(text: str) -> None:
    lines = yaml_lines({"text": text, "list": [text]})
    assert YAML(typ="safe", pure=True).load("\n".join(lines) + "\n") == {"text": text, "list": [text]}


def test_what_steers_a_terminal_stays_escaped() -> None:
    assert "\x1b" not in "\n".join(yaml_lines({"text": "\x1b[31m\nred"}))


def test_other_documents_are_written_as_before() -> None:
    yaml_lines({"text": "a\nb"})
    out = io.StringIO()
    YAML(typ="safe", pure=True).dump({"text": "a\nb"}, out)
    assert "|" not in out.getvalue()
