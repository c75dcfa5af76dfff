"""A worker with a share of a GPU, as far as its driver goes; obeys lines on its standard input.

    python tests/gpu/tenant.py SHARE MODEL      SHARE is a reservation in JSON

"sum N" answers a run that holds N numbers on the GPU with its value, or with the error's reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from eais.errors import EaisError
from eais_server.devices.cuda import CudaDriver
from eais_server.devices.driver import PLAIN_RUN, ModelSource, Reservation, SessionSettings


def main() -> None:
    share = Reservation(**json.loads(sys.argv[1]))
    session = CudaDriver().open(share, ModelSource(Path(sys.argv[2])), SessionSettings())
    run = session.prepare(PLAIN_RUN)
    for line in sys.stdin:
        _, number = line.split()
        try:
            (value,) = run.execute([], {"dims": np.array([int(number)], np.int64)})
            print(float(value), flush=True)
        except EaisError as error:
            print(error.reason, flush=True)


if __name__ == "__main__":
    main()
