"""Commands about tries."""
