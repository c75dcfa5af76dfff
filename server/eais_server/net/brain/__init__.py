"""What a network agent holds, who may ask what of it, and what is to be done. (Brain)

Nothing here changes anything: each `on_<question>` says what is to be done, in that order, and
`after` is what is held once an action of it is done. What is held is what the state directory
says, so an agent that dies between two actions goes on from there (`on_start`).
"""

from __future__ import annotations
