"""Whatever a parser of outside input is given, it ends in one of our ways.

Rule of all tests here: any input gives a typed result or an error of our
kinds, never another exception, and never a loop without end.
"""
