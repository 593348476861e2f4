"""docs/evidence.md is what the collectors' models say, and every field of them is described."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from bridge.evidence.registry import collectors
from bridge.ports import Collector
from tests.support.evidence_page import PAGE, page

COLLECTORS = collectors()


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.support.evidence_page"


@pytest.mark.parametrize("collector", COLLECTORS.values(), ids=list(COLLECTORS))
def test_every_field_of_a_result_and_of_parameters_is_described(collector: Collector) -> None:
    for model in (collector.params, collector.result):
        assert issubclass(model, BaseModel)
        assert all(field.description for field in model.model_fields.values())
        assert model.model_config.get("extra") == "forbid"
