"""The peers: in each module, `bind` returns the fastest call of one library that does what a cell asks for."""


class Skip(Exception):
    """The reason why a contestant does not take part in a cell, in a few words."""
