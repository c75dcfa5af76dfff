"""A process that makes load, started by `Generators`."""

from __future__ import annotations

from eais_client.load.generator.child import main

main()
