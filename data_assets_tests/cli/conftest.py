from data_assets_tests.cli.called import call
from data_assets_tests.end_to_end.project_fixtures import live_project, new_project, theta

__all__ = ["call", "live_project", "new_project", "theta"]
