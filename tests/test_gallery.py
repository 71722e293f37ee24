"""The gallery shows every shipped configuration."""

import re
from pathlib import Path

from benchmarks.gallery import IMAGES, PAGE, QUESTIONS, SMALL, merged
from shaping.config.files import read, shipped


def test_every_shipped_configuration_has_an_entry_and_its_picture():
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(shipped())
    for name in shipped():
        assert f"](images/gallery/{name}.png)" in page
    assert {path.stem for path in Path(IMAGES).glob("*.png")} == set(shipped())


def test_every_shipped_configuration_asks_a_question():
    assert set(QUESTIONS) == set(shipped())


def test_a_small_form_changes_only_keys_that_the_configuration_has():
    for name, changes in SMALL.items():
        config = read(name)
        assert set(merged(config, changes)) == set(config), name
