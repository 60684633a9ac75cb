"""The version of foretoll, for all rooms that say it and for the package's metadata."""

__version__ = "0.1.0"
