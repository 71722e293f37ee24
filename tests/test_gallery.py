"""The gallery shows every shipped configuration."""

import re
from pathlib import Path

from benchmarks import gallery
from benchmarks.gallery import IMAGES, NOT_RUN, PAGE, QUESTIONS, SMALL, merged
from shaping.config.files import read, shipped


def test_every_shipped_configuration_has_an_entry_and_its_picture_unless_it_says_that_it_was_not_run():
    head, *parts = re.split(r"^## (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = dict(zip(parts[::2], parts[1::2], strict=True))
    assert head.startswith("# Gallery") and list(entries) == list(shipped())
    for name, entry in entries.items():
        assert (f"](images/gallery/{name}.png)" in entry) != (NOT_RUN in entry), name
    assert {path.stem for path in Path(IMAGES).glob("*.png")} == {n for n, e in entries.items() if NOT_RUN not in e}


def test_every_shipped_configuration_asks_a_question():
    assert set(QUESTIONS) == set(shipped())


def test_a_small_form_changes_only_keys_that_the_configuration_has():
    for name, changes in SMALL.items():
        config = read(name)
        assert set(merged(config, changes)) == set(config), name


def test_an_entry_is_written_anew_while_the_others_and_their_pictures_stay(tmp_path, monkeypatch):
    for name, place in (("PAGE", "gallery.md"), ("IMAGES", "images")):
        monkeypatch.setattr(gallery, name, tmp_path / place)
    before = PAGE.read_text(encoding="utf-8")
    picture = tmp_path / "images" / "lola_table.png"
    picture.parent.mkdir()
    picture.touch()
    gallery.PAGE.write_text(before.replace("## loqa_coin_full\n", "## loqa_coin_full\n\nOutdated.\n"), encoding="utf-8")
    assert gallery.write(tmp_path / "runs", ["loqa_coin_full"]) == ["loqa_coin_full"]
    assert gallery.PAGE.read_text(encoding="utf-8") == before and picture.exists()
