"""The status of a Deployment: counts, Available, Progressing and its deadline. Called by `deployments`."""

from __future__ import annotations

from bridge.demo.controllers.rollout import Limits, counted, spec_replicas
from bridge.demo.objects import Obj, clone, condition, dig, name_of, parse_timestamp, timestamp

_COMPLETE = "NewReplicaSetAvailable"
_TIMED_OUT = "ProgressDeadlineExceeded"


def progressing(deployment: Obj) -> Obj | None:
    return condition(deployment, "Progressing")


def _new(kind: str, status: str, reason: str, message: str, now: float) -> Obj:
    when = timestamp(now)
    times = {"lastUpdateTime": when, "lastTransitionTime": when}
    return {"type": kind, "status": status, **times, "reason": reason, "message": message}


def created(name: str, now: float) -> Obj:
    return _new("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', now)


def found(name: str, now: float) -> Obj:
    return _new("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"', now)


def put(status: Obj, new: Obj) -> None:
    """Set a condition; nothing happens while its status and reason stay."""
    conditions = status.get("conditions") or []
    old = next((entry for entry in conditions if entry["type"] == new["type"]), None)
    if old is not None and old["status"] == new["status"]:
        if old["reason"] == new["reason"]:
            return
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    status["conditions"] = [entry for entry in conditions if entry["type"] != new["type"]] + [new]


def is_complete(deployment: Obj, owned: list[Obj]) -> bool:
    """Whether everything there is, is of the present template and available."""
    wanted = spec_replicas(deployment)
    status = deployment["status"]
    return (
        status.get("updatedReplicas", 0) == wanted
        and sum(counted(entry, "replicas") for entry in owned) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    )


def calculate(deployment: Obj, owned: list[Obj], new: Obj | None, now: float) -> tuple[Obj, float | None]:
    """The status as it should be, and when the deadline of a rollout that hangs comes."""
    before = deployment["status"]
    status = _counts(deployment, owned, new)
    status["conditions"] = clone(before.get("conditions") or [])
    _set_available(deployment, status, now)
    failure = next((entry for item in owned for entry in _failures(item)), None)
    status["conditions"] = [entry for entry in status["conditions"] if entry["type"] != "ReplicaFailure"]
    if failure is not None:
        put(status, _new("ReplicaFailure", "True", failure["reason"], failure["message"], now))
    due = _set_progressing(deployment, status, new, now)
    if not status["conditions"]:
        del status["conditions"]
    return status, due


def _failures(item: Obj) -> list[Obj]:
    return [entry for entry in dig(item, "status", "conditions", default=[]) if entry["type"] == "ReplicaFailure"]


def _counts(deployment: Obj, owned: list[Obj], new: Obj | None) -> Obj:
    def total(field: str) -> int:
        return sum(counted(entry, field) for entry in owned)

    available = total("availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": total("replicas"),
        "updatedReplicas": counted(new, "replicas") if new else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(spec_replicas(entry) for entry in owned) - available, 0),
    }
    status: Obj = {key: value for key, value in counts.items() if value}
    status["terminatingReplicas"] = total("terminatingReplicas")
    if "collisionCount" in deployment["status"]:
        status["collisionCount"] = deployment["status"]["collisionCount"]
    return status


def _set_available(deployment: Obj, status: Obj, now: float) -> None:
    if status.get("availableReplicas", 0) >= Limits.of(deployment).least_available:
        text = "Deployment has minimum availability."
        put(status, _new("Available", "True", "MinimumReplicasAvailable", text, now))
    else:
        text = "Deployment does not have minimum availability."
        put(status, _new("Available", "False", "MinimumReplicasUnavailable", text, now))


def _set_progressing(deployment: Obj, status: Obj, new: Obj | None, now: float) -> float | None:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    if seconds is None or seconds >= 2**31 - 1:
        status["conditions"] = [entry for entry in status["conditions"] if entry["type"] != "Progressing"]
        return None
    current = next((entry for entry in status["conditions"] if entry["type"] == "Progressing"), None)
    all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if all_new and current is not None and current["reason"] == _COMPLETE:
        return None
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if _completes(deployment, status):
        put(status, _new("Progressing", "True", _COMPLETE, f"{subject} has successfully progressed.", now))
        return None
    if _progresses(deployment["status"], status):
        fresh = _new("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current["status"] == "True":
            fresh["lastTransitionTime"] = current["lastTransitionTime"]
        status["conditions"] = [entry for entry in status["conditions"] if entry["type"] != "Progressing"]
        status["conditions"].append(fresh)
        current = fresh
    return _check_deadline(deployment, status, current, subject, now)


def _check_deadline(deployment: Obj, status: Obj, current: Obj | None, subject: str, now: float) -> float | None:
    if current is None or current["reason"] in (_COMPLETE, _TIMED_OUT) or deployment["spec"].get("paused"):
        return None
    deadline: float = parse_timestamp(current["lastUpdateTime"]) + deployment["spec"]["progressDeadlineSeconds"]
    if now <= deadline:
        return deadline + 0.001
    put(status, _new("Progressing", "False", _TIMED_OUT, f"{subject} has timed out progressing.", now))
    return None


def _completes(deployment: Obj, status: Obj) -> bool:
    wanted = spec_replicas(deployment)
    return all(status.get(key, 0) == wanted for key in ("updatedReplicas", "replicas", "availableReplicas"))


def _progresses(before: Obj, status: Obj) -> bool:
    def old_count(found: Obj) -> int:
        return int(found.get("replicas", 0)) - int(found.get("updatedReplicas", 0))

    grown = any(
        status.get(key, 0) > before.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return grown or old_count(status) < old_count(before)
