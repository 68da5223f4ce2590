"""Fuzz every operation of the OpenAPI document on a real process: bad input is never a 5xx."""

import json

import pytest

from tests.service.served import Served

pytestmark = pytest.mark.slow
schemathesis = pytest.importorskip("schemathesis")

import httpx  # noqa: E402
from hypothesis import HealthCheck, Phase, given  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402

# Switching models or the shadow at random would load a bundle for each example.
_COSTLY = ("/v1/models/activate", "/v1/models/rollback", "/v1/models/shadow")


@pytest.fixture
def served(tmp_path, models):
    one = Served(tmp_path / "served", models.registry.directory)
    one.key = one.jiesu("key", "add", "fuzz", "--role", "admin").strip().splitlines()[-1]
    one.start()
    yield one
    one.stop()


def test_no_server_error(served):
    headers = {"Authorization": f"Bearer {served.key}"}
    document = httpx.get(served.url + "/openapi.json", verify=False).json()
    schema = schemathesis.openapi.from_dict(document)
    tried, worst = 0, []
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis_settings(
            max_examples=3 if operation.path in _COSTLY else 40,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(case=operation.as_strategy())
        def fuzz(case):
            answer = case.call(base_url=served.url, headers=headers)
            if answer.status_code >= 500:
                worst.append((case.method, case.path, answer.status_code, case.body))
            elif answer.status_code >= 400:
                problem = json.loads(answer.content)
                assert problem["status"] == answer.status_code, (case.path, problem)

        fuzz()
        tried += 1
    assert worst == []
    assert tried > 20
