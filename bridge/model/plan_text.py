"""A plan as `kubectl diff` shows it: what each object has, and what it will have. Plain lines without colours.

Takes plans as plain JSON, with what may not be shown taken out already.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.model.plan import write_pointer
from bridge.model.text import printable

Json = Mapping[str, Any]


def plan_lines(of: Json) -> Iterator[str]:
    """Yield the lines of a plan."""
    for change in of.get("changes", ()):
        ref = change["ref"]
        place = "/".join(part for part in (ref["kind"].lower(), ref["namespace"], ref["name"]) if part)
        part = f" ({change['subresource']})" if change.get("subresource") else ""
        yield f"--- {printable(place + part)}"
        yield from change_lines(change)
        yield f"disrupts {_disrupted(change)}; undo: {of.get('undo', 'exact')}"
    for note in of.get("notes", ()):
        yield printable(f"note: {note}")


def _disrupted(change: Json) -> str:
    of = change.get("disruption", {})
    pods, percent, nodes = of.get("ready_pods", 0), of.get("percent", 0.0), of.get("nodes", 0)
    text = f"{pods} ready pod{'' if pods == 1 else 's'}"
    # A pod's own share says less than how many go of the whole, which the plan's summary says.
    text += f" ({percent:g} % of its workload)" if percent and change["ref"]["kind"] != "Pod" else ""
    return text + (f" and {nodes} node{'' if nodes == 1 else 's'}" if nodes else "")


def change_lines(change: Json) -> Iterator[str]:
    """Yield what becomes of one object: its fields before and after, or all of one that is made or goes."""
    operation, manifest = change.get("operation", "patch"), change.get("manifest") or {}
    if operation == "create":
        yield from diff_lines({}, manifest)
    elif operation == "delete" and manifest:
        yield from diff_lines(manifest, {})
    elif operation == "call":
        # Set in: a list's dashes are no lines that go.
        told = {key: value for key, value in (change.get("call") or {}).items() if value is not None}
        yield from (printable(line) for line in (change["summary"], *(f"  {line}" for line in yaml_lines(told))))
    elif operation in ("delete", "evict"):
        yield printable(change["summary"])
    else:
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for field in change["fields"]:
            if field.get("change", True):
                if field["before"] is not None:
                    write_pointer(before, field["pointer"], field["before"])
                if field["after"] is not None:
                    write_pointer(after, field["pointer"], field["after"])
        yield from diff_lines(before, after)


def diff_lines(before: Json, after: Json) -> Iterator[str]:
    """Yield a unified diff of two documents as YAML, without its head."""
    for line in list(difflib.unified_diff(yaml_lines(before), yaml_lines(after), n=3, lineterm=""))[2:]:
        yield printable(line)


def yaml_lines(document: Any, *, sort: bool = True) -> list[str]:
    """Return a document as lines of YAML, its keys sorted or in their own order."""
    from ruamel.yaml import YAML  # slow to import, and only plans need it
    from ruamel.yaml.representer import SafeRepresenter

    class Lines(SafeRepresenter):
        """Writes a text of several lines as such: a file in a ConfigMap is compared line by line."""

        def represent_text(self, text: str) -> Any:
            block = "\n" in text and all(line.replace("\t", " ").isprintable() for line in text.split("\n"))
            return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)

    if not document:
        return []
    Lines.add_representer(str, Lines.represent_text)
    emitter = YAML(typ="safe", pure=True)
    emitter.Representer = Lines
    emitter.default_flow_style = False
    emitter.sort_base_mapping_type_on_output = sort  # type: ignore[assignment] # None in its class is no type
    emitter.width = 10_000
    out = io.StringIO()
    emitter.dump(document, out)
    return out.getvalue().splitlines()
