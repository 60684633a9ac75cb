"""Runs as text: what is stored or exchanged of one, read by whoever wrote it; files of many."""
