"""The quick form of a configuration: what `shaping verify --quick` runs in its place."""

import copy
from collections.abc import Mapping
from typing import Any

from shaping.config.validate import CELL, check_top

MATCHES = 200
"""Matches a cell where a configuration does not say what makes it quick."""


def quick_form(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """A configuration with its own `quick:` carried out.

    Variants that are left out take their published values with them. With fewer matches every published tolerance says
    how many it was chosen for, so that our sampling error is added to it, in this run and in any later report of it.

    Args:
      raw: a configuration as plain data; without `quick:` it runs with at most 200 matches a cell.

    Returns:
      a configuration without `quick:`, or None for `quick: false`.

    Raises:
      ConfigError: for a top level that is not allowed.
    """
    top = check_top(raw)
    setting = top["quick"]
    if setting is False:
        return None
    if setting is None:
        setting = {"matches": min(MATCHES, top["matches"])}
    small = copy.deepcopy({key: value for key, value in raw.items() if key != "quick"})
    entries = copy.deepcopy(top["published"])
    if "variants" in setting:
        kept = {name: variant for name, variant in top["variants"].items() if name in setting["variants"]}
        small["variants"] = copy.deepcopy(kept)
        for key in CELL:
            if all(key in variant for variant in kept.values()):
                small.pop(key, None)
        names = {str(name) for name in top["variants"]} - {str(name) for name in kept}
        entries = [e for e in entries if str((e.get("cell") or {}).get("variant")) not in names]
    small["matches"] = setting.get("matches", top["matches"])
    if small["matches"] < top["matches"]:
        for entry in entries:
            if entry.get("tolerance") is not None:
                entry.setdefault("matches", top["matches"])
    return small | {"published": entries}
