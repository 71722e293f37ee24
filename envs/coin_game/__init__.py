"""The Coin Game: rules, dialects, observations, statistics, and its enumerated chain."""
