"""What `alertbridge actions NAME` prints is all that somebody needs who writes a step."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import BaseModel

from bridge.actions.registry import actions
from bridge.evidence.registry import collectors
from bridge.printing import catalogue

ACTIONS, COLLECTORS = actions(), collectors()
MODELS: Mapping[str, type[BaseModel]] = {
    **{f"{name}-with": one.params for name, one in {**ACTIONS, **COLLECTORS}.items()},
    **{f"{name}-gives": one.result for name, one in COLLECTORS.items()},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_and_every_result_is_described_also_within_others(name: str) -> None:
    silent = [field for field, _, _, text in catalogue.fields(MODELS[name]) if not text]
    assert silent == []


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_shown_in_full_on_a_screen_of_120_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = catalogue.action(ACTIONS[name])
    before, _, example = shown.partition("Example")
    assert max(map(len, before.splitlines())) <= 120
    assert f"- action: {name}" in example
    assert "anything or" not in shown


def shown(name: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in _lines(name)]


def _lines(name: str) -> list[str]:
    return catalogue.action(ACTIONS[name]).splitlines()


def test_what_stands_within_a_parameter_is_shown_by_its_path() -> None:
    assert ["edit[].path", "text", "needed"] in [row[:3] for row in shown("configmap_patch")]
    assert ["undo.url", "text", "needed"] in [row[:3] for row in shown("http_call")]


def test_durations_are_printed_as_they_are_written() -> None:
    assert ["timeout", "duration", "30s"] in [row[:3] for row in shown("sql")]
    assert ["duration", "duration", "90d"] in [row[:3] for row in shown("tls_rotate")]


def test_what_would_be_too_wide_stands_in_the_text() -> None:
    assert ["kinds", "list of text", "see there"] in [row[:3] for row in shown("helm_rollback")]
    assert ["key_type", "one word", "ecdsa-p256"] in [row[:3] for row in shown("tls_rotate")]
    assert "rsa-4096, ed25519" in " ".join(" ".join(_lines("tls_rotate")).split())
