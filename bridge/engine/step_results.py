"""What expressions see of the steps before them, as `steps.ID`. Pure; called by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.engine.places import item_key, round_key, step_key
from bridge.engine.progress import Piece, Progress
from bridge.model.runbook import Step
from bridge.model.verification import Answer


def results_of(steps: Sequence[Step], place: str, progress: Progress) -> dict[str, Any]:
    """Return the results of those of an attempt's steps that have an id and are over, or under way.

    Every result says `skipped` and `changed`, a list says `items`, a loop `rounds`, a wait `met`, and what may fail
    `failed`; beside them stands what the step's call returned.
    """
    found: dict[str, Any] = {}
    for index, step in enumerate(steps):
        key = step_key(place, index)
        if step.id is not None and (result := _result(step, key, progress)) is not None:
            failed = {"failed": "failed" in progress.over.get(key, {})} if step.on_failed == "continue" else {}
            found[step.id] = {**result, **failed}
    return found


def _result(step: Step, key: str, progress: Progress) -> dict[str, Any] | None:
    over = progress.over.get(key, {})
    if over.get("skipped"):
        return {"skipped": True, "changed": False}
    if step.wait is not None:
        return {"skipped": False, "changed": False, **over} if over else None
    if step.for_each is not None:
        return _several(step, key, progress)
    if step.loop is not None:
        rounds = [progress.pieces.get(round_key(key, number)) for number in range(1, step.loop.at_most + 1)]
        made = [piece for piece in rounds if piece is not None]
        if not made:
            return None
        changed = any(piece.made for piece in made)
        return {**_made(made[-1]), "changed": changed, "rounds": progress.rounds.get(key, len(made))}
    piece = progress.pieces.get(key)
    if piece is None:
        # It could not even be planned.
        return {"skipped": False, "changed": False} if over else None
    return _made(piece)


def _several(step: Step, key: str, progress: Progress) -> dict[str, Any] | None:
    if key not in progress.items:
        return None
    items = progress.items[key]
    pieces = [progress.pieces.get(item_key(key, number)) for number in range(len(items))]
    each = [
        {
            "item": item,
            **(_made(piece) if piece is not None else {"skipped": False, "changed": False}),
            **({"failed": _failed(piece)} if step.on_failed == "continue" else {}),
        }
        for item, piece in zip(items, pieces, strict=True)
    ]
    return {"skipped": False, "changed": any(result["changed"] for result in each), "items": each}


def _failed(piece: Piece | None) -> bool:
    return piece is None or piece.failure is not None or piece.answer not in ("", Answer.FIXED.value)


def _made(piece: Piece) -> dict[str, Any]:
    result: dict[str, Any] = {"skipped": False, "changed": bool(piece.made)}
    for returned in piece.results:
        result |= returned
    return result
