"""Check the templates of messages: that they compile, and name only what a message knows. Called by the loader."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.configuration.cel_text import references
from bridge.configuration.document import Loc
from bridge.configuration.expressions import Template
from bridge.errors import InvalidInput
from bridge.model.telling import TEMPLATE_NAMES, Notify


def message_problems(notify: Notify) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong: the place below the root, and a sentence."""
    for event, spec in notify.templates.items():
        for part in ("title", "text"):
            if problem := template_problem(getattr(spec, part)):
                yield ("notify", "templates", event.value, part), problem


def template_problem(text: str) -> str | None:
    """Return what is wrong with one template, or None."""
    try:
        compiled = Template(text)
        unknown = {path[0] for part in compiled.expressions for path in references(part)} - TEMPLATE_NAMES
    except InvalidInput as error:
        return str(error)
    if unknown:
        return f"there is no {min(unknown)!r} in a message: it knows {', '.join(sorted(TEMPLATE_NAMES))}"
    return None
