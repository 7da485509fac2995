"""``python -m flows.setup``: the command ``flowise-setup``."""

from flows.setup.command import main

raise SystemExit(main())
