"""`python main.py COMMAND …` is the `agent` command."""

from agent.cli.main import main

raise SystemExit(main())
