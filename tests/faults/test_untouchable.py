"""What alertbridge must never change, whatever an alert says: asked of a whole process, counted at the API server."""

from __future__ import annotations

from tests.support.installation import Installation
from tests.support.processes import Processes
from tests.support.workshop import open_workshop


async def test_own_parts_and_protected_namespaces_are_denied_and_a_person_is_told(processes: Processes) -> None:
    """Faults 63 and 64: our own workload, our own Redis, kube-system; no verb that could change them is sent."""
    async with open_workshop() as shop:
        targets = {
            ("bridges", "alertbridge"): "own_part",
            ("stores", "redis"): "own_part",
            ("kube-system", "coredns"): "protected_namespace",
        }
        for namespace, name in targets:
            shop.deploy(name, namespace=namespace)
        installation = Installation(processes, kubernetes=shop.url, own={"redis": ["stores/redis"]})
        try:
            server = await installation.start(env={"POD_NAMESPACE": "bridges", "POD_NAME": "alertbridge-5d9c-x2x4z"})
            for namespace, name in targets:
                await server.fire("GatewayDown", namespace=namespace, deployment=name)
            done = await server.finished(len(targets))
            found = {(each["target"]["namespace"], each["target"]["name"]): each for each in done}
            for target, reason in targets.items():
                assert (found[target]["outcome"], found[target]["reason"]) == ("denied", reason), found[target][
                    "detail"
                ]
                assert found[target]["escalated"]
            # What is not protected is worked on beside them.
            await server.fire("GatewayDown", namespace="shop", deployment="web")
            assert (await server.finished(4))[-1]["outcome"] == "succeeded"
        finally:
            installation.end_private_redis()
        assert {entry.path.split("/")[5] for entry in shop.proxy.mutating(dry_runs=True)} == {"shop"}


async def test_mode_observe_plans_and_sends_no_mutating_verb(processes: Processes) -> None:
    """Fault 70: the plan is there to be read, the cluster as it was."""
    async with open_workshop() as shop:
        installation = Installation(processes, kubernetes=shop.url, mode="observe")
        try:
            server = await installation.start()
            await server.fire("GatewayDown", namespace="shop", deployment="web")
            done = await server.outcome()
            assert (done["outcome"], done["reason"]) == ("observed", "observe_only")
            (planned,) = [e for e in await server.journal(done["id"]) if e["kind"] == "planned"]
            assert planned["data"]["plan"]["changes"]
        finally:
            installation.end_private_redis()
        assert not shop.proxy.mutating(dry_runs=True)
        assert shop.restarts("web") == 0
