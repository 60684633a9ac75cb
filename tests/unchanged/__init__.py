"""The process of the user, around every public verb and in odd environments."""
