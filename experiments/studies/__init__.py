"""What models and learners are worth: studies behind the figures of the README."""
