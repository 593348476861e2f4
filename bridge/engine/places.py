"""What the parts of a run are called in its journal: text keys that stay the same whoever carries it on. Pure.

`SCENARIO/3` is the fourth step of a plain scenario, `SCENARIO/ATTEMPT/0` the first of one of its attempts,
`…/0[2]` its third item, `…/0#4` its fourth round, and `SCENARIO/ATTEMPT/verify` the runbook's own proof after it.
"""

from __future__ import annotations


def place_of(scenario: str, attempt: str = "") -> str:
    """Return what the steps of an attempt have in common; a plain scenario's only attempt has no name."""
    return f"{_one(scenario)}/{_one(attempt)}" if attempt else _one(scenario)


def step_key(place: str, index: int) -> str:
    return f"{place}/{index}"


def item_key(step: str, number: int) -> str:
    return f"{step}[{number}]"


def round_key(step: str, number: int) -> str:
    return f"{step}#{number}"


def proof_key(place: str) -> str:
    return f"{place}/verify"


def probe_place(place: str) -> str:
    """Return what the steps of `verify` have in common, after an attempt."""
    return f"{place}{_PROBE}"


def is_probe(key: str) -> bool:
    return _PROBE in key


_PROBE = "/verify/probe"


def _one(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
