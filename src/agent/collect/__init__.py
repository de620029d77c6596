"""Collects from the network what remote sources offer, once, into their inboxes. The only room that uses the network;
what a page means is none of its business (pipelines.feed)."""
