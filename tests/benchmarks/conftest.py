"""Timings are of threads as users have them, not of those that `tests/conftest.py` makes."""

from __future__ import annotations

import os

os.environ.pop("OMP_WAIT_POLICY", None)
