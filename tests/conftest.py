from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from cecore import _dispatch

collect_ignore = ["typing"]  # code for type checkers, which tools/check_types.py runs

settings.register_profile("cecore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cecore")


@pytest.fixture(scope="module", params=list(_dispatch.usable))
def level(request):
    """Each instruction-set level that this machine has, in use for the module's tests."""
    before = _dispatch.kernels
    _dispatch.kernels = _dispatch.usable[request.param]
    yield request.param
    _dispatch.kernels = before
