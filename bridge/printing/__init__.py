"""What the command line and the demo print for people: tables as kubectl's, a plan as `kubectl diff` shows it.

Takes the API's answers (plain JSON) and returns text. Everything from outside is escaped by `printable`, so
that no label steers a terminal; the colours are ours, and click drops them where nobody looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from bridge.model import kinds
from bridge.model.plan_text import plan_lines
from bridge.model.text import printable

Json = Mapping[str, Any]

_CONDITION = re.compile(r"`[^`]+` is (?:true|false|unknown): ")
_ITEM = re.compile(r"\[(\d+)\]\Z")
_GOOD = {"succeeded", "fixed"}
_BAD = {"failed", "unknown", "denied", "not_fixed"}


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under headers, three spaces apart, as kubectl prints them."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [headers, *cells]) for index in range(len(headers))]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [headers, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def age(then: str | None, now: datetime | None = None) -> str:
    """Return how long ago an RFC 3339 time was, as kubectl says it: 45s, 12m, 3h4m, 2d."""
    if not then:
        return "-"
    return span(((now or datetime.now(UTC)) - _time(then)).total_seconds())


def span(passed: float) -> str:
    """Return seconds as kubectl says them: 45s, 12m, 3h4m, 2d."""
    seconds = max(int(passed), 0)
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{hours // 24}d"


def remediations(items: Sequence[Json]) -> str:
    """Return the table of `list`."""
    if not items:
        return "No remediations."
    headers = ("ID", "RUNBOOK", "TARGET", "ASKED BY", "MODE", "STATE", "OUTCOME", "REASON", "AGE")
    return table(
        headers,
        [
            (
                item["id"],
                item["runbook"],
                _targets(item),
                _asked_by(item),
                item["mode"],
                item["state"],
                (item["outcome"] or "-") + (" (escalated)" if item["escalated"] else ""),
                item["reason"] or "-",
                age(item["created_at"]),
            )
            for item in items
        ],
    )


def target(of: Json) -> str:
    """Return a target as `kind/namespace/name`, with its cluster where it is named."""
    place = "/".join(part for part in (of["kind"].lower(), of["namespace"], of["name"]) if part)
    return f"{of['cluster']}:{place}" if of["cluster"] else place


def _targets(item: Json) -> str:
    more = len(item.get("targets") or [None]) - 1
    return target(item["target"]) + (f" and {more} more" if more else "")


def _asked_by(item: Json) -> str:
    """Return who or what asked for it, in a word or two."""
    asked = item.get("asked_by")
    if not asked:  # an older server
        return item.get("requested_by") or "-"
    kind = "undo of" if asked["kind"] == "undo" else asked["kind"]
    return f"{kind} {asked['name']}".rstrip()


def remediation(detail: Json, entries: Sequence[Json]) -> str:
    """Return what `show` prints: the record, then its journal with the plans."""
    item = detail["remediation"]
    waits = f" until {second(item['due_at'])}" if item["due_at"] and item["state"] == "parked" else ""
    rows = [
        ("Runbook", item["runbook"]),
        ("Target", ", ".join(target(one) for one in item.get("targets") or [item["target"]])),
        ("Mode", item["mode"]),
        ("State", item["state"] + waits),
        ("Outcome", item["outcome"] or "-"),
        ("Escalated", "yes" if item["escalated"] else ""),
        ("To do", next((e["data"]["advice"] for e in reversed(entries) if e["data"].get("advice")), "")),
        ("Reason", ": ".join(part for part in (item["reason"], item["detail"]) if part) or "-"),
        ("Labels", _pairs(item["labels"])),
        ("Params", _pairs(detail["params"])),
        ("Route", item["route"] or "-"),
        ("May change", ", ".join(detail.get("allow_namespaces", ()))),
        ("Asked for by", " - ".join(part for part in (item["requested_by"], item["why"]) if part)),
        ("Incidents", ", ".join(item["incidents"])),
        ("Still open", ", ".join(item["open_incidents"])),
        ("Created", f"{second(item['created_at'])} ({age(item['created_at'])} ago)"),
        ("Finished", second(item["finished_at"], "")),
    ]
    lines = [click.style(printable(item["id"]), bold=True)]
    lines += [f"  {name + ':':<13} {coloured(value)}" for name, value in rows if value]
    report = next((e["data"]["report"] for e in reversed(entries) if e["data"].get("report")), "")
    told = ["", *(f"  {printable(line)}" for line in report.splitlines())] if report else []
    return "\n".join([*lines, *told, "", *journal(entries, item["created_at"])])


def journal(entries: Iterable[Json], since: str | None) -> Iterable[str]:
    """Yield the lines of a journal, times as seconds since `since` (RFC 3339)."""
    for entry in entries:
        yield from journal_entry(entry, since)


def journal_entry(entry: Json, since: str | None) -> Iterable[str]:
    """Yield one entry: a line, and below a plan its changes."""
    passed = (_time(entry["at"]) - _time(since)).total_seconds() if entry["at"] and since else 0.0
    word = entry["data"].get("answer") or entry["data"].get("outcome") or entry["kind"]
    yield f"{passed:>8.1f}s  {coloured(entry['kind'].ljust(11), word)} {printable(brief(entry))}".rstrip()
    if entry["kind"] == kinds.PLANNED and isinstance(entry["data"].get("plan"), dict):
        for line in plan(entry["data"]["plan"]):
            yield f"             {line}"


def brief(entry: Json) -> str:
    """Return an entry's sentence without what the line before it said already."""
    if entry["kind"] == kinds.APPLYING:
        return _of_item(entry, f"change {entry['data'].get('change', 0) + 1} of the plan")
    if entry["kind"] == kinds.APPLIED:
        wrote = entry["data"].get("wrote", True)
        return _of_item(entry, "written" if wrote else "it was so already: nothing was written")
    # The condition stands in the line that began the verification; what it came to is the news.
    return _CONDITION.sub("", entry["text"] or entry["reason"])


