"""The audit: what reviewers did, in a log that only grows, and what their acts come to."""
