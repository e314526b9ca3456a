"""Where an assisted agent starts: at a rule, with rewards scaled and taken against that rule."""
