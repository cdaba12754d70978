"""A run that travels, and its bundle."""

import pytest
from results.bundles import RUN
from support.command_line import call


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """A store with one run, and its bundle."""
    root = tmp_path_factory.mktemp("origin")
    call("run", *RUN, "--out", root)
    call("export", "adding", "--to", root / "bundle.zip", "--out", root)
    return root


@pytest.fixture
def bundle(origin):
    return origin / "bundle.zip"
