"""The Streamlit dashboard: reads through public functions of agent and pipelines, writes through the run queue."""
