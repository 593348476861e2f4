"""The subresources: scale, eviction, log, the service proxy, access reviews. Called by `api`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.demo.deletion import delete_object
from bridge.demo.logs import written_at
from bridge.demo.objects import (
    Obj,
    clone,
    dig,
    drop_none,
    is_terminating,
    name_of,
    namespace_of,
    pod_is_ready,
    timestamp,
)
from bridge.demo.patches import apply_patch
from bridge.demo.resources import Resource
from bridge.demo.schema import WrongType, decode
from bridge.demo.selectors import matches_selector, selector_text
from bridge.demo.status_errors import (
    ApiError,
    bad_request,
    budget_unread,
    conflict,
    eviction_refused,
    invalid,
    not_found,
    not_served,
)
from bridge.demo.structure import fill, zero
from bridge.demo.validation import scale as validate_scale
from bridge.demo.verbs import Options, Verbs, invalid_patch

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

_METRICS = "up 1\no2ims_up 1\n"
"""What every service tells of itself, unless its behaviour says otherwise; the second is the demo's gateway."""


def scale_of(obj: Obj) -> Obj:
    """The Scale of a workload."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = {"replicas": dig(obj, "status", "replicas", default=0)}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": drop_none({"replicas": obj["spec"].get("replicas") or None}),
        "status": {**status, "selector": selector_text(obj["spec"]["selector"])},
    }


def write_scale(
    cluster: SimulatedCluster,
    verbs: Verbs,
    resource: Resource,
    obj: Obj,
    change: Any,
    content_type: str,
    options: Options,
) -> Obj:
    """PUT (no content type) or PATCH of the Scale of a workload. Returns the new Scale."""
    before = scale_of(obj)
    after = apply_patch(before, change, content_type) if content_type else change
    try:
        decode("Scale", after)
    except WrongType as error:
        raise (invalid_patch(after, str(error)) if content_type else bad_request(str(error))) from error
    causes = validate_scale(after)
    if causes:
        raise invalid("Scale", "autoscaling", name_of(obj), causes)
    wanted = dig(after, "metadata", "resourceVersion")
    if wanted and wanted != obj["metadata"]["resourceVersion"]:
        raise conflict(resource, name_of(obj))
    scaled = clone(obj)
    scaled["spec"]["replicas"] = dig(after, "spec", "replicas", default=0)
    if options.dry_run:
        return scale_of(scaled)
    return scale_of(cluster.writes.store_change(resource, obj, scaled, options.manager, "scale"))


def evict(
    cluster: SimulatedCluster, resource: Resource, namespace: str, name: str, body: Obj, *, dry_run: bool
) -> Obj:
    """Delete a pod unless a disruption budget is against it. Raises ApiError 429 then."""
    pod = cluster.store.get(resource.key, namespace, name)
    if pod is None:
        raise not_found(resource, name)
    stated = dig(body, "metadata", "name", default=name)
    if stated != name:
        raise bad_request("name in URL does not match name in Eviction object")
    done = pod["status"].get("phase") in ("Succeeded", "Failed")
    if not done and not is_terminating(pod):
        _check_budgets(cluster, pod, dry_run=dry_run)
    delete_object(cluster, resource, pod, body.get("deleteOptions") or {}, dry_run=dry_run)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _check_budgets(cluster: SimulatedCluster, pod: Obj, *, dry_run: bool) -> None:
    key = "poddisruptionbudgets.policy"
    budgets = [
        budget
        for budget in cluster.store.list(key, namespace_of(pod))
        if matches_selector(budget["spec"].get("selector"), pod["metadata"].get("labels") or {})
    ]
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "InternalError", message)
    for budget in budgets:
        status = budget["status"]
        if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
            raise budget_unread(name_of(budget))
        if not pod_is_ready(pod) and status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0:
            continue
        if status.get("disruptionsAllowed", 0) <= 0:
            needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
            raise eviction_refused(name_of(budget), needed, healthy)
        if not dry_run:
            used = clone(budget)
            used["status"]["disruptionsAllowed"] -= 1
            cluster.store.put(key, used)


def check_kubelet(cluster: SimulatedCluster, pod: Obj) -> None:
    """Raises ApiError 400 for a pod without a node, and 500 for a node whose kubelet answers nobody."""
    node = pod["spec"].get("nodeName")
    if not node:
        raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
    if node in cluster.behavior.unreachable_nodes:
        text = "error dialing backend: dial tcp 127.0.0.1:10250: connect: connection refused"
        raise ApiError(500, "InternalError", text, details={"causes": [{"message": text}]})


def read_log(
    cluster: SimulatedCluster, resource: Resource, namespace: str, name: str, query: Mapping[str, str]
) -> str:
    """The text of a container's log, as the query asks for it."""
    pod = cluster.store.get(resource.key, namespace, name)
    if pod is None:
        raise not_found(resource, name)
    if pod["spec"].get("nodeName"):
        check_kubelet(cluster, pod)
    previous = query.get("previous", "").lower() in ("true", "1")
    lines = cluster.logs.read(pod, query.get("container", ""), previous=previous)
    if query.get("follow", "").lower() in ("true", "1"):
        raise not_served("following a log")
    if query.get("timestamps", "").lower() in ("true", "1"):
        lines = [f"{timestamp(cluster.now())} {line}" for line in lines]
    if since := query.get("sinceSeconds"):
        if not since.isdigit() or int(since) < 1:
            raise bad_request("sinceSeconds must be greater than 0")
        lines = [line for line in lines if written_at(line, cluster.now()) >= cluster.now() - int(since)]
    tail = query.get("tailLines")
    if tail is not None:
        if not tail.isdigit():
            raise bad_request(f'invalid tailLines: strconv.ParseInt: parsing "{tail}": invalid syntax')
        lines = lines[-int(tail) :] if int(tail) else []
    text = "".join(f"{line}\n" for line in lines)
    limit = query.get("limitBytes", "")
    return text[: int(limit)] if limit.isdigit() else text


def proxy_service(
    cluster: SimulatedCluster, resource: Resource, namespace: str, name: str, method: str, path: str
) -> tuple[int, str]:
    """A request through the service proxy: 200 while a pod behind the service is ready, 503 otherwise."""
    scheme_name_port = name.split(":")
    service_name = scheme_name_port[1] if len(scheme_name_port) == 3 else scheme_name_port[0]
    service = cluster.store.get(resource.key, namespace, service_name)
    if service is None:
        raise not_found(resource, service_name)
    selector = service["spec"].get("selector") or {}
    for pod in cluster.store.list("pods", namespace):
        labels = pod["metadata"].get("labels") or {}
        if selector and selector.items() <= labels.items() and pod_is_ready(pod) and not is_terminating(pod):
            respond = cluster.behavior.respond
            answered = respond(service, method, f"/{path}") if respond else None
            usual = _METRICS if path.endswith("metrics") else json.dumps({"status": "ok", "pod": name_of(pod)})
            return answered or (200, usual)
    message = f'no endpoints available for service "{name}"'
    raise ApiError(503, "ServiceUnavailable", message)


def review_access(cluster: SimulatedCluster, resource: Resource, body: Obj, options: Options, allowed: bool) -> Obj:
    """A SelfSubjectAccessReview with its answer."""
    review = fill(zero(resource.kind), clone(body))
    review = {"kind": resource.kind, "apiVersion": resource.api_version, **review}
    cluster.writes.track(resource, None, review, options.manager)
    review["status"] = {"allowed": allowed}
    return review
