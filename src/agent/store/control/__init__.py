"""The control tables: projects, runs, attempts, events, the runner, schedules and alerts."""
