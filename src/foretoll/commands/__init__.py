"""Commands of the command line that are more than parse, call, print."""
