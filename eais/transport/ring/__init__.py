"""Memory that a client and a worker of one host share, through which their messages go.

One ring for each direction: a sealed memfd with one writer and one reader. Each end trusts
nothing that stands in there, since the other may write anything at any time: places are
checked against what this end knows by itself, and messages are copied out before they are
looked at.
"""
