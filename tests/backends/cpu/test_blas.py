"""SciPy's BLAS is found once, whoever asks first."""

import subprocess
import sys

RACE = """
import sys
import threading

from fastnn.backends.cpu.blas import gemm_address

sys.setswitchinterval(1e-6)
gate, found = threading.Barrier(8), []

def work():
    gate.wait()
    found.append(gemm_address("float32"))

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8 and len(set(found)) == 1, found
"""


def test_threads_that_ask_at_once_all_find_it():
    """Half-made, the module has no pointers: without a lock one process in three failed."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
