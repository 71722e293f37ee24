"""The deliberate mistakes of `tests.breaks` fit the code as it is; whether each is noticed takes minutes to see."""

import pytest

from tests.breaks import BREAKS, ROOT


@pytest.mark.parametrize("name", BREAKS)
def test_a_deliberate_mistake_can_be_made_in_the_code_as_it_is(name):
    mistake = BREAKS[name]
    assert (ROOT / mistake.file).read_text().count(mistake.right) == 1
    assert mistake.wrong != mistake.right
    assert all((ROOT / file).is_file() for file in mistake.tests)
