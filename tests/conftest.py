"""How Hypothesis searches: the same way with every run, so that a test that passed passes again.

`pytest --hypothesis-profile=search` looks further, elsewhere each time, and remembers what it found.
No profile has a deadline: no test here may depend on how fast the machine is.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("steady")
