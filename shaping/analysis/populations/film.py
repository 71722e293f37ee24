"""A film of a population on a lattice: the type at every place, one frame per recorded generation."""

from __future__ import annotations

import io

import numpy as np

from shaping.analysis.populations.figures import lattice_width
from shaping.analysis.populations.measures import types_of
from shaping.analysis.record import Record
from shaping.analysis.style import COLOURS, Picture

_FRAMES = 200
_MILLISECONDS = 120
_WIDTH = 480
"""Pixels of a frame, at least."""


def film(record: Record) -> Picture | None:
    """The first population of a record as an animated GIF; None if it does not live on a lattice, or the types of its
    learners were not recorded over time (`record: [types]`)."""
    width = lattice_width(record)
    if width is None or "types" not in record.dataset or not record.cells:
        return None
    from PIL import Image

    places = np.unique(np.linspace(0, record.dataset.sizes["generation"] - 1, _FRAMES).astype(int))
    types = record.dataset["types"].isel(match=0, generation=places).values
    types = types[np.isfinite(types).all(axis=1)]
    if not len(types):
        return None
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS], np.uint8)
    scale = max(1, -(-_WIDTH // width))
    frames = []
    for row in types.astype(int):
        cells = palette[row % len(palette)].reshape(-1, width, 3)
        frames.append(Image.fromarray(cells.repeat(scale, axis=0).repeat(scale, axis=1)))
    buffer = io.BytesIO()
    frames[0].save(
        buffer, format="GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0, optimize=False
    )
    colours = ("blue", "red", "green", "pink", "light blue", "orange", "black", "grey")
    told = ", ".join(f"{name} {colours[place % len(colours)]}" for place, name in enumerate(types_of(record)))
    caption = f"The first population of the first cell, one frame per recorded generation ({told}; lattice.gif)."
    return Picture("lattice_film", "The lattice over time", caption, buffer.getvalue(), "gif")
