"""Maps of embeddings in two or three dimensions, by methods of scikit-learn and umap-learn."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

METHODS = ("umap", "tsne", "pca")
_FEW = 20
"""Points below which neighbourhoods say nothing; then every map is that of `pca`."""


def missing_packages(method: str) -> list[str]:
    """Packages to install for clusters and a map by this method; [] if all are there."""
    needed = {"sklearn": "scikit-learn"} | ({"umap": "umap-learn"} if method == "umap" else {})
    return [name for module, name in needed.items() if find_spec(module) is None]


def project(embeddings: np.ndarray, dimensions: int, method: str = "umap", seed: int = 0) -> np.ndarray:
    """A map of embeddings, [policies, dimensions] float32, centred.

    Args:
      embeddings: [policies, numbers].
      dimensions: of the map, 2 or 3.
      method: "umap" (McInnes et al. 2018) and "tsne" (van der Maaten and Hinton 2008) keep neighbours together,
        "pca" keeps distances as far as a linear map can.
      seed: of the first two.
    """
    points = np.asarray(embeddings, np.float32)
    if method == "pca" or len(points) < _FEW:
        from sklearn.decomposition import PCA

        rank = min(dimensions, *points.shape)
        found = PCA(rank, random_state=seed).fit_transform(points)
        found = np.pad(found, ((0, 0), (0, dimensions - rank)))
    elif method == "tsne":
        from sklearn.manifold import TSNE

        made = TSNE(dimensions, perplexity=min(30.0, (len(points) - 1) / 3), init="pca", random_state=seed)
        found = made.fit_transform(points)
    else:
        from umap import UMAP

        # One job: with a seed, umap-learn does not run several. Machines of the same kind then make the same map.
        made = UMAP(n_neighbors=15, n_components=dimensions, min_dist=0.1, random_state=seed, n_jobs=1)
        found = np.asarray(made.fit_transform(points))
    return (found - found.mean(axis=0)).astype(np.float32)
