"""Representations of policies: vectors learned from what players did in a few episodes.

from shaping import representations

episodes = representations.play_episodes(game, players, partners, 20, seed=0)
encoder = representations.train(episodes, "both")
embeddings = representations.encode(encoder, episodes)
"""

from shaping.representations.conditioning import conditioned_logits
from shaping.representations.encoder import Encoder, encode, encode_each
from shaping.representations.episodes import Episodes, play_episodes
from shaping.representations.files import load, save
from shaping.representations.training import CONTRASTS, OBJECTIVES, train

__all__ = [
    "CONTRASTS",
    "OBJECTIVES",
    "Encoder",
    "Episodes",
    "conditioned_logits",
    "encode",
    "encode_each",
    "load",
    "play_episodes",
    "save",
    "train",
]
