"""Routes as people read them: the tree that `route-test` and `check-config` print, as `amtool` does."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bridge.model.route import Match


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """One route of an explanation."""

    matchers: tuple[str, ...]
    continues: bool
    match: Match
    end: bool
    """Whether an alert ends here (in an explanation), or may (in the whole tree)."""
    below: tuple[Branch, ...] = ()

    def render(self) -> str:
        """Return the tree as lines, one a route: its matchers, and at an end what is done there."""
        return "\n".join([".", *_lines(self, "", last=True)])


def _lines(branch: Branch, indent: str, *, last: bool) -> Iterator[str]:
    yield f"{indent}{'└── ' if last else '├── '}{_text(branch)}"
    deeper = indent + ("    " if last else "│   ")
    for at, child in enumerate(branch.below, 1):
        yield from _lines(child, deeper, last=at == len(branch.below))


def _text(branch: Branch) -> str:
    match = branch.match
    parts = ["{" + ",".join(branch.matchers) + "}" if branch.matchers else "default-route"]
    if branch.continues:
        parts.append("continue: true")
    if branch.end:
        parts.append(f"runbook: {match.runbook or 'none'}")
        if match.mode:
            parts.append(f"mode: {match.mode.value}")
        if match.params:
            parts.append(f"params: {match.params}")
        for name, values in (
            ("group_by", match.group_by),
            ("muted in", match.mute_time_intervals),
            ("active in", match.active_time_intervals),
        ):
            if values:
                parts.append(f"{name}: [{', '.join(values)}]")
        parts.append(f"({match.path})")
    return "  ".join(parts)
