#!/usr/bin/env bash
# All that can be learnt of the CuPy backend on a machine with a GPU, on one page: versions, tests of kernels and of updates against the
# reference, update rates, a short training. PYTHON is the interpreter, python if it is not set.
#
#     bash tests/gpu.sh
#
# It writes demos/results/gpu.json, and only if it has run on a device.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" tests/gpu.py "$@"
