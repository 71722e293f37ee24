"""Matrix games, and games that are functions of the parameters themselves."""
