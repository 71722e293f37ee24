"""Games in which players move one after another, each knowing only a part of what has happened."""
