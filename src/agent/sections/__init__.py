"""Sections of agent.toml that are the agent's own: one file per section, called as the section is, with its frozen
`Settings`. Nothing lists them: agent.settings and pipelines.plugins.discovery find the files."""
