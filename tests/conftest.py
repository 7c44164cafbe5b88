"""For all tests, and the processes they start: a stand-in for a GPU is not checked at its first use."""

import os

os.environ["FASTNN_GPU_SELFCHECK"] = "0"
