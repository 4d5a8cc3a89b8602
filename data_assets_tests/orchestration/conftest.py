from data_assets_tests.orchestration.three_days import stored, three_days

__all__ = ["stored", "three_days"]