def _of_item(entry: Json, text: str) -> str:
    """Return a text with the number of the item that it is about: several may be under way at once."""
    step = str(entry["data"].get("step", ""))
    found = _ITEM.search(step)
    return f"item {int(found.group(1)) + 1}: {text}" if found else text


def plan(of: Json) -> Iterable[str]:
    """Yield the changes of a plan as `kubectl diff` shows them: what each object has, and what it will have."""
    for line in plan_lines(of):
        if line.startswith("--- "):
            yield click.style(line, bold=True)
        else:
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            yield click.style(line, fg=colour) if colour else line


def explanation(of: Json) -> str:
    """Return what `explain` prints: the incidents, then each decision."""
    lines = [click.style(f"Alert {printable(of['fingerprint'])}", bold=True)]
    for one in of["incidents"]:
        lines += ["", f"  Incident {printable(one['incident'])} is {printable(one['state'])}"]
        lines.append(f"    started {second(one['starts_at'])}, last seen {age(one['last_seen'])} ago")
        if one["waits_on"]:
            lines.append(f"    looked at again after: {printable(one['waits_on'])}")
    if of["story"]:
        lines += ["", *(f"  {printable(line)}" for line in of["story"])]
    return "\n".join(lines)


def stats(of: Json) -> str:
    """Return what `stats` prints: the figures of all, then a table of the runbooks."""
    all_ = of["stats"]
    lines = [
        f"{all_['remediations']} remediations since {second(of['since'])}, {all_['open']} of them open",
        f"outcomes: {_pairs(all_['outcomes']) or '-'}; escalated: {all_['escalated']}; "
        f"false positives: {all_['false_positives']}; success rate: {_percent(all_['success_rate'])}",
    ]
    for name in ("detect", "respond", "resolve"):
        found = all_[f"time_to_{name}"]
        times = ", ".join(f"{word} {span(found[word])}" for word in ("median", "p95", "longest") if found["count"])
        lines.append(f"time to {name}: {times or '-'}")
    lines += [_goal(one, figure) for one in of.get("goals", []) for figure in one["figures"]]
    rows = [
        (
            one["runbook"],
            one["remediations"],
            one["succeeded"],
            one["failed"],
            one["escalated"],
            one["false_positives"],
            _percent(one["success_rate"]),
        )
        for one in all_["runbooks"]
    ]
    headers = ("RUNBOOK", "RUNS", "SUCCEEDED", "FAILED", "ESCALATED", "FALSE", "RATE")
    return "\n".join([*lines, *(["", table(headers, rows)] if rows else [])])


def _goal(goal: Json, figure: Json) -> str:
    """Return one goal as a line: `goal met: omnimesh/*: mean time to detect 12s (at most 2m)`."""
    share = figure["name"] == "false_positives"
    say = (lambda value: f"{value:.1%}") if share else span
    what = "false positives" if share else f"mean time to {figure['name']}"
    word = "goal not measured" if figure["met"] is None else "goal met" if figure["met"] else "GOAL MISSED"
    found = "" if figure["found"] is None else f" {say(figure['found'])}"
    return f"{word}: {printable(goal['about'])}: {what}{found} (at most {say(figure['goal'])}, of {figure['count']})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def audit_line(of: Json) -> str:
    """Return one record of the audit trail as a line."""
    about = of.get("object") or of.get("target") or of.get("fingerprint") or ""
    what = " - ".join(part for part in (of.get("text", ""), of.get("why", "")) if part)
    version = f" (resourceVersion {of['resource_version']})" if of.get("resource_version") else ""
    words = (second(of["at"]), of["kind"].ljust(10), of["who"], of.get("remediation", ""), about, what + version)
    return "  ".join(printable(word) for word in words if word)


def routes(tree: str, ends: Sequence[Json]) -> str:
    """Return what `route-test` prints: the path through the tree, as amtool draws it, then where it ends."""
    lines = ["Matching routes:", *map(printable, tree.splitlines())]
    for end in ends:
        lines += ["", click.style(printable(end["runbook"] or "no runbook"), bold=True)]
        lines += [f"  {name + ':':<10} {printable(str(value))}" for name, value in end.items() if name != "runbook"]
    return "\n".join(lines)


def pauses(items: Sequence[Json]) -> str:
    """Return the table of pauses."""
    if not items:
        return "Nothing is paused."
    until = "resumed by hand"
    rows = [(one["scope"], one["by"], age(one["since"]), second(one["until"], until), one["why"]) for one in items]
    return table(("SCOPE", "BY", "SINCE", "UNTIL", "WHY"), rows)


def coloured(text: str, word: str = "") -> str:
    """Return `text` in green where the word (default: the text) is good news, in red where it is bad."""
    word = (word or text).strip()
    colour = "green" if word in _GOOD else "red" if word in _BAD else None
    return click.style(printable(text), fg=colour) if colour else printable(text)


def _pairs(of: Mapping[str, Any]) -> str:
    return printable(", ".join(f"{name}={value}" for name, value in of.items()))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def second(text: str | None, otherwise: str = "-") -> str:
    """Return an RFC 3339 time without its fraction."""
    return f"{text[:19]}Z" if text else otherwise
