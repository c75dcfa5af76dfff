"""How much CPU and how much accelerator an instance has, second by second. (Brain)

`offers` says what a unit of each kind of device serves and costs, `tracking` how much demand is
expected, `recurrence` when surges come back, `drift` how far demand rises until more could serve,
`idling` when calls come back after a pause, `lateness` what a late call is worth, `scaling` how
many units all that needs and when to change them, `control` which kind, with how many CPU
workers, within bounds, and why. The theory is in docs/ratio.md.
"""
