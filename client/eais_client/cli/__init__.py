"""The command line `eais`: the edge where words become calls and answers become words."""

from __future__ import annotations
