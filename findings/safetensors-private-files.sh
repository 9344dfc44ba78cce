#!/usr/bin/env bash
# safetensors 0.8.0 writes beside the file and renames, where 0.7.0 wrote into it: files that everybody could read are now readable by
# their owner alone whatever the umask says (0600), so that a server or a colleague cannot open a checkpoint on a shared disk; and a
# destination that is a symbolic link (to a larger disk, say) is replaced by a file where it was followed before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
umask 022
for version in 0.7.0 0.8.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet "safetensors==$version" numpy==2.2.6
    mkdir "files-$version" "disk-$version"
    "venv-$version/bin/python" - "files-$version" "disk-$version" <<'PYTHON'
import os
import stat
import sys

import numpy as np
import safetensors
from safetensors.numpy import save_file

files, disk = map(os.path.abspath, sys.argv[1:])
weights = {"weight": np.zeros(3, np.float32)}
save_file(weights, f"{files}/new.safetensors")
open(f"{files}/other.txt", "w").close()
open(f"{disk}/real.safetensors", "wb").close()
os.symlink(f"{disk}/real.safetensors", f"{files}/link.safetensors")
save_file(weights, f"{files}/link.safetensors")

mode, usual = (stat.S_IMODE(os.stat(f"{files}/{name}").st_mode) for name in ("new.safetensors", "other.txt"))
followed = os.path.islink(f"{files}/link.safetensors")
print(f"safetensors {safetensors.__version__}: mode {mode:04o} where other files get {usual:04o}; link {'kept' if followed else 'replaced'}")
expected = (0o644, True) if safetensors.__version__ == "0.7.0" else (0o600, False)
if (mode, followed) != expected:
    raise SystemExit("it writes otherwise now")
PYTHON
done
