"""The commands: NAME.py holds HELP (one line), add_arguments(parser) and run(options) -> exit code."""

TITLE = "the pipeline"
