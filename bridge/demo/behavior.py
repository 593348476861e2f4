"""How the simulated workloads behave: what their images do, and how long things take. Read by the controllers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from bridge.demo.objects import Obj, dig
from bridge.demo.quantities import value_of

Fate = Literal["ready", "crash", "oom", "never"]


@dataclass(frozen=True)
class Behavior:
    """All durations are seconds."""

    ready_delay: float = 0.3
    """From the start of a pod until it is ready, or until it has crashed often enough."""
    termination_delay: float = 0.1
    """From a pod's deletion until it is gone."""
    crash_restarts: int = 6
    """How often a container has restarted by the time it is seen in CrashLoopBackOff."""
    crash_backoff: float = 300.0
    """Between further restarts of a crashing container."""
    job_duration: float = 0.3
    """From the start of a Job's pod until its container ends."""
    issue_delay: float = 0.3
    """From the Issuing condition until there is a new certificate."""
    certificate_days: int = 90
    fail_certificates: bool = False
    """Issuing ends in a failure. One Certificate alone fails with the annotation `demo/issuing: fail`."""
    metrics_delay: float = 15.0
    """Until the autoscaler has looked at a new HorizontalPodAutoscaler."""
    taint_cordoned: bool = True
    """A node that takes no pods gets the taint by which the node controller says so."""
    unreachable_nodes: frozenset[str] = frozenset()
    """Nodes whose kubelet answers nobody: no logs and no commands come from their pods."""
    usage: Callable[[Obj, str], tuple[str, str] | None] | None = None
    """What a container (of a pod, by name) uses: cores and bytes as quantities. None: half of what it requests."""
    images: Mapping[str, Fate] = field(default_factory=dict)
    """What containers of an image do, by pattern (`shop/web:*-slow`); before the rule of the tags."""
    oom_cured_at: str | None = None
    """The memory limit from which on a container with `oom` in its tag has enough; None: it never has."""
    respond: Callable[[Obj, str, str], tuple[int, str] | None] | None = None
    """What the pods behind a service answer through the service proxy, to (service, method, path): a status and a
    body. None, or an answer of None: 200 with a few words."""
    judge: Callable[[Obj], Fate | None] | None = None
    """Decides for a whole pod that starts, before everything else; None leaves it to its images."""

    def of_image(self, image: str) -> Fate:
        """What a container of the image does: a tag with `bad` crashes, one with `oom` runs out of memory."""
        for pattern, fate in self.images.items():
            if fnmatchcase(image, pattern):
                return fate
        tag = image.rpartition("/")[2].partition(":")[2]
        if "bad" in tag:
            return "crash"
        return "oom" if "oom" in tag else "ready"

    def _of_container(self, container: Obj) -> Fate:
        fate = self.of_image(container["image"])
        limit = dig(container, "resources", "limits", "memory")
        if fate == "oom" and limit and self.oom_cured_at and value_of(limit) >= value_of(self.oom_cured_at):
            return "ready"
        return fate

    def of_pod(self, pod: Obj) -> dict[str, Fate]:
        """What each container of a pod does, by the container's name."""
        containers = pod["spec"]["containers"]
        judged = self.judge(pod) if self.judge else None
        fates = {entry["name"]: judged or self._of_container(entry) for entry in containers}
        if "crash" in fates.values():
            # As in the recordings: one crashing container takes the others of its pod along.
            return dict.fromkeys(fates, "crash")
        return fates
