"""Training: checking data, building programs, the one training loop."""
