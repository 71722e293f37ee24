"""Clusters of embeddings, with the names of strategies that a reader recognises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_SHOWN = {"allc": "ALLC", "alld": "ALLD", "tft": "TFT", "grim": "GRIM", "wsls": "WSLS", "tf2t": "TF2T"}
_SHOWN |= {"generous_tft": "generous TFT", "suspicious_tft": "suspicious TFT", "anti_tft": "anti-TFT"}


def shown(name: str) -> str:
    """A strategy's name as a reader knows it."""
    return _SHOWN.get(name.lower(), name.replace("_", " "))


@dataclass(frozen=True)
class Clusters:
    """Clusters of policies, the largest first.

    Attributes:
      number: [policies] int.
      names: of the clusters, all different.
      sizes: how many policies they have.
    """

    number: np.ndarray
    names: list[str]
    sizes: list[int]


def clustered(
    embeddings: np.ndarray, landmarks: Sequence[int], names: Sequence[str], clusters: int, spread: float, seed: int = 0
) -> Clusters:
    """Clusters of k-means (scikit-learn), named after the landmark that most of their policies are nearest to.

    A cluster has the name of its landmark if its policies are typically no farther from it than `spread`, otherwise
    that name followed by "-like". Further clusters with the same name are numbered.

    Args:
      embeddings: [policies, numbers].
      landmarks: which of the policies are named strategies; if none, clusters are numbered.
      names: of the landmarks.
      clusters: how many, at most as many as there are policies.
      spread: how far apart two embeddings of one policy are, from different episodes.
      seed: of k-means.
    """
    from sklearn.cluster import KMeans

    points = np.asarray(embeddings, np.float32)
    how: dict[str, Any] = {"n_init": 4, "random_state": seed}
    raw = KMeans(min(clusters, len(np.unique(points, axis=0))), **how).fit_predict(points)
    order = np.argsort(-np.bincount(raw), kind="stable")
    order = order[np.bincount(raw)[order] > 0]
    place = np.empty(raw.max() + 1, int)
    place[order] = np.arange(len(order))
    number, told = place[raw], []
    near, far = nearest(points, points[list(landmarks)], 1) if len(landmarks) else (None, None)
    for cluster in range(len(order)):
        inside = number == cluster
        if near is None or far is None:
            told.append(f"cluster {cluster + 1}")
            continue
        most = int(np.bincount(near[inside, 0]).argmax())
        called = shown(names[most])
        typical = np.median(np.linalg.norm(points[inside] - points[landmarks[most]], axis=1))
        told.append(called if typical <= spread else f"{called}-like")
    for cluster, name in enumerate(list(told)):
        earlier = sum(other == name or other.startswith(f"{name} (") for other in told[:cluster])
        if earlier:
            told[cluster] = f"{name} ({earlier + 1})"
    return Clusters(number, told, np.bincount(number).tolist())


def nearest(points: np.ndarray, landmarks: np.ndarray, ranks: int) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks nearest to each point.

    Returns:
      Their numbers and their Euclidean distances, [points, ranks] each, the nearest first.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(ranks, len(landmarks)), algorithm="brute").fit(landmarks)
    distance, number = found.kneighbors(points)
    return number, distance
