"""Where the code of a project runs: one interface, in this process or in one of the project's own.

`interface` says what can be asked, `local` answers in this process, `child` asks a process (`python -m
agent.execution.host`), `planners` keeps such processes warm. See docs/decisions/0009 and 0010.
"""
