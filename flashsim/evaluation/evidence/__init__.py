"""What a decision reads and says: leads and guardrails, their tables and sentences, and what would tell more."""
