"""What several parts of a venue's adapter share: fields of its replies, and what they mean."""
