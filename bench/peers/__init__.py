"""The peers: in each module, `bind` makes the fastest call of one library that does what a cell asks for."""


class Skip(Exception):
    """Why a contestant does not take part in a cell, in a few words."""
