"""python -m kernels: record that the overrides agree with the references as they are now (see shipped.py)."""

from contextlib import suppress

from kernels import BACKENDS, BackendError, load
from kernels.shipped import record, recorded

modules = set(recorded())
for name in BACKENDS:
    with suppress(BackendError):
        modules |= {module for update in load(name).updates.values() for module in update.modules}
record(sorted(modules))
