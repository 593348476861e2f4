"""The logs of simulated containers. Made up from what a container does, or set by a test; read through `pods/log`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from bridge.demo.objects import Obj, dig, name_of, namespace_of, timestamp
from bridge.demo.status_errors import ApiError, bad_request

_LINES = 50


def written_at(line: str, otherwise: float) -> float:
    """When a line was written, by the time that it begins with; `otherwise` where it begins with none."""
    try:
        return datetime.fromisoformat(line.partition(" ")[0]).timestamp()
    except ValueError:
        return otherwise


class Logs:
    """Lines by namespace, pod and container; for the running container and for the one before it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: dict[tuple[str, str, str, bool], list[str]] = {}

    def set(self, namespace: str, pod: str, container: str, lines: Sequence[str], *, previous: bool = False) -> None:
        """Let a container have logged these lines. `pod` may end in `*`, for all pods with that start."""
        self._lines[namespace, pod, container, previous] = list(lines)

    def read(self, pod: Obj, container: str, *, previous: bool) -> list[str]:
        """A container's lines, without their ends. Raises ApiError 400 where it has none to show."""
        name = choose_container(pod, container)
        found = self._set_lines(namespace_of(pod), name_of(pod), name, previous)
        if found is not None:
            return found
        status = _status(pod, name)
        past = dig(status, "lastState", "terminated")
        state = dig(status, "state", default={})
        if previous:
            if not past:
                raise bad_request(f'previous terminated container "{name}" in pod "{name_of(pod)}" not found')
            return self._made_up(name, past)
        waiting = state.get("waiting")
        if waiting and past:
            return self._made_up(name, past)
        if waiting or not status:
            why = (waiting or {}).get("reason", "ContainerCreating")
            text = f'container "{name}" in pod "{name_of(pod)}" is waiting to start: {why}'
            raise ApiError(400, "BadRequest", text)
        return self._made_up(name, state.get("terminated"))

    def _set_lines(self, namespace: str, pod: str, container: str, previous: bool) -> list[str] | None:
        exact = self._lines.get((namespace, pod, container, previous))
        if exact is not None:
            return exact
        for (place, pattern, of, past), lines in self._lines.items():
            same = (place, of, past) == (namespace, container, previous)
            if same and pattern.endswith("*") and pod.startswith(pattern[:-1]):
                return lines
        return None

    def _made_up(self, container: str, ended: Obj | None) -> list[str]:
        when = timestamp(self._now())
        lines = [f"{when} {container} line {number}" for number in range(_LINES)]
        reason = (ended or {}).get("reason")
        if reason == "Error":
            lines.append(f"{when} ERROR panic: connection refused")
        elif reason == "OOMKilled":
            lines.append(f"{when} {container} allocating")
        return lines


def choose_container(pod: Obj, container: str) -> str:
    """The container that is meant. Raises ApiError 400 when none is named of several, or when there is none such."""
    names = [entry["name"] for entry in pod["spec"]["containers"]]
    if container:
        if container not in names + [entry["name"] for entry in pod["spec"].get("initContainers") or ()]:
            raise bad_request(f"container {container} is not valid for pod {name_of(pod)}")
        return container
    if len(names) > 1:
        listed = " ".join(names)
        text = f"a container name must be specified for pod {name_of(pod)}, choose one of: [{listed}]"
        raise bad_request(text)
    return str(names[0])


def _status(pod: Obj, container: str) -> Obj:
    for status in dig(pod, "status", "containerStatuses", default=[]):
        if status["name"] == container:
            return dict(status)
    return {}
