"""The atlas of policies: maps, clusters, the page and the film, from embeddings alone."""
