"""Jobs: pods until enough have succeeded, too many have failed or the time is over; gone a while after their end."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER, earliest
from bridge.demo.controllers.podsets import PodOwner, is_active
from bridge.demo.deletion import delete_object
from bridge.demo.objects import Obj, clone, condition, is_terminating, parse_timestamp, pod_is_ready, timestamp


class Jobs(PodOwner):
    """Keeps the pods and the status of every Job."""

    watches = frozenset({"jobs.batch", "pods"})
    component = "job-controller"

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("batch/v1", "Job")
        due: float | None = None
        for job in self.store.list("jobs.batch"):
            if is_terminating(job):
                continue
            ended = self._ended_at(job)
            due = earliest(due, self._sync_one(job, now) if ended is None else self._outlive(job, ended, now))
        return due

    @staticmethod
    def _ended_at(job: Obj) -> float | None:
        for entry in (condition(job, "Complete"), condition(job, "Failed")):
            if entry is not None and entry["status"] == "True":
                return parse_timestamp(entry["lastTransitionTime"])
        return None

    def _outlive(self, job: Obj, ended: float, now: float) -> float | None:
        """Delete a Job whose time after its end is over. Returns when that is."""
        kept = job["spec"].get("ttlSecondsAfterFinished")
        if kept is None:
            return None
        if ended + kept <= now:
            delete_object(self.cluster, self.resource, job, {"propagationPolicy": "Background"})
            return None
        return ended + float(kept)

    def _sync_one(self, job: Obj, now: float) -> float | None:
        """Move one on. Returns when its time is over."""
        spec = job["spec"]
        if spec.get("suspend"):
            return None
        started = job["status"].get("startTime")
        limit = spec.get("activeDeadlineSeconds")
        begun = parse_timestamp(started) if started else now
        late = limit is not None and begun + limit <= now
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
        elif late:
            text = "Job was active longer than specified deadline"
            self._end(status, "FailureTarget", "Failed", "DeadlineExceeded", text, now)
            for pod in active:
                self.drop_pod(job, pod)
        else:
            missing = min(spec.get("parallelism", 1), wanted - succeeded) - len(active)
            for _ in range(missing):
                self.make_pod(job, spec["template"])
        if status != job["status"]:
            self.writes.save(self.resource, {**job, "status": status}, MANAGER, "status")
            if "completionTime" in status:
                self.record(job, "Completed", "Job completed", self.component)
        return None if limit is None or late else begun + limit

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
