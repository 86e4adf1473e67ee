"""Make Chromium available to the browser tests: use what is there, else install Debian's package, else say how."""

import os
import shutil
import subprocess
import sys

COMMAND = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]

if shutil.which("chromium"):
    sys.exit(0)
if shutil.which("apt-get") and os.geteuid() == 0:
    print("Installing Chromium for the browser tests", flush=True)
    subprocess.run(["apt-get", "update", "--quiet"], check=False, stdout=subprocess.DEVNULL)
    subprocess.run(COMMAND, check=False, stdout=subprocess.DEVNULL)
if not shutil.which("chromium"):
    sys.exit("The browser tests need Chromium on the PATH. On Debian or Ubuntu: sudo apt-get install chromium")
