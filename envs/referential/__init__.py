"""A referential game: a speaker tells a listener which object it sees."""
