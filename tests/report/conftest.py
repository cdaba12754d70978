"""Boards that tests of reports share."""

import pytest
from support.fake_records import fake_records

from rnnbench.leaderboard.boards import build


@pytest.fixture(scope="module")
def boards():
    return build(fake_records())
