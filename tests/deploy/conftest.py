"""What the tests of the manifests are given."""

from pathlib import Path

import pytest

from tests.deploy.manifests import Inside


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inside:
    return Inside(monkeypatch, tmp_path)
