"""From a campaign file to a settled list: config, plan, run, report."""
