"""The kubelets of all nodes: pods start, become ready, crash, run out of memory, end, and go away in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.demo.behavior import Fate
from bridge.demo.controllers.base import KUBELET, Controller, earliest, set_condition
from bridge.demo.objects import Obj, clone, dig, is_terminating, name_of, timestamp, uid_of

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

_STARTING, _CRASHING, _ENDING = "starting", "crashing", "ending"


class Kubelet(Controller):
    """Moves pods on that have a node. What is planned for a pod is kept here, by its uid."""

    watches = frozenset({"pods"})

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster)
        self._plans: dict[str, tuple[str, float]] = {}

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("v1", "Pod")
        due: float | None = None
        alive: set[str] = set()
        for pod in self.store.list("pods"):
            if pod["spec"].get("nodeName"):
                alive.add(uid_of(pod))
                due = earliest(due, self._advance(pod, now))
        self._plans = {uid: plan for uid, plan in self._plans.items() if uid in alive}
        return due

    def _advance(self, pod: Obj, now: float) -> float | None:
        """Move one pod on, as far as it is time. Returns when it moves next."""
        uid, behavior = uid_of(pod), self.cluster.behavior
        stage, when = self._plans.get(uid, ("", 0.0))
        if is_terminating(pod):
            if stage != _ENDING:
                stage, when = self._plan(uid, _ENDING, now + behavior.termination_delay)
                self.record(pod, "Killing", f"Stopping container {pod['spec']['containers'][0]['name']}", KUBELET)
            if when <= now and not pod["metadata"].get("finalizers"):
                self.writes.remove(self.resource, pod)
                return None
            return when
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return None
        if not stage:
            if dig(pod, "status", "startTime") is None:
                self._save(pod, self._starting(pod, now))
                stage, when = self._plan(uid, _STARTING, now + self._delay(pod))
            elif _is_crashing(pod):
                stage, when = self._plan(uid, _CRASHING, now + behavior.crash_backoff)
            else:
                return None
            return when
        if when > now:
            return when
        return self._finish_stage(pod, stage, now)

    def _finish_stage(self, pod: Obj, stage: str, now: float) -> float | None:
        uid, behavior = uid_of(pod), self.cluster.behavior
        if stage == _CRASHING:
            self._save(pod, self._restarted(pod, now))
            self._back_off(pod)
            return self._plan(uid, _CRASHING, now + behavior.crash_backoff)[1]
        fates = behavior.of_pod(pod)
        if pod["spec"].get("restartPolicy") != "Always":
            return self._finish_run(pod, fates, now)
        self._save(pod, self._running(pod, fates, now))
        self._announce(pod)
        if any(fate in ("crash", "oom") for fate in fates.values()):
            self._back_off(pod)
            return self._plan(uid, _CRASHING, now + behavior.crash_backoff)[1]
        del self._plans[uid]
        return None

    def _finish_run(self, pod: Obj, fates: dict[str, Fate], now: float) -> float | None:
        """The pod of a Job, or one that ends for another reason."""
        if dig(pod, "status", "phase") == "Pending":
            self._save(pod, self._running(pod, dict.fromkeys(fates, "ready"), now))
            return self._plan(uid_of(pod), _STARTING, now + self.cluster.behavior.job_duration)[1]
        failed = any(fate in ("crash", "oom") for fate in fates.values())
        self._save(pod, self._ended(pod, fates, now, failed))
        del self._plans[uid_of(pod)]
        return None

    def _plan(self, uid: str, stage: str, when: float) -> tuple[str, float]:
        self._plans[uid] = (stage, when)
        return stage, when

    def _delay(self, pod: Obj) -> float:
        return self.cluster.behavior.ready_delay

    def _save(self, pod: Obj, status: Obj) -> None:
        self.writes.save(self.resource, {**pod, "status": status}, KUBELET, "status")

    # Statuses

    def _base(self, pod: Obj, phase: str, ready: bool, now: float) -> Obj:
        status: Obj = clone(pod["status"])
        when = timestamp(now)
        conditions = status.get("conditions") or []
        states = {"Initialized": True, "ContainersReady": ready, "Ready": ready}
        for kind, holds in states.items():
            text = "True" if holds else "False"
            new = {"type": kind, "status": text, "lastProbeTime": None, "lastTransitionTime": when}
            conditions = set_condition(conditions, new)
        address = self._address(pod)
        return {
            **status,
            "phase": phase,
            "conditions": conditions,
            "hostIP": "127.0.0.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": status.get("startTime", when),
        }

    @staticmethod
    def _address(pod: Obj) -> str:
        number = int(uid_of(pod)[:6], 16)
        known = dig(pod, "status", "podIP")
        return str(known) if known else f"10.{1 + number % 200}.{number // 256 % 256}.{1 + number % 253}"

    def _starting(self, pod: Obj, now: float) -> Obj:
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        return {
            **self._base(pod, "Pending", False, now),
            "containerStatuses": [
                _container(entry, waiting, {}, ready=False, restarts=0) for entry in pod["spec"]["containers"]
            ],
        }

    def _running(self, pod: Obj, fates: dict[str, Fate], now: float) -> Obj:
        found: list[Obj] = []
        for entry in pod["spec"]["containers"]:
            fate = fates[entry["name"]]
            if fate in ("crash", "oom"):
                state, past = _back_off_state(fate, now)
                restarts = self.cluster.behavior.crash_restarts
                found.append(_container(entry, state, past, ready=False, restarts=restarts))
            else:
                state = {"running": {"startedAt": timestamp(now)}}
                found.append(_container(entry, state, {}, ready=fate == "ready", restarts=0))
        ready = all(entry["ready"] for entry in found)
        return {**self._base(pod, "Running", ready, now), "containerStatuses": found}

    def _restarted(self, pod: Obj, now: float) -> Obj:
        status: Obj = clone(pod["status"])
        for entry in status["containerStatuses"]:
            if "waiting" in entry["state"]:
                entry["restartCount"] += 1
                fate: Fate = "oom" if entry["lastState"]["terminated"]["reason"] == "OOMKilled" else "crash"
                entry["state"], entry["lastState"] = _back_off_state(fate, now)
        return status

    def _ended(self, pod: Obj, fates: dict[str, Fate], now: float, failed: bool) -> Obj:
        found = []
        for entry in pod["spec"]["containers"]:
            past = _terminated(fates[entry["name"]], now)
            found.append(_container(entry, {"terminated": past}, {}, ready=False, restarts=0))
        phase = "Failed" if failed else "Succeeded"
        return {**self._base(pod, phase, False, now), "containerStatuses": found}

    # Events

    def _announce(self, pod: Obj) -> None:
        for entry in pod["spec"]["containers"]:
            text = f'Container image "{entry["image"]}" already present on machine'
            self.record(pod, "Pulled", text, KUBELET)
            self.record(pod, "Created", f"Created container: {entry['name']}", KUBELET)
            self.record(pod, "Started", f"Started container {entry['name']}", KUBELET)

    def _back_off(self, pod: Obj) -> None:
        status = self.store.get("pods", pod["metadata"]["namespace"], name_of(pod)) or pod
        for entry in dig(status, "status", "containerStatuses", default=[]):
            if "waiting" in entry["state"]:
                where = f"pod {name_of(pod)}_{pod['metadata']['namespace']}({uid_of(pod)})"
                text = f"Back-off restarting failed container {entry['name']} in {where}"
                self.record(pod, "BackOff", text, KUBELET, warning=True)


def _is_crashing(pod: Obj) -> bool:
    statuses = dig(pod, "status", "containerStatuses", default=[])
    return any(dig(entry, "state", "waiting", "reason") == "CrashLoopBackOff" for entry in statuses)


def _terminated(fate: Fate, now: float) -> Obj:
    code, reason = {"crash": (1, "Error"), "oom": (137, "OOMKilled")}.get(fate, (0, "Completed"))
    when = timestamp(now)
    return {"exitCode": code, "reason": reason, "startedAt": when, "finishedAt": when}


def _back_off_state(fate: Fate, now: float) -> tuple[Obj, Obj]:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
    return {"waiting": waiting}, {"terminated": _terminated(fate, now)}


def _container(entry: Obj, state: Obj, past: Obj, *, ready: bool, restarts: int) -> Obj:
    return {
        "name": entry["name"],
        "state": state,
        "lastState": past,
        "ready": ready,
        "restartCount": restarts,
        "image": entry["image"],
        "imageID": entry["image"],
        "containerID": f"simulated://{entry['name']}",
        "started": "running" in state,
    }
