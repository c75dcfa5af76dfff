"""A confined child that has one region's user function: run by test_confined.py.

python -I confined_worker.py FD OWN_FOLDER PARENT

Confines itself at level 2, says so on a line, reads a line, then opens model.onnx of its folder
on the region and prints what the role gives for 0 to 5.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eais_server.isolation import WorkerConfinement, confine


def run_on_board(fd: int, model: Path) -> str:
    import numpy as np

    from eais_server.devices.driver import PLAIN_RUN, ModelSource, Reservation, SessionSettings
    from eais_server.devices.fpga.driver import REGIONS, FpgaDriver, with_user_functions

    share = with_user_functions(Reservation("fpga0", 500, 1, words={REGIONS: "0"}), [fd])
    session = FpgaDriver().open(share, ModelSource(model), SessionSettings())
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    return str(session.prepare(PLAIN_RUN).execute([], {"X": x})[0].tolist())


def main() -> None:
    fd, folder, parent = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    print(confine(WorkerConfinement(folder, parent, 2, (fd,))), flush=True)
    sys.stdin.readline()
    print(run_on_board(fd, folder / "model.onnx"))


if __name__ == "__main__":
    main()
