"""The film of a population's drift: where its learners are on the map, from one recorded time to the next."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from shaping.analysis.style import GREY, RC, Picture, import_matplotlib, new_figure

_MILLISECONDS, _LAST = 600, 2500


def film(
    name: str,
    title: str,
    places: np.ndarray,
    when: np.ndarray,
    track: np.ndarray,
    colours: Sequence[str],
    labels: Sequence[tuple[float, float, str]],
    key: Sequence[tuple[str, str]],
    unit: str,
) -> Picture:
    """Frames of one map: everyone grey, those of a time in colour, with the way that each came since the time before.

    Args:
      name, title: of the picture.
      places: [policies, 2], of all on the map.
      when: [policies] the time of those in the film, -1 for others.
      track: [policies], a number for each learner.
      colours: [policies].
      labels: x, y and the text of names on the map.
      key: colours and what they mean.
      unit: of the times, "update" or "generation".
    """
    from PIL import Image

    times = np.unique(when[when >= 0])
    frames = [
        Image.open(io.BytesIO(frame)).convert("RGB")
        for frame in _frames(places, when, track, colours, labels, key, unit, times)
    ]
    # One palette for all frames, or colours would flicker.
    base = frames[-1].quantize(128)
    small = [frame.quantize(palette=base, dither=Image.Dither.NONE) for frame in frames]
    out = io.BytesIO()
    lasts = [_MILLISECONDS] * (len(small) - 1) + [_LAST]
    small[0].save(out, format="gif", save_all=True, append_images=small[1:], duration=lasts, loop=0)
    caption = (
        f"{len(times)} {unit}s from {times[0]} to {times[-1]}: {(when == times[-1]).sum()} learners at the end, each "
        f"with the way that it came since the {unit} shown before; everybody else on the map is grey."
    )
    return Picture(name, title, caption, out.getvalue(), "gif")


def _frames(
    places: np.ndarray,
    when: np.ndarray,
    track: np.ndarray,
    colours: Sequence[str],
    labels: Sequence[tuple[float, float, str]],
    key: Sequence[tuple[str, str]],
    unit: str,
    times: np.ndarray,
) -> list[bytes]:
    matplotlib = import_matplotlib()
    found, shade = [], np.array(colours)
    with matplotlib.rc_context(RC):
        drawn = new_figure(6.0, 8.4)
        axes = drawn.subplots()
        axes.scatter(*places.T, s=3, c="#DDDDDD", linewidths=0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", "datalim")
        axes.spines[:].set_visible(False)
        for x, y, text in labels:
            axes.plot(x, y, "+", color=GREY, markersize=5)
            axes.annotate(text, (x, y), (3, 3), textcoords="offset points", color=GREY, fontsize=7)
        for colour, text in key:
            axes.scatter([], [], s=14, c=colour, label=text)
        drawn.legend(loc="outside right upper", frameon=False)
        moving: list = []
        for number, time in enumerate(times):
            for artist in moving:
                artist.remove()
            now = np.flatnonzero(when == time)
            moving = [axes.scatter(*places[now].T, s=16, c=shade[now], linewidths=0.3, edgecolors="white", zorder=3)]
            if number:
                before = {int(track[i]): i for i in np.flatnonzero(when == times[number - 1])}
                ways = [(places[before[int(track[i])]], places[i]) for i in now if int(track[i]) in before]
                if ways:
                    lines = matplotlib.collections.LineCollection(ways, colors="#999999", linewidths=0.5, alpha=0.6)
                    moving.append(axes.add_collection(lines, autolim=False))
            axes.set_title(f"{unit} {time}", loc="left", fontsize=11)
            buffer = io.BytesIO()
            drawn.savefig(buffer, format="png", dpi=100)
            found.append(buffer.getvalue())
    return found
