"""Matrix games, and analytic games, which are functions of the parameters themselves."""
