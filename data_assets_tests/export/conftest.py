from data_assets_tests.cli.called import call

__all__ = ["call"]
