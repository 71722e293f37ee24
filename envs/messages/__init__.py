"""Communication: a wrapper with which every action carries a message, and what is measured of messages."""
