"""Fragmentation-gradient placement: where a demand harms what may still come the least. (Brain)

A device's free part is of use only to demands that fit there: on a host without cores left, or
on a device with too little left, it is lost. How much of what is free is lost to a typical
workload is measured (`fragmentation`), and each demand goes where it makes that grow the least
(`gradient`). docs/placement.md has the theory, and the figures.

- `demands`: what is asked for; `workload`: what is typically asked for.
- `cluster`: nodes, what is left of them, and who has the rest.
- `scores`: what is known of each shape of demand on each node, kept until the node changes.
- `placer`: answers a demand, within quotas, spread and affinity.
- `moving`: what to move where, so that less is lost.

All of it counts devices in integer milli-devices, cores in milli-cores and memory in MiB.
"""

from __future__ import annotations
