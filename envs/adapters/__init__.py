"""To and from other people's interfaces: JaxMARL and gymnax. Both are imported when a function here is called, not
before; `pip install 'shaping[peers]'` brings them."""

from shaping.envs.adapters.export import to_gymnax, to_jaxmarl
from shaping.envs.adapters.jaxmarl_import import JaxMARLGame, from_jaxmarl
from shaping.envs.adapters.peers import Policy

__all__ = ["JaxMARLGame", "Policy", "from_jaxmarl", "to_gymnax", "to_jaxmarl"]
