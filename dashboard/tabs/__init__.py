"""One file a tab of the dashboard: TITLE, ICON, ORDER and `show(desk)`."""
