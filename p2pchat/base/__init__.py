"""What every layer shares: error hierarchy, typed ids, implementation limits. Imports nothing of ours."""
