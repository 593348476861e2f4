"""The page of one remediation as HTML. Pure: every value is escaped where it is written, and what looks like a
credential is blanked as everywhere else.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bridge.api.schemas import entry_of
from bridge.model import kinds
from bridge.model.approval import Standing, standing_of
from bridge.model.plan_text import plan_lines
from bridge.model.redact import mask, redact
from bridge.model.remediation import Entry, RemediationView, State, begun_steps
from bridge.model.text import printable

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}table{border-collapse:collapse}"
    "td,th{text-align:left;vertical-align:top;padding:.15rem 1rem .15rem 0}"
    "pre{background:#f5f5f5;padding:.8rem;overflow-x:auto}ins{color:#060;text-decoration:none}"
    "del{color:#a00;text-decoration:none}.told{border-left:4px solid #06c;padding:.5rem 1rem;background:#eef4fb}"
    "button{font:inherit;padding:.4rem 1.2rem;margin-right:1rem}input{font:inherit;width:24rem;max-width:100%}"
)
_MOST_ENTRIES = 100
_LONGEST_FACT = 300
_LONGEST_TEXT = 2000


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page is about."""

    view: RemediationView
    entries: Sequence[Entry]
    kept: Mapping[str, Any]
    """The evidence, as it is kept."""
    operator: bool
    """Whether whoever looks may act."""
    told: str = ""
    """What became of what was just done."""


def sign_in(detail: str) -> str:
    """Return the page of somebody who is not let in, or of an error: with a form for a token."""
    form = (
        '<form method="post"><p><label>Token<br><input type="password" name="token" autocomplete="off"></label></p>'
        '<p><button name="do" value="look">Look</button></p></form>'
    )
    return _document("alertbridge", f'<h1>alertbridge</h1><p class="told">{_text(detail)}</p>{form}')


def page(shown: Shown) -> str:
    """Return the whole page."""
    view, rem = shown.view, shown.view.remediation
    standing = standing_of(shown.entries)
    parts = [f"<h1>{_text(rem.runbook)} for {_text(rem.target)}</h1>"]
    if shown.told:
        parts.append(f'<p class="told">{_text(shown.told)}</p>')
    parts += [_facts(view), *_question(shown, standing), *_plans(view, shown.entries, standing)]
    parts += [*_evidence(shown.kept), *_journal(shown.entries)]
    return _document(f"{rem.runbook} {rem.id}", "".join(parts))


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(printable(str(value)), quote=True)


def _told(text: str) -> str:
    """Return what a run said, without what looks like a credential."""
    return redact(text, longest=_LONGEST_TEXT)


def _moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else ""


def _facts(view: RemediationView) -> str:
    rem = view.remediation
    outcome = view.outcome.value if view.outcome else view.state.value
    rows = {
        "Remediation": rem.id,
        "Alert": rem.labels.get("alertname", ""),
        "Labels": ", ".join(f"{name}={value}" for name, value in sorted(rem.labels.items())),
        "State": outcome + (" (a person is needed)" if view.escalated else ""),
        "Reason": ": ".join(filter(None, (view.reason, _told(view.detail)))),
        "Asked for by": " - ".join(filter(None, (rem.requested_by, rem.why))),
        "Undoes": rem.undo_of,
        "Created": _moment(rem.created_at),
    }
    cells = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows.items() if value
    )
    return f"<table>{cells}</table>"


def _question(shown: Shown, standing: Standing) -> Iterator[str]:
    view, question = shown.view, standing.question
    why = '<p><label>Why<br><input name="why" maxlength="500" autocomplete="off"></label></p>'
    token = (
        ""
        if shown.operator
        else '<p><label>An operator\'s token<br><input type="password" name="token" autocomplete="off"></label></p>'
    )
    if question is not None and view.state is not State.DONE and standing.open:
        agreed = [name for name, agrees in standing.answers.items() if agrees]
        names = f" ({', '.join(sorted(agreed))})" if agreed else ""
        yield (
            f"<h2>Is this to be done?</h2><p>{len(agreed)} of {question.need} agree{_text(names)}. "
            f"No answer by {_text(_moment(question.until))} means no.</p>"
            f'<form method="post"><input type="hidden" name="plan" value="{_text(question.digest)}">{why}{token}'
            '<p><button name="do" value="approve">Approve</button>'
            '<button name="do" value="deny">Deny</button></p></form>'
        )
    if view.state is State.DONE and view.writing and not view.remediation.undo_of:
        yield (
            f'<h2>Undo</h2><form method="post">{why}{token}'
            '<p><button name="do" value="undo">Put back what it changed</button></p></form>'
        )


def _plans(view: RemediationView, entries: Sequence[Entry], standing: Standing) -> Iterator[str]:
    """Yield the plans that are asked about; where nobody is asked, the latest of each step."""
    wanted = standing.question.plans if standing.question is not None and standing.open else None
    latest: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind == kinds.PLANNED and isinstance(entry.data.get("plan"), dict):
            key = str(entry.data.get("step"))
            if wanted is None or wanted.get(key) == entry.data.get("hash"):
                latest[key] = entry
    if latest:
        unmade = view.state is State.DONE and not latest.keys() & begun_steps(entries)
        yield "<h2>Plan: nothing of it was made</h2>" if unmade else "<h2>Plan</h2>"
    for entry in latest.values():
        shown = entry_of(entry)
        lines = "\n".join(_marked(line) for line in plan_lines(shown.data["plan"]))
        yield f"<p>{_text(shown.text)}</p>" + (f"<pre>{lines}</pre>" if lines else "")


def _marked(line: str) -> str:
    tag = {"+": "ins", "-": "del"}.get(line[:1])
    return f"<{tag}>{_text(line)}</{tag}>" if tag and not line.startswith("---") else _text(line)


def _evidence(kept: Mapping[str, Any]) -> Iterator[str]:
    found, missing = kept.get("evidence") or {}, kept.get("missing") or {}
    if not found and not missing:
        return
    yield "<h2>What was found</h2><table>"
    for name, value in mask(dict(found)).items():
        told = json.dumps(value, ensure_ascii=False, default=str)
        short = told if len(told) <= _LONGEST_FACT else f"{told[:_LONGEST_FACT]}…"
        yield f"<tr><th>{_text(name)}</th><td>{_text(short)}</td></tr>"
    for name, why in missing.items():
        yield f"<tr><th>{_text(name)}</th><td>missing: {_text(_told(str(why)))}</td></tr>"
    yield "</table>"


def _journal(entries: Sequence[Entry]) -> Iterator[str]:
    yield "<h2>What happened</h2><table>"
    if len(entries) > _MOST_ENTRIES:
        yield f"<tr><td></td><td></td><td>… {len(entries) - _MOST_ENTRIES} entries before</td></tr>"
    for entry in entries[-_MOST_ENTRIES:]:
        told = " ".join(filter(None, (_told(entry.text), f"({entry.reason})" if entry.reason else "")))
        yield f"<tr><td>{_text(_moment(entry.at))}</td><td>{_text(entry.kind)}</td><td>{_text(told)}</td></tr>"
    yield "</table>"
