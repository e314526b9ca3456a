"""What a policy does and lives by: response maps, importance, wrong worlds; and what a sale at constant depth sells."""
