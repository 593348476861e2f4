"""The lines of a report that are read off the evidence."""

from __future__ import annotations

from bridge.model.report_lines import impact_of


def test_nodes_that_are_well_are_no_impact_and_are_never_called_pods() -> None:
    pods = {"total": 3, "ready": 0, "crashlooping": 3}
    well = {"total": 3, "ready": 3, "cordoned": 0}
    ill = {"total": 3, "ready": 2, "cordoned": 1}
    evidence = {"pods": pods, "nodes": well, "hosts": ill}
    assert list(impact_of({"evidence": evidence})) == [
        "3 of 3 pods were not ready (pods)",
        "3 crashlooping (pods)",
        "1 of 3 nodes were not ready (hosts)",
    ]
