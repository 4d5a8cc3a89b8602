from data_assets_tests.end_to_end.project_fixtures import live_project, new_project, theta

__all__ = ["live_project", "new_project", "theta"]
