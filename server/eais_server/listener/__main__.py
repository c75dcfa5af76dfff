"""`python -m eais_server.listener`."""

from __future__ import annotations

import sys

from eais_server.listener.daemon import main

if __name__ == "__main__":
    sys.exit(main())
