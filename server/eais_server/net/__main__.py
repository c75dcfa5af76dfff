"""`python -m eais_server.net`."""

from __future__ import annotations

import sys

from eais_server.net.agent import main

if __name__ == "__main__":
    sys.exit(main())
