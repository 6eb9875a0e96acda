"""What a given plan costs: seconds, bytes, joules, money. Never searches."""
