"""The simulated cluster answers what a real API server answered, step by step through the recordings."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from tests.support.kube_replay import Answer, Step, play, steps

pytestmark = pytest.mark.cluster

NOT_SERVED: set[str] = set()
"""Steps that the simulated cluster answers with 501, by name."""

ALL = steps()

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_GENERATED = re.compile(r"\b(web|db|kube-api-access|gen|bridge\.)(-?)[a-z0-9]{5,10}(-[a-z0-9]{5})?\b")
_EVENT = re.compile(r"\b([a-z-]+)\.[0-9a-f]{16}\b")
_ADDRESS = re.compile(r"\b(\d{1,3}\.){3}\d{1,3}\b")
# Messages quote whole objects as Go sees them, and differences between two of those.
_GO_VALUE = re.compile(r'(?<=Invalid value: )["{].*(?=: (json:|strict|field is))', re.DOTALL)
_GO_DIFFERENCE = re.compile(r"\n@@ .*", re.DOTALL)
_REVISION = re.compile(r"resource version: 5 \(\d+\)")

VALUES_THAT_DIFFER = {
    "resourceVersion": "counted differently",
    "manager": "the recorded kubelet was played by the recorder, ours is called kubelet",
    "continue": "holds a revision",
    "nodeName": "the scheduler is free to choose",
    "ca.crt": "another authority",
    "serverAddress": "another port",
    "storageVersionHash": "a hash of something else",
    "pod-template-hash": "another hash",
    "controller.kubernetes.io/hash": "another hash",
    "Port": "the recorded kubelet's port",
    "containerID": "another runtime",
    **dict.fromkeys(("gitVersion", "gitCommit", "goVersion", "compiler", "platform"), "another program"),
}
"""Keys whose values are not compared (their presence and types are), and why."""

ACCIDENTS = (
    # The recorded controller had seen the change, and not yet what its ReplicaSet made of it.
    r"patches-and-conflicts\.status\.observedGeneration: recorded 5, ours 4",
    # The recorded kubelet wrote this time where it came a second after the scheduler.
    r'f:conditions\.k:\{"type":"PodScheduled"\}: missing$',
)
"""Differences that hang on the moment of the recording."""


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    return asyncio.run(play())


def test_the_list_of_unserved_steps_names_only_recorded_steps() -> None:
    assert {step.name for step in ALL} >= NOT_SERVED


@pytest.mark.parametrize("step", ALL, ids=[step.name for step in ALL])
def test_answers_as_recorded(step: Step, answers: dict[str, Answer]) -> None:
    answer = answers[step.name]
    if step.name in NOT_SERVED:
        assert answer.status == 501
        assert answer.body["kind"] == "Status"
        return
    assert answer.status == step.response["status"], answer.body
    if "/log?" in step.request["path"] and answer.status == 200:
        # What the recorded containers said was made up.
        assert len(answer.body.splitlines()) == len(step.response["body"].splitlines())
        return
    expected = {key: step.response[key] for key in ("frames", "subprotocol", "closeCode") if key in step.response}
    recorded = expected or step.response.get("body")
    ours = answer.body
    if isinstance(recorded, dict) and recorded.get("type") == "ERROR":
        recorded = [recorded]
    found = differences(recorded, ours, step.scenario)
    assert [text for text in found if not any(re.search(accident, text) for accident in ACCIDENTS)] == []
    warning = step.response.get("headers", {}).get("warning")
    assert answer.headers.get("warning") == warning


def differences(recorded: Any, ours: Any, path: str) -> list[str]:
    """What is otherwise in our answer: missing and surplus keys, types, lengths, and values that are no accident."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        return _maps(_normal_keys(recorded), _normal_keys(ours), path)
    if isinstance(recorded, list) and isinstance(ours, list):
        return _lists(recorded, ours, path)
    if type(recorded) is not type(ours):
        return [f"{path}: recorded {recorded!r}, ours {ours!r}"]
    if _is_free(path):
        return []
    if _normal(recorded) != _normal(ours):
        return [f"{path}: recorded {recorded!r}, ours {ours!r}"]
    return []


def _maps(recorded: dict[str, Any], ours: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}.{key}: missing" for key in recorded.keys() - ours.keys()]
    found += [f"{path}.{key}: surplus {ours[key]!r}" for key in ours.keys() - recorded.keys()]
    for key in recorded.keys() & ours.keys():
        found += differences(recorded[key], ours[key], f"{path}.{key}")
    return sorted(found)


def _lists(recorded: list[Any], ours: list[Any], path: str) -> list[str]:
    if path.endswith(".managedFields"):
        recorded, ours = sorted(recorded, key=_owner), sorted(ours, key=_owner)
    if path.endswith(".conditions"):
        recorded, ours = sorted(recorded, key=_type), sorted(ours, key=_type)
    if path.count(".") == 1 and path.endswith(".items"):
        recorded, ours = sorted(recorded, key=_readiness), sorted(ours, key=_readiness)
    if len(recorded) != len(ours):
        return [f"{path}: recorded {len(recorded)} items, ours {len(ours)}"]
    found: list[str] = []
    for index, (old, new) in enumerate(zip(recorded, ours, strict=True)):
        found += differences(old, new, f"{path}[{index}]")
    return found


def _owner(entry: dict[str, Any]) -> str:
    return f"{entry.get('subresource', '')} {entry['operation']} {sorted(entry['fieldsV1'])}"


def _type(entry: dict[str, Any]) -> str:
    return str(entry["type"])


def _readiness(entry: dict[str, Any]) -> str:
    """An order of items that does not depend on generated names."""
    images = re.findall(r'"image": "([^"]*)"', json.dumps(entry))
    annotations = entry["metadata"].get("annotations", {})
    return f"{images} {annotations.get('deployment.kubernetes.io/revision')} {entry.get('revision')}"


def _normal_keys(value: dict[str, Any]) -> dict[str, Any]:
    return {_ADDRESS.sub("IP", _UID.sub("UID", key)): item for key, item in value.items()}


def _normal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _GO_DIFFERENCE.sub("", _GO_VALUE.sub("OBJECT", _REVISION.sub("REVISION", value)))
    for pattern, text in ((_UID, "UID"), (_TIME, "TIME"), (_ADDRESS, "IP"), (_GENERATED, "NAME"), (_EVENT, "EVENT")):
        value = pattern.sub(text, value)
    return value


def _is_free(path: str) -> bool:
    return any(path.endswith(f".{key}") for key in VALUES_THAT_DIFFER)
