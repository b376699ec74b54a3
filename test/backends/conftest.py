"""Shared inputs of the backend tests."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded randomness, fresh for each test."""
    return np.random.default_rng(7)
