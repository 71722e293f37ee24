"""Adapters to and from the interfaces of JaxMARL and gymnax. Both packages are imported only when a function here is
called; `pip install 'shaping[peers]'` installs them."""

from shaping.envs.adapters.export import to_gymnax, to_jaxmarl
from shaping.envs.adapters.jaxmarl_import import JaxMARLGame, from_jaxmarl
from shaping.envs.adapters.peers import Policy

__all__ = ["JaxMARLGame", "Policy", "from_jaxmarl", "to_gymnax", "to_jaxmarl"]
