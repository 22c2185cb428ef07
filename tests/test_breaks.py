"""The gradient checks themselves: with one line of a source broken, at least one check must notice."""

import pytest

from scratchac import gradcheck
from scratchac.lab.breaks import BREAKS, patch_of


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_source_is_noticed(name):
    with patch_of(name):
        assert any(gradcheck.run(check).error > gradcheck.TOLERANCE for check in gradcheck.CHECKS)


def test_whole_sources_pass():
    assert all(gradcheck.run(check).passed for check in gradcheck.CHECKS)
