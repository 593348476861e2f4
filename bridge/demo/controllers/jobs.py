"""Jobs: pods until enough have succeeded, or too many have failed."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER
from bridge.demo.controllers.podsets import PodOwner, is_active
from bridge.demo.objects import Obj, clone, condition, is_terminating, pod_is_ready, timestamp


class Jobs(PodOwner):
    """Keeps the pods and the status of every Job."""

    watches = frozenset({"jobs.batch", "pods"})
    component = "job-controller"

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("batch/v1", "Job")
        for job in self.store.list("jobs.batch"):
            if not is_terminating(job) and not self._is_over(job):
                self._sync_one(job, now)
        return None

    @staticmethod
    def _is_over(job: Obj) -> bool:
        ends = (condition(job, "Complete"), condition(job, "Failed"))
        return any(entry is not None and entry["status"] == "True" for entry in ends)

    def _sync_one(self, job: Obj, now: float) -> None:
        spec = job["spec"]
        if spec.get("suspend"):
            return
        pods = self.pods_of(job)
        succeeded = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
        failed = sum(pod["status"].get("phase") == "Failed" for pod in pods)
        active = [pod for pod in pods if is_active(pod)]
        wanted = spec.get("completions") or 1
        status = self._status(job, active, succeeded, failed, now)
        if succeeded >= wanted:
            self._end(
                status,
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
                now,
            )
            status["completionTime"] = timestamp(now)
        elif failed > spec.get("backoffLimit", 6):
            text = "Job has reached the specified backoff limit"
            self._end(status, "FailureTarget", "Failed", "BackoffLimitExceeded", text, now)
        else:
            missing = min(spec.get("parallelism", 1), wanted - succeeded) - len(active)
            for _ in range(missing):
                self.make_pod(job, spec["template"])
        if status != job["status"]:
            self.writes.save(self.resource, {**job, "status": status}, MANAGER, "status")
            if "completionTime" in status:
                self.record(job, "Completed", "Job completed", self.component)

    def _status(self, job: Obj, active: list[Obj], succeeded: int, failed: int, now: float) -> Obj:
        status: Obj = clone(job["status"])
        status.setdefault("startTime", timestamp(now))
        for key, count in (("active", len(active)), ("succeeded", succeeded), ("failed", failed)):
            status.pop(key, None)
            if count:
                status[key] = count
        status["terminating"] = 0
        status["ready"] = sum(pod_is_ready(pod) for pod in active)
        status["uncountedTerminatedPods"] = {}
        return status

    @staticmethod
    def _end(status: Obj, first: str, last: str, reason: str, message: str, now: float) -> None:
        when = timestamp(now)
        status["conditions"] = [
            {
                "type": kind,
                "status": "True",
                "lastProbeTime": when,
                "lastTransitionTime": when,
                "reason": reason,
                "message": message,
            }
            for kind in (first, last)
        ]
