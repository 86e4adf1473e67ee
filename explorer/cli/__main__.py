"""`python -m explorer.cli` is `cxr-explorer`."""

from explorer.cli.commands import main

main()
