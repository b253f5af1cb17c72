"""The command line: one module a command, over the rooms above; nothing imports it.

What all commands share (parsing, errors as one message, jobs): `command_line.py`.
"""
