"""Adapters to and from the interfaces of JaxMARL, gymnax and OpenSpiel. They are imported only when a function here is
called; `pip install 'shaping[peers]'` installs them."""

from shaping.envs.adapters.export import to_gymnax, to_jaxmarl
from shaping.envs.adapters.jaxmarl_import import JaxMARLGame, from_jaxmarl
from shaping.envs.adapters.openspiel import from_openspiel, to_openspiel, to_openspiel_policy
from shaping.envs.adapters.peers import Policy

__all__ = [
    "JaxMARLGame",
    "Policy",
    "from_jaxmarl",
    "from_openspiel",
    "to_gymnax",
    "to_jaxmarl",
    "to_openspiel",
    "to_openspiel_policy",
]
