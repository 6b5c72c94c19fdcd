"""What has been promised to disk: the plan, intents, outcomes, deferrals, suppressions."""
